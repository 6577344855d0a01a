//! A registry on the lab's network: Debian's `docker-registry`, over HTTPS, its files on this machine's disk.

use std::fs;
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tfleet_tests::lab::{Daemon, run};

use super::{Delivered, end, start};
use crate::delivery::image::Revision;
use crate::delivery::stage::Stage;

pub struct Registry {
    folder: PathBuf,
    address: String,
    daemon: Daemon,
}

const PORT: u16 = 7500;
const READY_WITHIN: Duration = Duration::from_secs(30);
const STOP_WITHIN: Duration = Duration::from_secs(10);

impl Registry {
    /// Starts one on this address, with its files in this folder.
    pub fn start(folder: &Path, address: Ipv4Addr) -> Result<Self> {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let (certificate, key) = (folder.join("certificate.pem"), folder.join("key.pem"));
        run(Command::new("openssl")
            .args([
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:prime256v1",
            ])
            .args(["-nodes", "-days", "2", "-subj", "/CN=bench"])
            .arg("-addext")
            .arg(format!("subjectAltName=IP:{address}"))
            .arg("-keyout")
            .arg(&key)
            .arg("-out")
            .arg(&certificate))?;
        let registry = Self {
            address: format!("{address}:{PORT}"),
            daemon: Daemon::new(folder, "registry"),
            folder: folder.to_owned(),
        };
        let config = format!(
            "version: 0.1\n\
             log: {{level: error, accesslog: {{disabled: true}}}}\n\
             storage: {{filesystem: {{rootdirectory: {}}}}}\n\
             http: {{addr: {}, tls: {{certificate: {}, key: {}}}}}\n",
            registry.storage().display(),
            registry.address,
            certificate.display(),
            key.display(),
        );
        fs::write(registry.config(), config)?;
        registry.renew()?;
        Ok(registry)
    }

    /// Starts it again, empty.
    pub fn renew(&self) -> Result<()> {
        self.daemon.stop(STOP_WITHIN)?;
        let storage = self.storage();
        if storage.exists() {
            fs::remove_dir_all(&storage)?;
        }
        let mut serve = Command::new("docker-registry");
        serve.arg("serve").arg(self.config());
        self.daemon.start(&serve)?;
        Ok(self
            .daemon
            .wait_until(Path::new(&self.address), READY_WITHIN, || {
                TcpStream::connect(&self.address).is_ok()
            })?)
    }

    pub fn name_of(&self, revision: Revision) -> String {
        self.name_of_tag(revision.kept_tag())
    }

    pub fn name_of_tag(&self, tag: &str) -> String {
        format!("{}/{tag}", self.address)
    }

    pub fn address(&self) -> &str {
        &self.address
    }

    /// The certificate that it shows, which nobody else signed.
    pub fn certificate(&self) -> PathBuf {
        self.folder.join("certificate.pem")
    }

    pub fn pid(&self) -> Result<i32> {
        let process = self.daemon.running().context("the registry does not run")?;
        Ok(process.as_raw_nonzero().get())
    }

    fn storage(&self) -> PathBuf {
        self.folder.join("storage")
    }

    fn config(&self) -> PathBuf {
        self.folder.join("registry.yml")
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        if let Err(error) = self.daemon.stop(STOP_WITHIN) {
            crate::speak::tell(&format!("the registry did not end: {error}"));
        }
    }
}

/// Push and pull, one after the other: nobody has the image elsewhere before the registry has it whole. The bytes are
/// those of the pull, at the host's network interface.
pub fn deliver(stage: &Stage, revision: Revision) -> Result<Delivered> {
    let name = stage.registry().name_of(revision);
    let source = stage.source()?;
    run(source.docker().args(["tag", revision.kept_tag(), &name]))?;
    let network = stage.peer_network()?;
    let before = network.passed_bytes()?;
    let began = Instant::now();
    for (engine, verb) in [(source, "push"), (stage.peer()?, "pull")] {
        let mut command = engine.docker();
        command.args([verb, "--quiet", &name]).stdout(Stdio::null());
        end(verb, start(&mut command)?)?;
    }
    let wall = began.elapsed();
    let moved_bytes = network.passed_bytes()? - before;
    run(stage
        .peer()?
        .docker()
        .args(["tag", &name, revision.kept_tag()]))?;
    Ok(Delivered {
        wall,
        moved_bytes,
        own: None,
    })
}
