//! A base made of Debian packages with mmdebstrap, the same bytes for the same packages.
//!
//! `SOURCE_DATE_EPOCH` fixes the times, and makes Debian's byte-code files depend on the content of their sources
//! rather than on their times, so that they stay valid whatever the layers' times are.

use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process_group};
use tfleet_proto::model::digest::Digest;
use tokio::io::AsyncReadExt as _;
use tokio::process::{Child, Command};

use super::{Bases, debian_architecture};
use crate::artifact::{ArchiveError, FIXED_TIME_SECONDS, Origin};
use crate::build::BuildError;
use crate::build::disk::{self, Need, stored_bytes_estimate};
use crate::build::log::BuildLog;
use crate::build::order::Order;
use crate::build::pipe;
use crate::build::resolver::copy_lines;
use crate::build::sources::{DebianSource, Sources};
use crate::build::transfer;

/// Raised whenever the same packages would make another base.
pub const TEMPLATE: u32 = 2;

const PACKAGES: &str = "ca-certificates,python3";

/// Debian splits distutils off the standard library. Up to Python 3.9 installers do not take an interpreter without it.
const DISTUTILS: (&str, &str) = ("bullseye", "python3-distutils");

/// Of a minimal Debian 12 with Python: 280 MB unpacked, 90 MB of packages, and some for what a site adds.
const UNPACKED_BYTES: u64 = 600 << 20;

