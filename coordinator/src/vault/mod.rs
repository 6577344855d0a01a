//! The vault: what a variant can be built from again years later, with no network.
//!
//! `wheels/HEX` holds a wheel and `locks/HEX` a lock, each named by the SHA-256 of its bytes. A file of either name has
//! that content: it is written under another name, synced, renamed, and its folder synced. Bases are artifacts, in the
//! store of images; a lock names its base by digest.

mod error;

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tempfile::{NamedTempFile, TempDir};
use tfleet_proto::model::digest::{Digest, Hasher};

pub use error::VaultError;

/// How the names of files begin that are not whole yet.
const UNFINISHED: &str = ".part-";
/// How the name of a file ends whose bytes are not those that its name says.
const DAMAGED: &str = "damaged";

const BUFFER_BYTES: usize = 256 << 10;

/// The vault's folders. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Vault {
    root: Arc<Path>,
}

/// What is kept, by kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Wheel,
    Lock,
}

/// One kept file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Kept {
    pub digest: Digest,
    pub size_bytes: u64,
}

impl Kind {
    fn folder(self) -> &'static str {
        match self {
            Self::Wheel => "wheels",
            Self::Lock => "locks",
        }
    }
}

impl Vault {
    /// Opens the vault below `root`, creates its folders, and removes what a crash left unfinished.
    ///
    /// # Errors
    /// If the folders cannot be made or read.
    pub fn open(root: &Path) -> Result<Self, VaultError> {
        let vault = Self { root: root.into() };
        for kind in [Kind::Wheel, Kind::Lock] {
            let folder = vault.folder(kind);
            fs::create_dir_all(&folder).map_err(VaultError::io("create", &folder))?;
            for entry in fs::read_dir(&folder).map_err(VaultError::io("read", &folder))? {
                let entry = entry.map_err(VaultError::io("read", &folder))?;
                if entry.file_name().to_string_lossy().starts_with(UNFINISHED) {
                    remove(&entry.path())?;
                }
            }
        }
        Ok(vault)
    }

    /// The folder that it is in.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where the file of that digest is, or would be.
    pub fn path(&self, kind: Kind, digest: &Digest) -> PathBuf {
        self.folder(kind).join(digest.hex())
    }

