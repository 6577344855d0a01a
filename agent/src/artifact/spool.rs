//! Chunks that were fetched: of images that are not yet in the engine, and of those that are kept for others to come.
//!
//! One folder per artifact, one file per chunk: its zstd frame as received, under the digest of its content; or one that
//! this host made, under the same with an ending. A file is
//! written under another name first, so one with the right name was once verified. It is not flushed to the disk: after
//! a power cut it may hold anything, and therefore every read verifies again. That costs less than waiting for the disk
//! after every few megabytes.

use std::collections::{BTreeSet, VecDeque};
use std::fs;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use bytes::Bytes;
use tempfile::NamedTempFile;
use tfleet_proto::model::artifact::{ArtifactIndex, Chunk};
use tfleet_proto::model::digest::Digest;
use tracing::warn;
use zstd::bulk::Decompressor;

use crate::peers::Frames;

/// The chunks of one artifact. All its functions block.
#[derive(Debug, Clone)]
pub struct Spool {
    folder: PathBuf,
    /// Contents that were made last, for whoever needs them next.
    made: Arc<Mutex<VecDeque<(Digest, Bytes)>>>,
}

#[derive(Debug, thiserror::Error)]
#[error("cannot {operation} {}", path.display())]
pub struct SpoolError {
    operation: &'static str,
    path: PathBuf,
    #[source]
    source: io::Error,
}

/// Memory for verifying one frame after the other. Memory that is given back for each of many frames, on whatever
/// thread, is kept by the allocator, for each thread.
#[derive(Debug, Default)]
pub struct Room {
    frame: Vec<u8>,
    content: Vec<u8>,
}

/// Why a frame was not taken.
#[derive(Debug, thiserror::Error)]
pub enum RefusedFrame {
    #[error("its content is not what the index says")]
    Corrupted,
    #[error(transparent)]
    Spool(#[from] SpoolError),
}

/// So many contents that were made are held: whoever makes them is not further ahead of who reads them.
pub(super) const MADE_AHEAD: usize = 4;

const TEMPORARY: &str = ".new-";
/// Stands beside chunks whose image is in the engine, or that nobody wants.
const FINISHED: &str = ".finished";
/// The artifact's index, in its canonical form.
const INDEX: &str = ".index";
/// The ending of a frame that was made here and is not as long as the index says. It cannot be served to others.
const OWN: &str = "own";

impl Spool {
    /// Opens the artifact's folder below `root`, and removes what a killed writer left in it. The chunks in it are wanted
    /// again.
    pub fn open(root: &Path, artifact: &Digest) -> Result<Self, SpoolError> {
        let folder = root.join(artifact.hex());
        fs::create_dir_all(&folder).map_err(at("make the folder", &folder))?;
        let spool = Self::at(folder);
        for path in entries(&spool.folder)? {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if name.starts_with(TEMPORARY) || name == FINISHED {
                fs::remove_file(&path).map_err(at("remove", &path))?;
            }
        }
        Ok(spool)
    }

    /// The folder as it is.
    pub fn at(folder: PathBuf) -> Self {
        Self {
            folder,
            made: Arc::default(),
        }
    }

    /// Whether a chunk's frame, as it is sent, seems to be there. Reading it tells for sure.
    pub fn has(&self, chunk: &Chunk) -> bool {
        fs::metadata(self.path(chunk)).is_ok_and(|found| found.len() == chunk.frame_bytes)
    }

    /// Whether its content seems to be there, in whatever frame.
    pub fn has_content(&self, chunk: &Chunk) -> bool {
        let own = || fs::metadata(self.own_path(chunk));
        self.has(chunk) || own().is_ok_and(|found| found.len() > 0)
    }

    /// The content of a chunk, if it is there. One that is damaged is removed, and then it is not.
    pub fn read(&self, chunk: &Chunk) -> Result<Option<Bytes>, SpoolError> {
        if let Some(content) = self.take_made(chunk) {
            return Ok(Some(content));
        }
        match Self::read_frame(&self.path(chunk), chunk)? {
            Some(content) => Ok(Some(content)),
            None => Self::read_frame(&self.own_path(chunk), chunk),
        }
    }

