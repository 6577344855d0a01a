//! A lab for one test: a number of its own, gone when dropped.

use std::fs::{self, File};
use std::ops::Deref;
use std::path::{Path, PathBuf};

use super::daemon::Daemon;
use super::description::{Description, HostDescription};
use super::engine::EngineKind;
use super::error::{LabError, at};
use super::id::LabId;
use super::programs::Programs;
use super::{Lab, Site};

/// Holds the lab's number until it is down.
#[derive(Debug)]
pub struct TestLab {
    lab: Lab,
    _number: File,
}

#[derive(Debug)]
pub struct TestLabBuilder {
    description: Description,
    programs: Option<Programs>,
}

/// Where the coordinator of a test's fleet has its files. It runs outside of the lab's namespaces.
pub fn coordinator_folder(state: &Path) -> PathBuf {
    state.join("coordinator")
}

/// That coordinator. A test that was killed leaves it running, on the addresses of the lab's number.
pub fn coordinator_daemon(state: &Path) -> Daemon {
    Daemon::new(&coordinator_folder(state), "coordinator")
}

const NUMBERS: &str = "/run/tfleet-lab";
const STATES: &str = "/var/tmp/tfleet-lab";
const CACHE: &str = "/var/cache/tfleet-lab";

impl TestLab {
    pub fn builder() -> TestLabBuilder {
        TestLabBuilder {
            description: Description::default(),
            programs: None,
        }
    }

    /// A builder with one host.
    pub fn with_host(host: HostDescription) -> TestLabBuilder {
        Self::builder().host(host)
    }
}

impl TestLabBuilder {
    #[must_use]
    pub fn host(mut self, host: HostDescription) -> Self {
        self.description.hosts.push(host);
        self
    }

    #[must_use]
    pub fn builder_engine(mut self, engine: EngineKind) -> Self {
        self.description.builder = Some(engine);
        self
    }

    #[must_use]
    pub fn policy(mut self, file: &Path) -> Self {
        self.description.policy = Some(file.to_owned());
        self
    }

    #[must_use]
    pub fn programs(mut self, programs: Programs) -> Self {
        self.programs = Some(programs);
        self
    }

    /// Brings the lab up. What an earlier test with the same number left behind is removed first.
    pub fn up(self) -> Result<TestLab, LabError> {
        let (id, number) = take_number()?;
        let programs = match self.programs {
            Some(programs) => programs,
            None => Programs::beside_this_program()?,
        };
        let site = Site {
            id,
            state: Path::new(STATES).join(id.to_string()),
            cache: std::env::var_os("TFLEET_LAB_CACHE")
                .map_or_else(|| PathBuf::from(CACHE), PathBuf::from),
            programs,
        };
        // Before its files go, and with them the only record of its process.
        coordinator_daemon(&site.state).kill()?;
        // The hosts of a left-over lab are those that have a folder; how they were described no longer matters.
        let left_over = left_over(&site.state)?;
        Lab::new(&left_over, &site)?.purge()?;
        let lab = Lab::new(&self.description, &site)?;
        let test_lab = TestLab {
            lab,
            _number: number,
        };
        // If this fails, dropping takes down what did come up.
        test_lab.lab.up()?;
        Ok(test_lab)
    }
}

impl Deref for TestLab {
    type Target = Lab;

    fn deref(&self) -> &Lab {
        &self.lab
    }
}

impl Drop for TestLab {
    #[expect(
        clippy::print_stderr,
        reason = "a test that leaves something behind must say so"
    )]
    fn drop(&mut self) {
        if let Err(error) = self.lab.purge() {
            eprintln!("the lab {} did not go down: {error}", self.lab.id());
        }
    }
}

/// The first number that no other test on this machine holds.
fn take_number() -> Result<(LabId, File), LabError> {
    let folder = Path::new(NUMBERS);
    fs::create_dir_all(folder).map_err(at("make", folder))?;
    for number in 1..=LabId::LAST {
        let Some(id) = LabId::new(number) else { break };
        let path = folder.join(number.to_string());
        let file = File::create(&path).map_err(at("open", &path))?;
        if file.try_lock().is_ok() {
            return Ok((id, file));
        }
    }
    Err(LabError::NoFreeLab(LabId::LAST))
}

fn left_over(state: &Path) -> Result<Description, LabError> {
    let hosts = state.join("hosts");
    let mut description = Description::default();
    if hosts.is_dir() {
        for entry in fs::read_dir(&hosts).map_err(at("list", &hosts))? {
            let entry = entry.map_err(at("list", &hosts))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            description.hosts.push(HostDescription::new(&name));
        }
    }
    if state.join("builder").is_dir() {
        description.builder = Some(EngineKind::System);
    }
    Ok(description)
}
