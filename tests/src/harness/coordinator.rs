//! The coordinator as a process: started, killed and started again on the same data.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use crate::lab::{Daemon, Programs, coordinator_daemon, coordinator_folder};

pub struct Coordinator {
    program: PathBuf,
    folder: PathBuf,
    daemon: Daemon,
}

const STOP_WITHIN: Duration = Duration::from_secs(15);

impl Coordinator {
    /// Writes the configuration of a coordinator at `address`, with `builder` as its building engine and `build` as the
    /// content of the table `[build]`.
    pub fn new(
        programs: &Programs,
        state: &Path,
        address: &str,
        builder: Option<&str>,
        build: &str,
    ) -> Result<Self> {
        let folder = coordinator_folder(state);
        fs::create_dir_all(&folder)?;
        let data = Self::data_in(state);
        let mut config = format!(
            "data_dir = \"{}\"\nname = \"test\"\nadvertise = \"{address}\"\n\n\
             [listen]\nenrolment = \"{address}:7443\"\nfleet = \"{address}:7444\"\n\n",
            data.display()
        );
        if let Some(engine) = builder {
            config.push_str(&format!(
                "[[builder]]\narchitecture = \"x86_64\"\nengine = \"{engine}\"\n\n"
            ));
        }
        config.push_str(&format!("[build]\n{build}"));
        fs::write(folder.join("coordinator.toml"), config)?;
        Ok(Self {
            program: programs.coordinator()?,
            daemon: coordinator_daemon(state),
            folder,
        })
    }

    pub fn config(&self) -> PathBuf {
        self.folder.join("coordinator.toml")
    }

    pub fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// The same, of a lab whose coordinator was not started yet.
    pub fn data_in(state: &Path) -> PathBuf {
        coordinator_folder(state).join("data")
    }

    /// The first operator's.
    pub fn credentials(&self) -> PathBuf {
        self.data().join("admin.toml")
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.daemon.log()).unwrap_or_default()
    }

    /// The process id, if it runs.
    pub fn pid(&self) -> Option<i32> {
        self.daemon.running().map(|pid| pid.as_raw_nonzero().get())
    }

    pub fn start(&self) -> Result<()> {
        let mut command = Command::new(&self.program);
        command.args(["serve", "--config"]).arg(self.config());
        self.daemon.start(&command)?;
        Ok(())
    }

    /// With so many file descriptors and no more.
    pub fn start_with_files(&self, files: u32) -> Result<()> {
        let mut command = Command::new("prlimit");
        command.arg(format!("--nofile={files}")).arg(&self.program);
        command.args(["serve", "--config"]).arg(self.config());
        self.daemon.start(&command)?;
        Ok(())
    }

    pub fn stop(&self) -> Result<()> {
        Ok(self.daemon.stop(STOP_WITHIN)?)
    }

    /// `kill -9`.
    pub fn kill(&self) -> Result<()> {
        Ok(self.daemon.kill()?)
    }
}

impl Drop for Coordinator {
    #[expect(
        clippy::print_stderr,
        reason = "a test that leaves something behind must say so"
    )]
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the coordinator's log\n{}", tail(&self.log(), 60));
        }
        if let Err(error) = self.kill() {
            eprintln!("the coordinator did not end: {error}");
        }
    }
}

fn tail(text: &str, lines: usize) -> String {
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}