    fn read_frame(path: &Path, chunk: &Chunk) -> Result<Option<Bytes>, SpoolError> {
        let frame = match fs::read(path) {
            Ok(frame) => frame,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(at("read", path)(error)),
        };
        let content = verified(chunk, &frame);
        if content.is_none() {
            warn!(path = %path.display(), "a kept chunk is damaged; it is fetched again");
            match fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(at("remove", path)(error));
                }
                _ => {}
            }
        }
        Ok(content)
    }

    /// Verifies a received frame, keeps it, and gives its content.
    pub fn take(&self, chunk: &Chunk, frame: &[u8]) -> Result<Bytes, RefusedFrame> {
        let content = verified(chunk, frame).ok_or(RefusedFrame::Corrupted)?;
        let mut file = self.temporary()?;
        file.write_all(frame).map_err(at("write", file.path()))?;
        put_in_place(&self.path(chunk), file)?;
        Ok(content)
    }

    /// Verifies a frame that was received into a file of [`Frames::land`], and keeps it.
    pub fn adopt(
        &self,
        chunk: &Chunk,
        file: NamedTempFile,
        room: &mut Room,
    ) -> Result<(), RefusedFrame> {
        room.frame.clear();
        fs::File::open(file.path())
            .and_then(|mut opened| opened.read_to_end(&mut room.frame))
            .map_err(at("read", file.path()))?;
        if !is_of(chunk, &room.frame, &mut room.content) {
            return Err(RefusedFrame::Corrupted);
        }
        Ok(put_in_place(&self.path(chunk), file)?)
    }

    /// The content of a chunk, if it seems to be there, without proof: for whoever proves what is made of it.
    pub fn read_unproven(&self, chunk: &Chunk) -> Option<Vec<u8>> {
        let frame = fs::read(self.path(chunk))
            .or_else(|_| fs::read(self.own_path(chunk)))
            .ok()?;
        zstd::bulk::decompress(&frame, usize::try_from(chunk.content_bytes).ok()?).ok()
    }

    /// The content, if it is one of those that were made last, once.
    fn take_made(&self, chunk: &Chunk) -> Option<Bytes> {
        let mut made = self.made();
        let place = made
            .iter()
            .position(|(digest, _)| *digest == chunk.digest)?;
        made.remove(place).map(|(_, content)| content)
    }

    fn made(&self) -> MutexGuard<'_, VecDeque<(Digest, Bytes)>> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps content that was made here and verified. At the level of what is sent, its frame mostly becomes the very one.
    pub fn put_made(&self, chunk: &Chunk, content: Bytes, level: i32) -> Result<(), SpoolError> {
        let mut file = self.temporary()?;
        let frame =
            zstd::bulk::compress(&content, level).map_err(at("compress for", file.path()))?;
        file.write_all(&frame).map_err(at("write", file.path()))?;
        let path = match frame.len() as u64 == chunk.frame_bytes {
            true => self.path(chunk),
            false => self.own_path(chunk),
        };
        put_in_place(&path, file)?;
        let mut made = self.made();
        made.truncate(MADE_AHEAD - 1);
        made.push_front((chunk.digest, content));
        Ok(())
    }

    /// Has the file of a chunk that another folder has, too.
    pub fn link(&self, other: &Self, chunk: &Chunk) -> Result<(), SpoolError> {
        let (from, path) = match other.has(chunk) {
            true => (other.path(chunk), self.path(chunk)),
            false => (other.own_path(chunk), self.own_path(chunk)),
        };
        match fs::hard_link(from, &path) {
            // It went in the meantime, or it came.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::AlreadyExists
                ) =>
            {
                Ok(())
            }
            linked => linked.map_err(at("link", &path)),
        }
    }

    /// Keeps the index, which tells what the chunks are when the artifact is long gone from the coordinator.
    pub fn note_index(&self, index: &ArtifactIndex) -> Result<(), SpoolError> {
        let path = self.folder.join(INDEX);
        let mut file = self.temporary()?;
        file.write_all(&index.canonical_json())
            .map_err(at("write", file.path()))?;
        put_in_place(&path, file)
    }

    /// The index that was kept, if it is that of the artifact.
    pub fn index(&self, artifact: &Digest) -> Option<ArtifactIndex> {
        let text = fs::read(self.folder.join(INDEX)).ok()?;
        let is_it = Digest::of(&text) == *artifact;
        is_it
            .then(|| ArtifactIndex::from_canonical_json(&text).ok())
            .flatten()
    }

    /// What a frame could not be received into.
    pub fn landing_failed(&self, source: io::Error) -> SpoolError {
        at("write a chunk in", &self.folder)(source)
    }

    fn temporary(&self) -> Result<NamedTempFile, SpoolError> {
        tempfile::Builder::new()
            .prefix(TEMPORARY)
            .tempfile_in(&self.folder)
            .map_err(at("make a file in", &self.folder))
    }

    fn path(&self, chunk: &Chunk) -> PathBuf {
        self.folder.join(chunk.digest.hex())
    }

    fn own_path(&self, chunk: &Chunk) -> PathBuf {
        self.path(chunk).with_extension(OWN)
    }
}

