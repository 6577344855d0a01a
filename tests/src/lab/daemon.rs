//! A long-running process of the lab, known by a file with its process id.
//!
//! The lab's command ends while what it started runs on, so a process is found again by its id together with its start
//! time: an id that has passed to another process is not mistaken for ours.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::command::show;
use super::error::{LabError, at};

#[derive(Clone, Debug)]
pub struct Daemon {
    name: String,
    pid_file: PathBuf,
    log: PathBuf,
}

/// How long a killed process may take to disappear (it may be in the middle of a write).
const KILLED_WITHIN: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(20);

impl Daemon {
    /// A daemon whose process id is kept in `FOLDER/NAME.pid` and whose output goes to `FOLDER/NAME.log`.
    pub fn new(folder: &Path, name: &str) -> Self {
        Self {
            name: name.to_owned(),
            pid_file: folder.join(format!("{name}.pid")),
            log: folder.join(format!("{name}.log")),
        }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn log(&self) -> &Path {
        &self.log
    }

    /// The process, if it runs.
    pub fn running(&self) -> Option<Pid> {
        let text = fs::read_to_string(&self.pid_file).ok()?;
        let (pid, started) = text.trim().split_once(' ')?;
        let pid = Pid::from_raw(pid.parse().ok()?)?;
        (start_time(pid)? == started.parse::<u64>().ok()?).then_some(pid)
    }

    /// Starts `command` in a session of its own, so that neither Ctrl-C nor a closed terminal ends it.
    pub fn start(&self, command: &Command) -> Result<Pid, LabError> {
        let mut detached = Command::new("setsid");
        detached.arg(command.get_program()).args(command.get_args());
        for (key, value) in command.get_envs() {
            match value {
                Some(value) => detached.env(key, value),
                None => detached.env_remove(key),
            };
        }
        let log = File::options()
            .create(true)
            .append(true)
            .open(&self.log)
            .map_err(at("open", &self.log))?;
        let second = log.try_clone().map_err(at("open", &self.log))?;
        let child = detached
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(second)
            .spawn()
            .map_err(|source| LabError::Spawn {
                command: show(&detached),
                source,
            })?;
        self.adopt(child.id())
    }

    /// Takes a process that was started otherwise for this daemon.
    pub fn adopt(&self, id: u32) -> Result<Pid, LabError> {
        let ended = || self.ended();
        let pid = i32::try_from(id)
            .ok()
            .and_then(Pid::from_raw)
            .ok_or_else(ended)?;
        let started = start_time(pid).ok_or_else(ended)?;
        fs::write(&self.pid_file, format!("{pid} {started}\n"))
            .map_err(at("write", &self.pid_file))?;
        Ok(pid)
    }

    /// Waits until `ready` says so, as long as the process lives, for at most `patience`.
    pub fn wait_until(
        &self,
        socket: &Path,
        patience: Duration,
        mut ready: impl FnMut() -> bool,
    ) -> Result<(), LabError> {
        let began = Instant::now();
        while !ready() {
            if self.running().is_none() {
                return Err(self.ended());
            }
            if began.elapsed() > patience {
                return Err(LabError::Silent {
                    what: self.name.clone(),
                    socket: socket.to_owned(),
                    log: self.log.clone(),
                    tail: self.tail(),
                });
            }
            sleep(LOOK_EVERY);
        }
        Ok(())
    }

    /// Asks it to end, and kills it after `grace`. Returns when it is gone.
    pub fn stop(&self, grace: Duration) -> Result<(), LabError> {
        let Some(pid) = self.running() else {
            return self.forget();
        };
        // An error here means that it has just ended by itself.
        let _ = kill_process(pid, Signal::TERM);
        if !wait_gone(pid, grace) {
            return self.kill();
        }
        self.forget()
    }

    /// `kill -9`. Returns when it is gone.
    pub fn kill(&self) -> Result<(), LabError> {
        if let Some(pid) = self.running() {
            kill_and_wait(pid, &self.name)?;
        }
        self.forget()
    }

    /// The end of its log, for a person.
    pub fn tail(&self) -> String {
        let text = fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(15)..].join("\n")
    }

    fn ended(&self) -> LabError {
        LabError::Ended {
            what: self.name.clone(),
            log: self.log.clone(),
            tail: self.tail(),
        }
    }

    fn forget(&self) -> Result<(), LabError> {
        match fs::remove_file(&self.pid_file) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                Err(at("remove", &self.pid_file)(source))
            }
            _ => Ok(()),
        }
    }
}

/// Kills a process and waits until it is gone.
pub fn kill_and_wait(pid: Pid, what: &str) -> Result<(), LabError> {
    // An error here means that it has just ended by itself.
    let _ = kill_process(pid, Signal::KILL);
    if wait_gone(pid, KILLED_WITHIN) {
        return Ok(());
    }
    Err(LabError::Undying {
        what: what.to_owned(),
        pid: pid.as_raw_nonzero().get(),
    })
}

fn wait_gone(pid: Pid, patience: Duration) -> bool {
    let began = Instant::now();
    while start_time(pid).is_some() {
        if began.elapsed() > patience {
            return false;
        }
        sleep(LOOK_EVERY);
    }
    true
}

/// When a process started, in clock ticks since boot. None once it is gone; one that only waits for its parent to
/// notice is gone, too. (proc(5): the state is the third field, the start time the 22nd; the second is in parentheses
/// and may hold spaces.)
fn start_time(pid: Pid) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?;
    if matches!(state, "Z" | "X") {
        return None;
    }
    fields.nth(18)?.parse().ok()
}
