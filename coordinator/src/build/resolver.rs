//! Resolves requirements to exact wheels, from the index's metadata alone, for a Python that this machine need not have.
//!
//! The work is uv's: it reads a gigabyte wheel's dependencies by a range request, and resolves for another Python,
//! architecture and glibc. pip's `--dry-run --report` needs that very Python and downloads what older indexes give no
//! metadata for. uv comes from the same package index, by hash, and installs the wheels in the build too.

use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use tfleet_compat::Architecture;
use tfleet_proto::model::digest::Digest;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::process::Command;

use super::BuildError;
use super::lock::wheel::Target;
use super::lock::{LockedWheel, read_pylock};
use super::log::BuildLog;
use super::sources::{Index, Sources};
use super::wheels::Wheels;

/// The version of uv. A site whose indexes are its own must offer it.
pub const UV_VERSION: &str = "0.13.9";

/// SHA-256 of its wheels for manylinux 2.17.
const UV_X86_64: &str = "d7f459fe4fd247d830351c75686d3996ace3c6f3f728eb0e85a30b7ada0cef19";
const UV_AARCH64: &str = "5435c5ce14a56431208ca0996416d310f1598e8c2c8ba707688985a16bb82dbe";

/// The newest glibc that uv knows a platform name for; wheels for it run on newer ones.
const NEWEST_GLIBC_MINOR: u32 = 40;

/// The tools' folder.
#[derive(Debug, Clone)]
pub struct Resolver {
    tools: PathBuf,
}

impl Resolver {
    pub fn new(tools: PathBuf) -> Self {
        Self { tools }
    }

    /// The uv program for an architecture, fetched on first use.
    ///
    /// # Errors
    /// If no index gives it.
    pub async fn uv(
        &self,
        architecture: Architecture,
        wheels: &Wheels,
        sources: &Sources,
        log: &BuildLog,
    ) -> Result<PathBuf, BuildError> {
        let folder = self.tools.join(format!("uv-{UV_VERSION}-{architecture}"));
        let program = folder.join("bin/uv");
        if program.is_file() {
            return Ok(program);
        }
        need_pip(Path::new("python3")).await?;
        std::fs::create_dir_all(&self.tools).map_err(BuildError::io("create", &self.tools))?;
        let unfinished = tempfile::tempdir_in(&self.tools)
            .map_err(BuildError::io("create a folder in", &self.tools))?;
        log.line(format!("unpacking uv {UV_VERSION} for {architecture}"));
        let wheel = installer(architecture);
        let runs_on = Target {
            python: (3, 9),
            glibc: (2, 17),
            architecture,
        };
        wheels
            .provide(vec![wheel.clone()], &runs_on, sources, log, &|_| {})
            .await?;
        let (kept, _) = wheels.provided(&wheel)?;
        // pip reads what a wheel is from its name.
        let named = unfinished.path().join(&wheel.file);
        std::os::unix::fs::symlink(&kept, &named).map_err(BuildError::io("link", &named))?;
        let target = unfinished.path().join("uv");
        let mut command = Command::new("python3");
        command.args(["-m", "pip", "--disable-pip-version-check", "--no-input"]);
        command.args(["install", "--quiet", "--no-deps", "--no-index"]);
        command.args(["--no-cache-dir", "--target"]);
        command.arg(&target).arg(&named);
        command.env("PIP_CONFIG_FILE", "/dev/null");
        if !run_logged(command, "python3", log).await?.success() {
            return Err(BuildError::Step {
                what: "unpacking uv failed".to_owned(),
                last_lines: log.last_lines(),
            });
        }
        match std::fs::rename(&target, &folder) {
            Ok(()) => Ok(program),
            // Another build was faster.
            Err(_) if program.is_file() => Ok(program),
            Err(error) => Err(BuildError::io("rename to", &folder)(error)),
        }
    }