impl Frames for Spool {
    fn verify(&self, chunk: &Chunk) -> bool {
        let frame = fs::read(self.path(chunk));
        frame.is_ok_and(|frame| verified(chunk, &frame).is_some())
    }

    fn read(&self, chunk: &Chunk, offset: u64, length: usize) -> Option<Bytes> {
        let mut bytes = vec![0; length];
        let file = fs::File::open(self.path(chunk)).ok()?;
        file.read_exact_at(&mut bytes, offset).ok()?;
        Some(bytes.into())
    }

    fn land(&self) -> io::Result<NamedTempFile> {
        self.temporary().map_err(|error| error.source)
    }
}

/// Where the artifacts' folders are, in the delivery's folder.
pub fn root_in(folder: &Path) -> PathBuf {
    folder.join("spool")
}

/// Notes that the artifact's chunks are not needed now: its image is in the engine, or nobody wants it. Blocks.
pub fn finish(root: &Path, artifact: &Digest) -> Result<(), SpoolError> {
    let folder = root.join(artifact.hex());
    match fs::write(folder.join(FINISHED), []) {
        // Nothing of it was fetched.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        written => written.map_err(at("write in", &folder)),
    }
}

/// Since when the chunks in an artifact's folder are not needed. None: they are. Blocks.
pub fn finished_at(folder: &Path) -> Option<SystemTime> {
    fs::metadata(folder.join(FINISHED)).ok()?.modified().ok()
}

/// Notes of all other artifacts than the `wanted` ones that their chunks are not needed now. Blocks.
pub fn finish_others(root: &Path, wanted: &BTreeSet<Digest>) -> Result<(), SpoolError> {
    for path in entries(root)? {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        match Digest::from_hex(&name) {
            Ok(artifact) if wanted.contains(&artifact) => {}
            Ok(artifact) if finished_at(&path).is_none() => finish(root, &artifact)?,
            _ => {}
        }
    }
    Ok(())
}

fn put_in_place(path: &Path, file: NamedTempFile) -> Result<(), SpoolError> {
    file.persist(path)
        .map(drop)
        .map_err(|error| at("put in place", path)(error.error))
}

/// The content, if the frame is of that chunk.
fn verified(chunk: &Chunk, frame: &[u8]) -> Option<Bytes> {
    let mut content = Vec::new();
    is_of(chunk, frame, &mut content).then(|| content.into())
}

/// Whether the frame is of that chunk, whose content is then in `content`. No frame makes this use more memory than a
/// chunk's content takes.
fn is_of(chunk: &Chunk, frame: &[u8], content: &mut Vec<u8>) -> bool {
    let Ok(content_bytes) = usize::try_from(chunk.content_bytes) else {
        return false;
    };
    content.clear();
    content.reserve_exact(content_bytes);
    let decompressed = Decompressor::new()
        .and_then(|mut decompressor| decompressor.decompress_to_buffer(frame, content));
    decompressed.is_ok() && content.len() == content_bytes && Digest::of(content) == chunk.digest
}

pub(super) fn entries(folder: &Path) -> Result<Vec<PathBuf>, SpoolError> {
    let listed = match fs::read_dir(folder) {
        Ok(listed) => listed,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(at("list", folder)(error)),
    };
    listed
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()
        .map_err(at("list", folder))
}

pub(super) fn remove_folder(folder: &Path) -> Result<(), SpoolError> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(at("remove", folder)(error)),
        _ => Ok(()),
    }
}

fn at(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> SpoolError + use<> {
    let path = path.to_path_buf();
    move |source| SpoolError {
        operation,
        path,
        source,
    }
}
