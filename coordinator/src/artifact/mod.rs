//! Images as content-addressed files: chunks of layers, and an index per image.
//!
//! `chunks/HEX` holds one chunk (see [`chunk`]), named by the SHA-256 of its uncompressed content; `indexes/HEX` holds
//! an artifact index, named by its own. A file of either name has that content: it is written under another name,
//! synced, renamed, and its folder synced before anything refers to it. Equal chunks of different images are one file.

mod archive;
mod chunk;
mod content;
mod entries;
mod image_config;
mod import;
mod intake;
mod layer;
mod normalise;
mod rebuild;
mod recent;
mod secrets;
mod unpack;

use std::collections::{BTreeSet, HashSet};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tfleet_proto::model::artifact::{ArtifactIndex, ArtifactIndexError};
use tfleet_proto::model::digest::Digest;
use tfleet_proto::model::failure::Failure;

pub use archive::{ArchiveError, Origin, Received, architecture_of, receive};
pub use content::LayerContent;
pub use entries::{Entries, Kind, Node, TarError};
pub use import::Import;
pub use normalise::FIXED_TIME_SECONDS;
pub use rebuild::{RebuildError, rebuild};
pub use secrets::{Secret, Secrets};

/// What stands in the name of a file that is not whole yet.
const UNFINISHED: &str = ".part";

const LARGEST_SPARE_BYTES: u64 = 1 << 30;

/// The store. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Artifacts {
    root: Arc<Path>,
    under_way: Arc<intake::UnderWay>,
    recent: Arc<recent::Recent>,
}

/// What a store has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stored {
    pub indexes: BTreeSet<Digest>,
    pub chunks: BTreeSet<Digest>,
}

