//! A whole fleet for one test: a lab, a coordinator as its own process, enrolled agents, and an operator who types.
//!
//! Tests use the same door as people: the `tfleet` command and its JSON.

mod coordinator;
mod operator;

use std::fs;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

pub use coordinator::Coordinator;
pub use operator::{Answer, Operator};

use crate::lab::{EngineKind, HostDescription, Programs, TestLab, run};

/// A lab whose hosts are enrolled and connected.
pub struct TestFleet {
    // Dropped in this order: the coordinator ends before the network that it listens in.
    coordinator: Coordinator,
    operator: Operator,
    lab: TestLab,
}

/// Builds reach the package mirrors as this machine does: in its network, with its certificate authorities.
pub const BUILD: &str = "network = \"host\"\nca_bundle = \"/etc/ssl/certs/ca-certificates.crt\"\n";

impl TestFleet {
    /// Starts a coordinator and enrols every host of the lab.
    pub fn up(lab: TestLab) -> Result<Self> {
        Self::building(lab, BUILD)
    }

    /// A fleet with a builder and these hosts, whose owners have this policy.
    pub fn under_policy(
        policy: &str,
        hosts: impl IntoIterator<Item = HostDescription>,
    ) -> Result<Self> {
        let folder = tempfile::TempDir::new()?;
        let path = folder.path().join("policy.toml");
        fs::write(&path, policy)?;
        let mut lab = TestLab::builder()
            .builder_engine(EngineKind::System)
            .policy(&path);
        for host in hosts {
            lab = lab.host(host);
        }
        Self::up(lab.up()?)
    }

    /// The same as [`Self::up`] with another table `[build]` in the coordinator's configuration.
    pub fn building(lab: TestLab, build: &str) -> Result<Self> {
        let fleet = Self::coordinated(lab, build)?;
        let names: Vec<String> = fleet
            .lab
            .hosts()
            .iter()
            .map(|host| host.name().to_owned())
            .collect();
        for name in &names {
            fleet.enrol(name)?;
        }
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        if !names.is_empty() {
            fleet
                .operator
                .ok([&["hosts", "wait", "--timeout", "60s"], names.as_slice()].concat())?;
        }
        Ok(fleet)
    }

    /// A coordinator, and hosts that have not heard of it.
    pub fn without_agents(lab: TestLab) -> Result<Self> {
        Self::coordinated(lab, BUILD)
    }

    fn coordinated(lab: TestLab, build: &str) -> Result<Self> {
        let programs = Programs::beside_this_program()?;
        let builder = lab.builder().ok().map(crate::lab::Engine::endpoint);
        let coordinator = Coordinator::new(
            &programs,
            lab.state(),
            &lab.address().to_string(),
            builder.as_deref(),
            build,
        )?;
        let operator = Operator::new(&programs, coordinator.credentials())?;
        coordinator.start()?;
        operator
            .until_ok(&["fleet"], Duration::from_secs(30))
            .context("the coordinator does not answer")?;
        Ok(Self {
            coordinator,
            operator,
            lab,
        })
    }

    /// Gives a host its token and starts its agent.
    pub fn enrol(&self, host: &str) -> Result<()> {
        let token = self
            .operator
            .ok(["token", "create", host, "--output", "text"])?;
        let host = self.lab.host(host)?;
        fs::write(host.agent().token_file(), token.stdout)?;
        host.start_agent(&Programs::beside_this_program()?.agent()?)?;
        Ok(())
    }

    pub fn coordinator(&self) -> &Coordinator {
        &self.coordinator
    }

    /// Types `tfleet ARGUMENTS`.
    pub fn tfleet<I, S>(&self, arguments: I) -> Result<Answer>
    where
        I: IntoIterator<Item = S>,
        S: AsRef<str>,
    {
        self.operator.type_in(arguments)
    }

