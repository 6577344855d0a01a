//! Whether there is room for a delivery, asked before the first byte is fetched.

use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use bytesize::ByteSize;
use tfleet_proto::model::failure::Failure;

/// Left over for the engine's and the agent's own records.
const SPARE_BYTES: u64 = 64 << 20;

/// What a delivery will write, at its peak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Need {
    /// Content of the layers that the engine gets. It unpacks the whole archive before it begins with the layers, so it
    /// needs twice that.
    pub content_bytes: u64,
    /// Frames that the spool does not have yet.
    pub spool_bytes: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoSpace {
    pub path: PathBuf,
    pub needed_bytes: u64,
    pub free_bytes: u64,
}

impl NoSpace {
    /// Whether what is removed from a folder makes room here.
    pub fn is_on(&self, folder: &Path) -> bool {
        matches!((device(&self.path), device(folder)), (Ok(ours), Ok(theirs)) if ours == theirs)
    }
}

#[derive(Debug, thiserror::Error)]
pub enum SpaceError {
    #[error("{0}")]
    Short(NoSpace),
    #[error("the free space at {} cannot be read", path.display())]
    Unreadable {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

/// Checks the folder where the engine puts images, if it can be seen from here, and the spool. Blocks.
pub fn check(need: Need, engine: Option<&Path>, spool: &Path) -> Result<(), SpaceError> {
    let engine_bytes = need.content_bytes.saturating_mul(2);
    let Some(engine) = engine.filter(|path| path.exists()) else {
        return has_room(spool, need.spool_bytes);
    };
    if device(engine)? == device(spool)? {
        return has_room(engine, engine_bytes.saturating_add(need.spool_bytes));
    }
    has_room(engine, engine_bytes)?;
    has_room(spool, need.spool_bytes)
}

fn has_room(path: &Path, needed_bytes: u64) -> Result<(), SpaceError> {
    let found = rustix::fs::statvfs(path).map_err(|error| unreadable(path)(error.into()))?;
    let free_bytes = found.f_bavail.saturating_mul(found.f_frsize);
    if needed_bytes == 0 || free_bytes >= needed_bytes.saturating_add(SPARE_BYTES) {
        return Ok(());
    }
    Err(SpaceError::Short(NoSpace {
        path: path.to_path_buf(),
        needed_bytes,
        free_bytes,
    }))
}

fn device(path: &Path) -> Result<u64, SpaceError> {
    fs::metadata(path)
        .map(|found| found.dev())
        .map_err(unreadable(path))
}

fn unreadable(path: &Path) -> impl FnOnce(io::Error) -> SpaceError {
    let path = path.to_path_buf();
    move |source| SpaceError::Unreadable { path, source }
}

impl SpaceError {
    pub fn failure(&self) -> Failure {
        match self {
            Self::Short(_) => Failure::new("disk-full", self.to_string())
                .with_remedy("free space there (`docker system df` shows what takes it), or give the engine a larger disk"),
            Self::Unreadable { source, .. } => Failure::new("spool-failed", format!("{self}: {source}"))
                .with_remedy("see to the disk that holds the agent's data folder"),
        }
    }
}

impl fmt::Display for NoSpace {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "the image needs {} at {} while it is loaded, and {} are free",
            ByteSize(self.needed_bytes),
            self.path.display(),
            ByteSize(self.free_bytes)
        )
    }
}