/// Why the store could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("cannot {operation} {path}")]
    Io {
        operation: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// Found out before writing, while the state on the same disk can still be written.
    #[error("{path} has {free_bytes} bytes free, {spare_bytes} of them are kept for other things")]
    Full {
        path: PathBuf,
        free_bytes: u64,
        spare_bytes: u64,
    },
    #[error("the stored index {digest} is damaged")]
    Index {
        digest: Digest,
        #[source]
        source: ArtifactIndexError,
    },
    #[error("the stored index {digest} does not have its digest")]
    IndexDigest { digest: Digest },
    #[error("the stored chunk {digest} is damaged: {what}")]
    Chunk { digest: Digest, what: &'static str },
}

impl StoreError {
    fn io(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io {
            operation,
            path: path.to_owned(),
            source,
        }
    }

    /// What the operator is told.
    pub fn failure(&self) -> Failure {
        match self {
            Self::Io { path, source, .. } if source.kind() == io::ErrorKind::StorageFull => Failure::new(
                "disk-full",
                format!("the coordinator's disk is full: {} could not be written", path.display()),
            )
            .with_remedy("free some space on the coordinator's data_dir and build again; what was stored before is kept"),
            Self::Full { path, free_bytes, spare_bytes } => Failure::new(
                "disk-full",
                format!(
                    "the coordinator's disk is full: {} has {:.3} GB free, and {:.3} GB are kept for the coordinator's state",
                    path.display(),
                    *free_bytes as f64 / 1e9,
                    *spare_bytes as f64 / 1e9,
                ),
            )
            .with_remedy("free some space on the coordinator's data_dir, or move it to a larger disk, and try again; nothing of this image was kept"),
            Self::Io { source, .. } => Failure::new("store-failed", format!("{self}: {source}")),
            Self::Index { .. } | Self::IndexDigest { .. } | Self::Chunk { .. } => {
                Failure::new("artifact-damaged", self.to_string())
                    .with_remedy("check the coordinator's disk, then build the release again, or add the image or import the base again: what is damaged is stored anew")
            }
        }
    }
}

impl Artifacts {
    /// Opens the store below `root`, creates its folders, and removes what a crash left unfinished.
    ///
    /// # Errors
    /// If the folders cannot be made or read.
    pub fn open(root: &Path) -> Result<Self, StoreError> {
        let store = Self {
            root: root.into(),
            under_way: Arc::default(),
            recent: Arc::default(),
        };
        for folder in [store.chunks_folder(), store.indexes_folder()] {
            fs::create_dir_all(&folder).map_err(StoreError::io("create", &folder))?;
            for entry in fs::read_dir(&folder).map_err(StoreError::io("read", &folder))? {
                let path = entry.map_err(StoreError::io("read", &folder))?.path();
                if path
                    .extension()
                    .is_some_and(|extension| extension == &UNFINISHED[1..])
                {
                    fs::remove_file(&path).map_err(StoreError::io("remove", &path))?;
                }
            }
        }
        Ok(store)
    }

    /// The index of that digest, or none if there is no such artifact.
    ///
    /// # Errors
    /// If it cannot be read or is damaged.
    pub fn index(&self, digest: &Digest) -> Result<Option<ArtifactIndex>, StoreError> {
        let Some(text) = self.index_text(digest)? else {
            return Ok(None);
        };
        ArtifactIndex::from_canonical_json(&text)
            .map(Some)
            .map_err(|source| StoreError::Index {
                digest: *digest,
                source,
            })
    }

    /// The same in its canonical form.
    ///
    /// # Errors
    /// If it cannot be read or does not have its digest.
    pub fn index_text(&self, digest: &Digest) -> Result<Option<Vec<u8>>, StoreError> {
        let path = self.indexes_folder().join(digest.hex());
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(StoreError::io("read", &path)(error)),
        };
        if Digest::of(&text) == *digest {
            Ok(Some(text))
        } else {
            Err(StoreError::IndexDigest { digest: *digest })
        }
    }

    /// The index of an artifact that is all there: every chunk has its file, as long as it was written. None if anything
    /// is gone or known to be damaged, so that whoever can make the artifact makes it again.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn known(&self, digest: &Digest) -> Result<Option<ArtifactIndex>, StoreError> {
        let index = match self.index(digest) {
            Ok(Some(index)) => index,
            Ok(None) | Err(StoreError::Index { .. } | StoreError::IndexDigest { .. }) => {
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let folder = self.chunks_folder();
        for chunk in index.chunks() {
            if !chunk::is_there(&folder, chunk)? {
                return Ok(None);
            }
        }
        Ok(Some(index))
    }

    /// Makes an artifact of chunks that are all stored. From here on it exists.
    ///
    /// # Errors
    /// If it cannot be written durably.
    pub fn store_index(&self, index: &ArtifactIndex) -> Result<Digest, StoreError> {
        let digest = index.digest();
        sync_folder(&self.chunks_folder())?;
        let folder = self.indexes_folder();
        let path = folder.join(digest.hex());
        let text = index.canonical_json();
        // One that is there may be damaged, or its disk unable to read it: then it is written anew.
        if !fs::read(&path).is_ok_and(|stored| stored == text) {
            write_whole(&path, &[&text])?;
        }
        sync_folder(&folder)?;
        Ok(digest)
    }

    /// Removes chunks that no index refers to and no intake has claimed: a crash leaves the chunks of an image that was
    /// coming in, and perhaps it was to be refused for a secret in it. What was set aside as damaged goes too.
    ///
    /// # Errors
    /// If an index cannot be read (then nothing is removed), or a file cannot be removed.
    pub fn sweep(&self) -> Result<u64, StoreError> {
        self.under_way.stopped(|is_claimed| {
            let wanted = self.wanted()?;
            let chunks = self.files(&self.chunks_folder())?.into_iter();
            let unwanted = chunks
                .filter(|(digest, _)| !wanted.contains(digest) && !is_claimed(digest))
                .map(|(_, entry)| entry.path());
            let damaged = chunk::set_aside_files(&self.chunks_folder())?;
            let mut freed_bytes = 0;
            for path in unwanted.chain(damaged) {
                let metadata =
                    fs::symlink_metadata(&path).map_err(StoreError::io("read", &path))?;
                fs::remove_file(&path).map_err(StoreError::io("remove", &path))?;
                freed_bytes += metadata.len();
            }
            Ok(freed_bytes)
        })
    }

    /// The chunks of all images.
    fn wanted(&self) -> Result<HashSet<Digest>, StoreError> {
        let mut wanted = HashSet::new();
        for (digest, _) in self.files(&self.indexes_folder())? {
            if let Some(index) = self.index(&digest)? {
                let chunks = index.chunks();
                wanted.extend(chunks.map(|chunk| chunk.digest));
            }
        }
        Ok(wanted)
    }

    /// The whole files of a folder, by the digest that is their name.
    fn files(&self, folder: &Path) -> Result<Vec<(Digest, fs::DirEntry)>, StoreError> {
        let mut files = Vec::new();
        for entry in fs::read_dir(folder).map_err(StoreError::io("read", folder))? {
            let entry = entry.map_err(StoreError::io("read", folder))?;
            if let Ok(digest) = Digest::from_hex(&entry.file_name().to_string_lossy()) {
                files.push((digest, entry));
            }
        }
        Ok(files)
    }

    /// Bytes that chunks and indexes occupy.
    ///
    /// # Errors
    /// If the folders cannot be read.
    pub fn stored_bytes(&self) -> Result<u64, StoreError> {
        let mut bytes = 0;
        for folder in [self.chunks_folder(), self.indexes_folder()] {
            for entry in fs::read_dir(&folder).map_err(StoreError::io("read", &folder))? {
                let entry = entry.map_err(StoreError::io("read", &folder))?;
                bytes += entry
                    .metadata()
                    .map_err(StoreError::io("read", &entry.path()))?
                    .len();
            }
        }
        Ok(bytes)
    }

    /// All artifacts and all chunks that there are, as files.
    ///
    /// # Errors
    /// If the folders cannot be read.
    pub fn stored(&self) -> Result<Stored, StoreError> {
        let digests = |folder: PathBuf| -> Result<_, StoreError> {
            let files = self.files(&folder)?.into_iter();
            Ok(files.map(|(digest, _)| digest).collect())
        };
        Ok(Stored {
            indexes: digests(self.indexes_folder())?,
            chunks: digests(self.chunks_folder())?,
        })
    }

    /// The folder that it is in.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Bytes free on the store's disk.
    ///
    /// # Errors
    /// If the file system does not say.
    pub fn free_bytes(&self) -> Result<u64, StoreError> {
        free_bytes(&self.root)
    }

    fn chunks_folder(&self) -> PathBuf {
        self.root.join("chunks")
    }

    fn indexes_folder(&self) -> PathBuf {
        self.root.join("indexes")
    }
}

/// Bytes that may still be written to the disk that holds `path`.
///
/// # Errors
/// If the file system does not say.
pub fn free_bytes(path: &Path) -> Result<u64, StoreError> {
    let stat = rustix::fs::statvfs(path)
        .map_err(|error| StoreError::io("ask for free space at", path)(error.into()))?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// Of a disk, what images must leave free: 1 GiB for logs, the database and everything else that shares it, or a
/// twentieth of a small one.
///
/// # Errors
/// If the file system does not say.
pub fn spare_bytes(path: &Path) -> Result<u64, StoreError> {
    let stat = rustix::fs::statvfs(path)
        .map_err(|error| StoreError::io("ask for the size of the disk at", path)(error.into()))?;
    Ok((stat.f_blocks.saturating_mul(stat.f_frsize) / 20).min(LARGEST_SPARE_BYTES))
}

/// Writes a file so that its name never stands for less than all of it; the caller syncs the folder.
pub(crate) fn write_whole(path: &Path, parts: &[&[u8]]) -> Result<(), StoreError> {
    // Two threads may store equal content at once: each under its own name, and either rename is right.
    static SERIAL: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    let serial = SERIAL.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let unfinished = path.with_extension(format!("{serial}{UNFINISHED}"));
    let written = File::create(&unfinished).and_then(|mut file| {
        for part in parts {
            file.write_all(part)?;
        }
        file.sync_all()
    });
    if let Err(error) = written {
        // What was written takes the very space that may be lacking; the first error is the one to tell.
        let _ = fs::remove_file(&unfinished);
        return Err(StoreError::io("write", path)(error));
    }
    fs::rename(&unfinished, path).map_err(StoreError::io("rename to", path))
}

pub(crate) fn sync_folder(folder: &Path) -> Result<(), StoreError> {
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(StoreError::io("sync", folder))
}

#[cfg(test)]
mod tests;
