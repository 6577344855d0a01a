//! A host's agent, under a small supervisor that starts it again when it dies (a real host has systemd for that).

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::cell::Cell;
use super::daemon::Daemon;
use super::driver::Driver;
use super::error::{LabError, at};
use super::programs::Programs;

#[derive(Clone, Debug)]
pub struct Agent {
    folder: PathBuf,
    cell: Cell,
    driver: Driver,
    programs: Programs,
    supervisor: Daemon,
    process: Daemon,
}

/// An agent has this long to end its session.
const STOP_WITHIN: Duration = Duration::from_secs(10);
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// One that ran so long did not die of how it was started.
const STEADY_AFTER: Duration = Duration::from_secs(30);

impl Agent {
    pub fn new(folder: PathBuf, cell: Cell, driver: Driver, programs: Programs) -> Self {
        Self {
            supervisor: Daemon::new(&folder, "supervisor"),
            process: Daemon::new(&folder, "agent"),
            folder,
            cell,
            driver,
            programs,
        }
    }

    pub fn config(&self) -> PathBuf {
        self.folder.join("agent.toml")
    }

    /// Where a token is put for the agent to enrol with.
    pub fn token_file(&self) -> PathBuf {
        self.folder.join("token")
    }

    pub fn policy_file(&self) -> PathBuf {
        self.folder.join("policy.toml")
    }

    pub fn data_folder(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// The supervisor; its log holds the agent's output.
    pub fn supervisor(&self) -> &Daemon {
        &self.supervisor
    }

    /// The agent itself.
    pub fn process(&self) -> &Daemon {
        &self.process
    }

    pub fn prepare(&self) -> Result<(), LabError> {
        fs::create_dir_all(&self.folder).map_err(at("make", &self.folder))
    }

    /// Any program as the host would run it: in its namespaces, with its driver.
    pub fn command(&self, program: &Path) -> Command {
        let mut command = self.cell.command("env");
        let mut path = std::ffi::OsString::from("PATH=");
        path.push(self.driver.program_folder());
        if let Some(inherited) = std::env::var_os("PATH") {
            path.push(":");
            path.push(inherited);
        }
        let mut library = std::ffi::OsString::from("LD_LIBRARY_PATH=");
        library.push(self.driver.library_folder());
        let mut gpu_file = std::ffi::OsString::from("TFLEET_FAKE_GPU_FILE=");
        gpu_file.push(self.driver.gpu_file());
        command.args([path, library, gpu_file]).arg(program);
        command
    }

    /// Starts the agent and its supervisor, unless they run.
    pub fn start(&self, agent: &Path) -> Result<(), LabError> {
        if self.supervisor.running().is_some() {
            return Ok(());
        }
        // One whose supervisor was killed has nobody to start it again.
        self.process.stop(STOP_WITHIN)?;
        let lab = self.programs.lab()?;
        let mut command = self.command(&lab);
        command
            .args(["supervise", "--folder"])
            .arg(&self.folder)
            .arg("--")
            .arg(agent)
            .args(["run", "--config"])
            .arg(self.config());
        self.supervisor.start(&command).map(drop)
    }

    /// Ends the supervisor, then the agent.
    pub fn stop(&self) -> Result<(), LabError> {
        self.supervisor.kill()?;
        self.process.stop(STOP_WITHIN)
    }

    /// `kill -9` of the agent; its supervisor starts it again.
    pub fn kill(&self) -> Result<(), LabError> {
        self.process.kill()
    }
}

/// The supervisor's life: runs `command` again and again. It ends only by being killed.
pub fn supervise(folder: &Path, command: &[std::ffi::OsString]) -> Result<(), LabError> {
    let Some((program, arguments)) = command.split_first() else {
        return Err(LabError::BadDescription("nothing to supervise".to_owned()));
    };
    let process = Daemon::new(folder, "agent");
    let mut pause = FIRST_PAUSE;
    loop {
        let began = Instant::now();
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .spawn()
            .map_err(|source| LabError::Spawn {
                command: program.to_string_lossy().into_owned(),
                source,
            })?;
        // One that has ended already has no process to note.
        let _ = process.adopt(child.id());
        let status = child.wait().map_err(at("wait for", Path::new(program)))?;
        pause = if began.elapsed() > STEADY_AFTER {
            FIRST_PAUSE
        } else {
            (pause * 2).min(LONGEST_PAUSE)
        };
        note(&format!(
            "the agent ended ({status}); starting it again in {pause:?}"
        ));
        std::thread::sleep(pause);
    }
}

#[expect(
    clippy::print_stderr,
    reason = "the supervisor's standard error is the host's log"
)]
fn note(line: &str) {
    eprintln!("tfleet-lab: {line}");
}