/// What is left of the machine that bootstraps: its name and resolver, and the mirror, proxy and CA that were used.
/// Which mirror served must not change the base, and its credentials must not stay. An SSH server's package makes the keys
/// of its host, which would be those of every container.
const CLEAN: &str = r#"
    : > "$1/etc/hostname"
    : > "$1/etc/resolv.conf"
    : > "$1/etc/apt/sources.list"
    rm -f "$1"/etc/apt/sources.list.d/* "$1"/etc/apt/apt.conf.d/99mmdebstrap "$1"/var/lib/dbus/machine-id
    rm -f "$1"/etc/ssh/ssh_host_*
    rm -rf "$1"/var/log/* "$1"/var/cache/ldconfig/aux-cache
"#;

/// What a base has beyond the packages of every base. It is part of the base's name.
pub fn further_packages(order: &Order) -> Vec<&str> {
    let (suite, distutils) = DISTUTILS;
    let distutils = (order.recipe.base.short_name() == suite).then_some(distutils);
    let of_order = order.debian_packages.iter().map(String::as_str);
    distutils.into_iter().chain(of_order).collect()
}

impl Bases {
    /// Tries each Debian source until one serves.
    pub(super) async fn bootstrap(
        &self,
        order: &Order,
        sources: &Sources,
        log: &BuildLog,
        progress: &(dyn Fn(&str, u64) + Sync),
    ) -> Result<Digest, BuildError> {
        // The bootstrapper unpacks in the temporary folder and removes it at its end.
        let needs = vec![
            Need::new(self.artifacts.root(), stored_bytes_estimate(UNPACKED_BYTES)),
            Need::new(&std::env::temp_dir(), UNPACKED_BYTES),
        ];
        disk::check(needs, Some(log))?;
        let suite = order.recipe.base.short_name();
        let candidates = DebianSource::for_suite(&sources.debian_mirrors, suite);
        let mut failure = None;
        for (number, source) in candidates.iter().enumerate() {
            log.line(format!(
                "bootstrapping Debian {suite} from {}",
                source.shown
            ));
            match self
                .bootstrap_from(order, source, sources, log, progress)
                .await
            {
                Ok(artifact) => return Ok(artifact),
                Err(error @ (BuildError::Step { .. } | BuildError::Archive(_))) => {
                    let next = if number + 1 < candidates.len() {
                        ", trying the next"
                    } else {
                        ""
                    };
                    log.line(format!("bootstrapping from {} failed{next}", source.shown));
                    failure = Some(error);
                }
                Err(error) => return Err(error),
            }
        }
        Err(failure.unwrap_or(BuildError::Cancelled))
    }

    async fn bootstrap_from(
        &self,
        order: &Order,
        source: &DebianSource,
        sources: &Sources,
        log: &BuildLog,
        progress: &(dyn Fn(&str, u64) + Sync),
    ) -> Result<Digest, BuildError> {
        // Options in a file, not on the command line, where every user of the machine could read a proxy's password.
        let options = tempfile::NamedTempFile::new_in(&self.folder)
            .map_err(BuildError::io("create a file in", &self.folder))?;
        std::fs::write(options.path(), apt_options(sources))
            .map_err(BuildError::io("write", options.path()))?;
        let list = tempfile::NamedTempFile::new_in(&self.folder)
            .map_err(BuildError::io("create a file in", &self.folder))?;
        std::fs::write(list.path(), source.lines.join("\n") + "\n")
            .map_err(BuildError::io("write", list.path()))?;

        let packages = [&[PACKAGES], further_packages(order).as_slice()].concat();
        let packages = packages.join(",");
        let architecture = order.recipe.architecture;
        let mut command = Command::new("mmdebstrap");
        command.args(["--variant=minbase", "--format=tar"]);
        command.arg(format!(
            "--architectures={}",
            debian_architecture(architecture)
        ));
        command.arg(format!("--include={packages}"));
        command.arg(format!("--aptopt={}", options.path().display()));
        command.arg(format!("--customize-hook={CLEAN}"));
        command.arg(order.recipe.base.short_name()).arg("-");
        if !source.lines.is_empty() {
            command.arg(list.path());
        }
        command.env("SOURCE_DATE_EPOCH", FIXED_TIME_SECONDS.to_string());
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0);
        let failed = |source| BuildError::Program {
            program: "mmdebstrap",
            source,
        };
        let mut child = command.spawn().map_err(failed)?;
        let running = Running::of(&child);
        let (output, errors) = (child.stdout.take(), child.stderr.take());

        // "I: installing essential packages..." is what a waiting person wants to read.
        let tell = |line: &str| {
            if let Some(doing) = line
                .strip_prefix("I: ")
                .filter(|doing| doing.ends_with("..."))
            {
                progress(
                    &format!("bootstrapping the base: {}", doing.trim_end_matches('.')),
                    0,
                );
            }
        };

        let (pieces, reader) = pipe::to_reader();
        let origin = Origin::Bootstrap { architecture };
        let stored = transfer::take(
            reader,
            &self.artifacts,
            origin,
            sources.secrets.clone(),
            &|_| {},
        );
        let forward = async move {
            let Some(mut output) = output else { return };
            let mut passed = 0;
            loop {
                let mut piece = bytes::BytesMut::with_capacity(64 << 10);
                let got = output.read_buf(&mut piece).await;
                let end = matches!(got, Ok(0) | Err(_));
                passed += piece.len() as u64;
                if end || pieces.send(got.map(|_| piece.freeze())).await.is_err() {
                    return;
                }
                progress("bootstrapping the base: storing it", passed);
            }
        };
        let ended = async {
            let status = child.wait().await;
            running.ended();
            status
        };
        let (status, (), (), stored) =
            tokio::join!(ended, forward, copy_lines(errors, log, tell), stored);
        // A store that stops reading breaks the bootstrapper's pipe; the store's own error is the cause.
        if let Err(BuildError::Archive(ArchiveError::Store(_))) = &stored {
            return Ok(stored?.artifact);
        }
        if !status.map_err(failed)?.success() {
            return Err(BuildError::Step {
                what: "mmdebstrap failed".to_owned(),
                last_lines: log.last_lines(),
            });
        }
        Ok(stored?.artifact)
    }
}

/// A program in a process group of its own, which is asked to end when its caller gives up. Killed outright, the
/// bootstrapper would leave a root file system in the temporary folder, with /proc and /sys mounted in it.
struct Running(Option<Pid>);

impl Running {
    fn of(child: &Child) -> Self {
        let id = child.id().and_then(|id| i32::try_from(id).ok());
        Self(id.and_then(Pid::from_raw))
    }

    /// Nothing of it is left to be asked.
    fn ended(mut self) {
        self.0 = None;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // It may be over by now.
            let _ = kill_process_group(group, Signal::TERM);
        }
    }
}

fn apt_options(sources: &Sources) -> String {
    let stall = sources.stall_seconds;
    let mut text = format!("Acquire::Retries \"2\";\nAcquire::http::Timeout \"{stall}\";\n");
    text.push_str(&format!(
        "Acquire::https::Timeout \"{stall}\";\nAcquire::Languages \"none\";\n"
    ));
    if let Some(proxy) = &sources.proxy {
        text.push_str(&format!(
            "Acquire::http::Proxy \"{proxy}\";\nAcquire::https::Proxy \"{proxy}\";\n"
        ));
    }
    if let Some(path) = &sources.ca_bundle {
        text.push_str(&format!("Acquire::https::CAInfo \"{}\";\n", path.display()));
    }
    text
}

#[cfg(test)]
mod tests;
