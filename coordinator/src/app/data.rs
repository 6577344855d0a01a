//! The data directory: its owner's alone, and one coordinator's at a time.

use std::fs::{DirBuilder, File, TryLockError};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

use super::AppError;

/// The lock on a data directory. The kernel takes it back however the process ends.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    pub fn take(data_dir: &Path) -> Result<Self, AppError> {
        let failed = |source| AppError::DataDir {
            path: data_dir.to_owned(),
            source,
        };
        make(data_dir)?;
        let file = File::create(data_dir.join("lock")).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => Err(AppError::InUse {
                path: data_dir.to_owned(),
            }),
            Err(TryLockError::Error(source)) => Err(failed(source)),
        }
    }
}

pub fn make(data_dir: &Path) -> Result<(), AppError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(data_dir)
        .map_err(|source| AppError::DataDir {
            path: data_dir.to_owned(),
            source,
        })
}