    /// Proves that the file is there and has its digest. One that is damaged loses its name (it becomes `HEX.damaged`), so
    /// that it is fetched anew.
    ///
    /// # Errors
    /// If it cannot be read for another reason than that it is not there.
    pub fn verify(&self, kind: Kind, digest: &Digest) -> Result<Option<Kept>, VaultError> {
        let path = self.path(kind, digest);
        let mut file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(VaultError::io("open", &path)(error)),
        };
        let read = copy_hashed(&mut file, &mut io::sink());
        if let Ok((found, size_bytes)) = read
            && found == *digest
        {
            return Ok(Some(Kept {
                digest: *digest,
                size_bytes,
            }));
        }
        tracing::warn!(path = %path.display(), "a file of the vault is damaged");
        let aside = path.with_extension(DAMAGED);
        fs::rename(&path, &aside).map_err(VaultError::io("set aside", &path))?;
        self.sync(kind)?;
        Ok(None)
    }

    /// The content of a lock, or none if there is no such lock or it was found damaged.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn lock(&self, digest: &Digest) -> Result<Option<Vec<u8>>, VaultError> {
        let path = self.path(Kind::Lock, digest);
        match self.verify(Kind::Lock, digest)? {
            Some(_) => fs::read(&path)
                .map(Some)
                .map_err(VaultError::io("read", &path)),
            None => Ok(None),
        }
    }

    /// Keeps what `content` gives, and says what it was; kept already, it is not written again.
    ///
    /// # Errors
    /// If it cannot be written durably.
    pub fn keep(&self, kind: Kind, content: &mut dyn Read) -> Result<Kept, VaultError> {
        let folder = self.folder(kind);
        let mut unfinished = self.unfinished(kind)?;
        let copied = copy_hashed(content, unfinished.as_file_mut());
        let (digest, size_bytes) = copied.map_err(VaultError::io("write into", &folder))?;
        self.adopt(kind, unfinished, Kept { digest, size_bytes })
    }

    /// As [`Vault::keep`], for content that must have this digest.
    ///
    /// # Errors
    /// [`VaultError::Other`] if it has another one; then nothing is kept.
    pub fn keep_as(
        &self,
        kind: Kind,
        wanted: &Digest,
        content: &mut dyn Read,
    ) -> Result<Kept, VaultError> {
        let folder = self.folder(kind);
        let mut unfinished = self.unfinished(kind)?;
        let copied = copy_hashed(content, unfinished.as_file_mut());
        let (digest, size_bytes) = copied.map_err(VaultError::io("write into", &folder))?;
        if digest != *wanted {
            return Err(VaultError::Other {
                wanted: *wanted,
                found: digest,
            });
        }
        self.adopt(kind, unfinished, Kept { digest, size_bytes })
    }

    /// Takes over a file that lies in a folder of [`Vault::workplace`]: it is moved, not copied.
    ///
    /// # Errors
    /// If it cannot be read, synced or moved.
    pub fn take(&self, kind: Kind, path: &Path) -> Result<Kept, VaultError> {
        let mut file = File::open(path).map_err(VaultError::io("open", path))?;
        let (digest, size_bytes) =
            copy_hashed(&mut file, &mut io::sink()).map_err(VaultError::io("read", path))?;
        file.sync_all().map_err(VaultError::io("sync", path))?;
        let place = self.path(kind, &digest);
        fs::rename(path, &place).map_err(VaultError::io("rename to", &place))?;
        self.sync(kind)?;
        Ok(Kept { digest, size_bytes })
    }

    /// A folder on the vault's disk for files that are still coming in.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn workplace(&self) -> Result<TempDir, VaultError> {
        let folder = self.folder(Kind::Wheel);
        tempfile::Builder::new()
            .prefix(UNFINISHED)
            .tempdir_in(&folder)
            .map_err(VaultError::io("create a folder in", &folder))
    }

    /// Everything of a kind, by digest. Says nothing about the bytes.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub fn kept(&self, kind: Kind) -> Result<Vec<Kept>, VaultError> {
        let folder = self.folder(kind);
        let mut kept = Vec::new();
        for entry in fs::read_dir(&folder).map_err(VaultError::io("read", &folder))? {
            let entry = entry.map_err(VaultError::io("read", &folder))?;
            let Ok(digest) = Digest::from_hex(&entry.file_name().to_string_lossy()) else {
                continue;
            };
            let metadata = entry.metadata();
            let size_bytes = metadata
                .map_err(VaultError::io("read", &entry.path()))?
                .len();
            kept.push(Kept { digest, size_bytes });
        }
        kept.sort_unstable();
        Ok(kept)
    }

    fn adopt(&self, kind: Kind, file: NamedTempFile, kept: Kept) -> Result<Kept, VaultError> {
        let place = self.path(kind, &kept.digest);
        if let Err(error) = file.as_file().sync_all() {
            return Err(VaultError::io("sync", file.path())(error));
        }
        file.persist(&place)
            .map_err(|error| VaultError::io("rename to", &place)(error.error))?;
        self.sync(kind)?;
        Ok(kept)
    }

    fn unfinished(&self, kind: Kind) -> Result<NamedTempFile, VaultError> {
        let folder = self.folder(kind);
        tempfile::Builder::new()
            .prefix(UNFINISHED)
            .tempfile_in(&folder)
            .map_err(VaultError::io("create a file in", &folder))
    }

    fn sync(&self, kind: Kind) -> Result<(), VaultError> {
        let folder = self.folder(kind);
        File::open(&folder)
            .and_then(|folder| folder.sync_all())
            .map_err(VaultError::io("sync", &folder))
    }

    fn folder(&self, kind: Kind) -> PathBuf {
        self.root.join(kind.folder())
    }
}

/// Copies to the end, and says the SHA-256 and the length of what passed.
fn copy_hashed(from: &mut dyn Read, to: &mut dyn Write) -> io::Result<(Digest, u64)> {
    let mut hasher = Hasher::new();
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut bytes = 0;
    loop {
        let got = match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(got) => got,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        hasher.update(&buffer[..got]);
        to.write_all(&buffer[..got])?;
        bytes += got as u64;
    }
    Ok((hasher.finish(), bytes))
}

/// A file, or a folder of [`Vault::workplace`].
fn remove(path: &Path) -> Result<(), VaultError> {
    let removed = if path.is_dir() {
        fs::remove_dir_all(path)
    } else {
        fs::remove_file(path)
    };
    removed.map_err(VaultError::io("remove", path))
}

#[cfg(test)]
mod tests;