    /// The same, and it must succeed.
    pub fn ok<I, S>(&self, arguments: I) -> Result<Answer>
    where
        I: IntoIterator<Item = S>,
        S: AsRef<str>,
    {
        self.operator.ok(arguments)
    }

    pub fn operator(&self) -> &Operator {
        &self.operator
    }

    /// What `tfleet hosts show HOST` says, as JSON.
    pub fn shown(&self, host: &str) -> Result<Value> {
        self.ok(["hosts", "show", host, "--output", "json"])?.json()
    }

    /// Types a command over hosts that must fail for this one, and gives the failure: its code, message, rule, remedy.
    pub fn fails(&self, host: &str, arguments: &[&str]) -> Result<Value> {
        // Before `--`, behind which everything is the container's command.
        let command = arguments.iter().position(|word| *word == "--");
        let (ours, theirs) = arguments.split_at(command.unwrap_or(arguments.len()));
        let answer = self.tfleet([ours, &["--output", "json"], theirs].concat())?;
        ensure!(answer.code == 1, "expected exit status 1: {answer:?}");
        let results = answer.json()?;
        let result = results
            .as_array()
            .and_then(|results| results.iter().find(|result| result["host"] == host))
            .with_context(|| format!("nothing about {host} in {results}"))?;
        ensure!(result["outcome"] == "failed", "it did not fail: {result}");
        Ok(result["failure"].clone())
    }

    /// Makes the release `NAME` of an image with a shell and these files. The image's configuration is changed as
    /// `docker import --change` does.
    pub fn add_image(&self, name: &str, files: &[(&str, &[u8])], changes: &[&str]) -> Result<()> {
        let folder = tempfile::TempDir::new_in("/var/tmp")?;
        let root = folder.path().join("root.tar");
        tiny_root(&root, files)?;
        let mut import = self.builder()?.docker();
        import.arg("import");
        for change in changes {
            import.args(["--change", change]);
        }
        run(import.arg(&root).arg(name))?;
        self.ok(["image", "add", name, "--name", name])?;
        Ok(())
    }
}

impl Deref for TestFleet {
    type Target = TestLab;

    fn deref(&self) -> &TestLab {
        &self.lab
    }
}

/// Waits until `level` holds. What it answered last is in the error.
pub fn eventually<T>(within: Duration, mut level: impl FnMut() -> Result<T>) -> Result<T> {
    let began = Instant::now();
    loop {
        match level() {
            Ok(value) => return Ok(value),
            Err(error) if began.elapsed() > within => {
                return Err(error.context(format!("not so within {within:?}")));
            }
            Err(_) => std::thread::sleep(Duration::from_millis(100)),
        }
    }
}

/// Ends with the test, however that ends.
pub struct Spawned(pub Child);

impl Drop for Spawned {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Every file below a folder; what goes while one looks is left out.
pub fn files_below(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .flat_map(|entry| match entry.file_type() {
            Ok(kind) if kind.is_dir() => files_below(&entry.path()),
            _ => vec![entry.path()],
        })
        .collect()
}

/// A tarball of a root file system with a static shell and its tools: an image base that needs no registry.
pub fn tiny_root(path: &Path, extra: &[(&str, &[u8])]) -> Result<()> {
    const TOOLS: [&str; 13] = [
        "sh", "ls", "cat", "sleep", "echo", "touch", "env", "id", "true", "false", "tail", "nc",
        "stty",
    ];
    let Ok(busybox) = fs::read("/bin/busybox") else {
        bail!("/bin/busybox is missing: install the package busybox-static");
    };
    let mut tar = tar::Builder::new(fs::File::create(path)?);
    let mut file = |name: &str, mode: u32, content: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(mode);
        tar.append_data(&mut header, name, content)
    };
    for name in TOOLS {
        file(&format!("bin/{name}"), 0o755, &busybox)?;
    }
    for (name, content) in extra {
        file(name, 0o644, content)?;
    }
    tar.finish()?;
    Ok(())
}
