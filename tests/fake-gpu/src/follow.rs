//! A GPU file that is read again whenever it changes.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::{GpuFileError, Machine};

/// The file's last known content, read again when its inode, size or modification time differs.
pub struct Followed {
    path: PathBuf,
    seen: Option<Signature>,
    machine: Machine,
}

#[derive(PartialEq, Eq)]
struct Signature {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
}

impl Followed {
    pub fn new(path: PathBuf) -> Self {
        Self {
            path,
            seen: None,
            machine: Machine::default(),
        }
    }

    /// What the machine is now.
    pub fn current(&mut self) -> Result<&Machine, GpuFileError> {
        let signature = Signature::of(&self.path).map_err(|source| GpuFileError::Read {
            path: self.path.clone(),
            source,
        })?;
        if signature != self.seen {
            // Remembered only once it was understood: a file that is not valid is an error at every call.
            self.machine = Machine::read(&self.path)?;
            self.seen = signature;
        }
        Ok(&self.machine)
    }
}

impl Signature {
    /// None where there is no file.
    fn of(path: &Path) -> io::Result<Option<Self>> {
        match fs::metadata(path) {
            Ok(metadata) => Ok(Some(Self {
                device: metadata.dev(),
                inode: metadata.ino(),
                size: metadata.size(),
                modified: (metadata.mtime(), metadata.mtime_nsec()),
            })),
            Err(source) if source.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(source),
        }
    }
}