    /// Every wheel that `requirements` need on `target`.
    ///
    /// # Errors
    /// If they cannot be satisfied with wheels from any of the indexes.
    pub async fn resolve(
        &self,
        requirements: &[String],
        constraints: &[String],
        target: &Target,
        wheels: &Wheels,
        sources: &Sources,
        log: &BuildLog,
    ) -> Result<Vec<LockedWheel>, BuildError> {
        let own = if cfg!(target_arch = "aarch64") {
            Architecture::Aarch64
        } else {
            Architecture::X86_64
        };
        let uv = self.uv(own, wheels, sources, log).await?;
        let folder = tempfile::tempdir_in(&self.tools)
            .map_err(BuildError::io("create a folder in", &self.tools))?;
        let input = folder.path().join("requirements.in");
        let limits = folder.path().join("constraints.in");
        let output = folder.path().join("pylock.toml");
        std::fs::write(&input, requirements.join("\n")).map_err(BuildError::io("write", &input))?;
        std::fs::write(&limits, constraints.join("\n"))
            .map_err(BuildError::io("write", &limits))?;
        in_turn(&sources.indexes, log, "uv", "resolving", |index| {
            let mut command = Command::new(&uv);
            command.args([
                "pip",
                "compile",
                "--quiet",
                "--no-header",
                "--format",
                "pylock.toml",
                "--generate-hashes",
            ]);
            command.args([
                "--only-binary",
                ":all:",
                "--python-version",
                &dotted(target.python),
                "--python-platform",
            ]);
            command
                .arg(platform(target))
                .arg("--constraints")
                .arg(&limits);
            command.arg("--cache-dir").arg(self.tools.join("uv-cache"));
            command.arg("--output-file").arg(&output).arg(&input);
            command.envs(index.environment(sources, sources.ca_bundle.as_deref()));
            command
        })
        .await?;
        let text = std::fs::read_to_string(&output).map_err(BuildError::io("read", &output))?;
        read_pylock(&text, target).map_err(|error| BuildError::Format {
            file: "the resolver's answer".to_owned(),
            why: std::error::Error::source(&error)
                .map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}")),
        })
    }
}

/// uv's own wheel, under a name that pip takes on every machine: it is only unpacked here.
///
/// # Panics
/// Never: both hashes are hashes, as a test shows.
#[expect(
    clippy::expect_used,
    reason = "the constants above are SHA-256 digests, which a test reads"
)]
pub fn installer(architecture: Architecture) -> LockedWheel {
    let sha256 = match architecture {
        Architecture::X86_64 => UV_X86_64,
        Architecture::Aarch64 => UV_AARCH64,
    };
    LockedWheel {
        name: "uv".to_owned(),
        version: UV_VERSION.to_owned(),
        file: format!("uv-{UV_VERSION}-py3-none-any.whl"),
        sha256: Digest::from_hex(sha256).expect("a SHA-256 digest"),
        size_bytes: 0,
        url: None,
    }
}

/// Asked beforehand, because without pip every index would seem to fail.
pub async fn need_pip(python: &Path) -> Result<(), BuildError> {
    let output = Command::new(python)
        .args(["-m", "pip", "--version"])
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .map_err(|source| BuildError::Program {
            program: "python3",
            source,
        })?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(BuildError::NoPip {
        said: said.trim().to_owned(),
    })
}

/// Runs the command for each index until one succeeds. What went wrong is in the log, the last of it in the error.
pub async fn in_turn(
    indexes: &[Index],
    log: &BuildLog,
    program: &'static str,
    what: &'static str,
    command: impl Fn(&Index) -> Command,
) -> Result<(), BuildError> {
    for (number, index) in indexes.iter().enumerate() {
        let command = command(index);
        if run_logged(command, program, log).await?.success() {
            return Ok(());
        }
        let next = if number + 1 < indexes.len() {
            ", trying the next"
        } else {
            ""
        };
        log.line(format!("{what} with {} failed{next}", index.shown()));
    }
    Err(BuildError::Step {
        what: format!("{what} failed"),
        last_lines: log.last_lines(),
    })
}

/// Runs a program to its end, its output going to the log.
pub async fn run_logged(
    mut command: Command,
    program: &'static str,
    log: &BuildLog,
) -> Result<ExitStatus, BuildError> {
    let failed = |source| BuildError::Program { program, source };
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let mut child = command.spawn().map_err(failed)?;
    let (output, errors) = (child.stdout.take(), child.stderr.take());
    let (status, (), ()) = tokio::join!(
        child.wait(),
        copy_lines(output, log, |_| {}),
        copy_lines(errors, log, |_| {})
    );
    status.map_err(failed)
}

/// Copies a program's output to the log, line by line, until it closes it. `observe` sees each line too.
pub async fn copy_lines(
    output: Option<impl AsyncRead + Unpin>,
    log: &BuildLog,
    observe: impl Fn(&str),
) {
    let Some(output) = output else { return };
    let mut lines = BufReader::new(output).split(b'\n');
    // A read error means that the program is gone; its exit status says what there is to say.
    while let Ok(Some(line)) = lines.next_segment().await {
        let line = String::from_utf8_lossy(&line);
        observe(&line);
        log.line(line);
    }
}

fn platform(target: &Target) -> String {
    let (major, minor) = (target.glibc.0, target.glibc.1.min(NEWEST_GLIBC_MINOR));
    let architecture = target.architecture;
    match (major, minor) {
        (2, 31..) => format!("{architecture}-manylinux_{major}_{minor}"),
        (2, 28..31) => format!("{architecture}-manylinux_2_28"),
        _ => format!("{architecture}-manylinux_2_17"),
    }
}

fn dotted((major, minor): (u32, u32)) -> String {
    format!("{major}.{minor}")
}

#[cfg(test)]
mod tests;
