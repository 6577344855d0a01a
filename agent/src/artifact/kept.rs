//! Chunks that stay on this host for images to come: of those in the engine, and of those that nobody wants any more.
//!
//! An image to come takes equal chunks from here, and is sent as patches of others. What is kept is bounded, and goes
//! when its room is needed: the artifact that was done with first goes first.

use std::collections::{BTreeSet, VecDeque};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use tfleet_proto::model::artifact::{ArtifactIndex, Chunk};
use tfleet_proto::model::digest::Digest;
use tracing::{info, warn};

use super::spool::{self, Spool, SpoolError};

/// How much may be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// Bytes on the disk.
    pub bytes: u64,
}

impl Limit {
    /// Chunks go as soon as their image is in the engine.
    pub const NOTHING: Self = Self { bytes: 0 };
}

/// Of a disk, this part stays free of kept chunks.
const FREE_ONE_IN: u64 = 10;

/// What is kept of one artifact.
#[derive(Debug, Clone)]
pub(super) struct Kept {
    pub artifact: Digest,
    pub index: ArtifactIndex,
    spool: Spool,
}

impl Kept {
    pub fn has(&self, chunk: &Chunk) -> bool {
        self.spool.has_content(chunk)
    }

    pub fn spool(&self) -> &Spool {
        &self.spool
    }
}

/// A folder of chunks that is not needed now.
struct Folder {
    path: PathBuf,
    artifact: Digest,
    since: SystemTime,
}

impl Folder {
    /// Without its index nothing can be told of it, and nothing made.
    fn is_usable(&self) -> bool {
        Spool::at(self.path.clone()).index(&self.artifact).is_some()
    }
}

/// What is kept of other artifacts than this, the newest first. One without a usable index is left out. Blocks.
pub(super) fn others(root: &Path, artifact: &Digest) -> Result<Vec<Kept>, SpoolError> {
    let mut folders = folders(root)?;
    folders.retain(|folder| folder.artifact != *artifact);
    folders.sort_by_key(|folder| std::cmp::Reverse(folder.since));
    let kept = folders.into_iter().filter_map(|folder| {
        let spool = Spool::at(folder.path);
        let index = spool.index(&folder.artifact)?;
        Some(Kept {
            artifact: folder.artifact,
            index,
            spool,
        })
    });
    Ok(kept.collect())
}

/// Gives the spool those of its chunks that are kept of others. They take no room besides. Blocks.
pub(super) fn adopt<'a>(
    spool: &Spool,
    chunks: impl Iterator<Item = &'a Chunk>,
    kept: &[Kept],
) -> Result<(), SpoolError> {
    for chunk in chunks.filter(|chunk| !spool.has_content(chunk)) {
        if let Some(owner) = kept.iter().find(|kept| kept.has(chunk)) {
            spool.link(&owner.spool, chunk)?;
        }
    }
    Ok(())
}

/// Removes the artifacts that were done with first, until no more than `limit` is kept and the disk has some room.
/// What is `served` to others stays. Blocks.
pub fn evict(root: &Path, limit: Limit, served: &BTreeSet<Digest>) -> Result<(), SpoolError> {
    evict_until(root, served, |kept_bytes| {
        limit != Limit::NOTHING && kept_bytes <= limit.bytes && has_room(root)
    })
}

/// The same, until what is kept is little enough. Blocks.
pub(super) fn evict_until(
    root: &Path,
    served: &BTreeSet<Digest>,
    is_enough: impl Fn(u64) -> bool,
) -> Result<(), SpoolError> {
    let mut folders = folders(root)?;
    folders.retain(|folder| !served.contains(&folder.artifact));
    folders.sort_by_cached_key(|folder| (folder.is_usable(), folder.since));
    let mut folders = VecDeque::from(folders);
    loop {
        // Anew each time: a chunk that several have counts for each in part.
        let kept_bytes = folders.iter().map(|folder| disk_bytes(&folder.path)).sum();
        if is_enough(kept_bytes) {
            return Ok(());
        }
        let Some(folder) = folders.pop_front() else {
            return Ok(());
        };
        info!(artifact = %folder.artifact.short(), "chunks that were kept for images to come are removed");
        // It may have been taken up again.
        if spool::finished_at(&folder.path).is_some() {
            spool::remove_folder(&folder.path)?;
        }
    }
}

/// The folders of artifacts whose image is in the engine, or that nobody wants. Blocks.
fn folders(root: &Path) -> Result<Vec<Folder>, SpoolError> {
    let mut folders = Vec::new();
    for path in spool::entries(root)? {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let Ok(artifact) = Digest::from_hex(&name) else {
            continue;
        };
        if let Some(since) = spool::finished_at(&path) {
            folders.push(Folder {
                path,
                artifact,
                since,
            });
        }
    }
    Ok(folders)
}

/// Whether the disk has the room that is left free.
pub(super) fn has_room(root: &Path) -> bool {
    rustix::fs::statvfs(root).is_ok_and(|found| found.f_bavail >= found.f_blocks / FREE_ONE_IN)
}

/// What removing the folder brings, about: a file that is in several folders counts for each in part.
fn disk_bytes(folder: &Path) -> u64 {
    let files = match fs::read_dir(folder) {
        Ok(files) => files,
        Err(error) => {
            if error.kind() != io::ErrorKind::NotFound {
                warn!(path = %folder.display(), %error, "kept chunks cannot be counted");
            }
            return 0;
        }
    };
    files
        .flatten()
        .filter_map(|file| file.metadata().ok())
        // stat(2): blocks of 512 bytes, whatever the file system's own.
        .map(|metadata| metadata.blocks() * 512 / metadata.nlink().max(1))
        .sum()
}

#[cfg(test)]
mod tests;
