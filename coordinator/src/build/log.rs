//! A build's log: a file that grows, and its followers.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use tokio::sync::watch;

use super::BuildError;
use crate::artifact::Secrets;

/// So many lines reach the person with a failure.
const LAST_LINES: usize = 15;

/// One line, and when it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    pub at: Timestamp,
    pub line: String,
}

/// The log of a build that runs. Cheap to clone.
#[derive(Debug, Clone)]
pub struct BuildLog {
    inner: Arc<Mutex<Inner>>,
    /// Counts lines, to wake followers.
    lines: Arc<watch::Sender<u64>>,
}

#[derive(Debug)]
struct Inner {
    file: File,
    path: PathBuf,
    last: VecDeque<String>,
    secrets: Secrets,
}

impl BuildLog {
    /// Begins a new log at `path`; an earlier attempt's is replaced.
    ///
    /// # Errors
    /// If the file cannot be made.
    pub fn begin(path: &Path) -> Result<Self, BuildError> {
        let file = File::create(path).map_err(BuildError::io("create the log", path))?;
        let inner = Inner {
            file,
            path: path.to_owned(),
            last: VecDeque::new(),
            secrets: Secrets::default(),
        };
        Ok(Self {
            inner: Arc::new(Mutex::new(inner)),
            lines: Arc::new(watch::Sender::new(0)),
        })
    }

    /// From here on, these never reach the file.
    pub fn hide(&self, secrets: Secrets) {
        self.lock().secrets = secrets;
    }

    /// Adds text, line by line. A log that cannot be written must not fail the build: that is said once, to the
    /// coordinator's own log.
    pub fn line(&self, text: impl AsRef<str>) {
        let mut inner = self.lock();
        for line in text.as_ref().lines() {
            let line = inner.secrets.redact(line.trim_end());
            if let Err(error) = writeln!(inner.file, "{} {line}", Timestamp::now()) {
                tracing::warn!(path = %inner.path.display(), %error, "cannot write the build's log");
            }
            if inner.last.len() == LAST_LINES {
                inner.last.pop_front();
            }
            inner.last.push_back(line);
        }
        drop(inner);
        self.lines.send_modify(|lines| *lines += 1);
    }

    /// The last lines, for a failure's message.
    pub fn last_lines(&self) -> String {
        self.lock()
            .last
            .iter()
            .cloned()
            .collect::<Vec<_>>()
            .join("\n")
    }

    /// Changes whenever there are new lines; closed when the build is over.
    pub fn follow(&self) -> watch::Receiver<u64> {
        self.lines.subscribe()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The whole lines of the log at `path` from byte `offset` on, and where the next read begins.
///
/// # Errors
/// If the file cannot be read.
pub fn read_lines(path: &Path, offset: u64) -> Result<(Vec<LogLine>, u64), BuildError> {
    let error = || BuildError::io("read the log", path);
    let mut file = match fs::File::open(path) {
        Ok(file) => BufReader::new(file),
        Err(failed) => return Err(error()(failed)),
    };
    file.seek(SeekFrom::Start(offset)).map_err(error())?;
    let (mut lines, mut next, mut text) = (Vec::new(), offset, Vec::new());
    loop {
        text.clear();
        let got = file.read_until(b'\n', &mut text).map_err(error())?;
        if got == 0 || text.last() != Some(&b'\n') {
            return Ok((lines, next));
        }
        next += got as u64;
        let line = String::from_utf8_lossy(&text);
        if let Some((at, line)) = line.trim_end_matches('\n').split_once(' ')
            && let Ok(at) = at.parse()
        {
            lines.push(LogLine {
                at,
                line: line.to_owned(),
            });
        }
    }
}

#[cfg(test)]
mod tests;
