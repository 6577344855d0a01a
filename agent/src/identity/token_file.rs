//! The file in which somebody leaves a token for the agent.

use std::fs::OpenOptions;
use std::io;
use std::path::{Path, PathBuf};

use crate::durable::{self, FileError};

#[derive(Debug, Clone)]
pub(super) struct TokenFile {
    path: PathBuf,
}

impl TokenFile {
    pub fn new(path: &Path) -> Self {
        Self {
            path: path.to_path_buf(),
        }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The text in it; `None` where there is no file or nothing in it.
    pub fn text(&self) -> Result<Option<String>, FileError> {
        let content = durable::read(&self.path)?.unwrap_or_default();
        let text = String::from_utf8_lossy(&content).trim().to_owned();
        Ok((!text.is_empty()).then_some(text))
    }

    /// Takes the token out, once it has served. The file stays, since it may be a mount or watched by somebody.
    pub fn empty(&self) -> io::Result<()> {
        OpenOptions::new()
            .write(true)
            .truncate(true)
            .open(&self.path)?
            .sync_all()
    }
}
