//! Chunks that were fetched and whose image is not yet in the engine.
//!
//! One folder per artifact, one file per chunk: its zstd frame as received, under the digest of its content. A file is
//! written under another name first, so one with the right name was once verified. It is not flushed to the disk: after
//! a power cut it may hold anything, and therefore every read verifies again. That costs less than waiting for the disk
//! after every few megabytes.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use tempfile::NamedTempFile;
use tfleet_proto::model::artifact::Chunk;
use tfleet_proto::model::digest::Digest;
use tracing::warn;
use zstd::bulk::Decompressor;

use crate::peers::Frames;

/// The chunks of one artifact. All its functions block.
#[derive(Debug, Clone)]
pub struct Spool {
    folder: PathBuf,
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

const TEMPORARY: &str = ".new-";
/// Stands beside chunks whose image is in the engine.
const FINISHED: &str = ".finished";

impl Spool {
    /// Opens the artifact's folder below `root`, and removes what a killed writer left in it. The chunks in it are wanted
    /// again.
    pub fn open(root: &Path, artifact: &Digest) -> Result<Self, SpoolError> {
        let folder = root.join(artifact.hex());
        fs::create_dir_all(&folder).map_err(at("make the folder", &folder))?;
        let spool = Self { folder };
        for path in entries(&spool.folder)? {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if name.starts_with(TEMPORARY) || name == FINISHED {
                fs::remove_file(&path).map_err(at("remove", &path))?;
            }
        }
        Ok(spool)
    }

    /// Whether a chunk seems to be there. Reading it tells for sure.
    pub fn has(&self, chunk: &Chunk) -> bool {
        fs::metadata(self.path(chunk)).is_ok_and(|found| found.len() == chunk.frame_bytes)
    }

    /// The content of a chunk, if it is there. One that is damaged is removed, and then it is not.
    pub fn read(&self, chunk: &Chunk) -> Result<Option<Bytes>, SpoolError> {
        let path = self.path(chunk);
        let frame = match fs::read(&path) {
            Ok(frame) => frame,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(at("read", &path)(error)),
        };
        let content = verified(chunk, &frame);
        if content.is_none() {
            warn!(path = %path.display(), "a kept chunk is damaged; it is fetched again");
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(at("remove", &path)(error));
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
        self.put_in_place(chunk, file)?;
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
        Ok(self.put_in_place(chunk, file)?)
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

    fn put_in_place(&self, chunk: &Chunk, file: NamedTempFile) -> Result<(), SpoolError> {
        let path = self.path(chunk);
        file.persist(&path)
            .map(drop)
            .map_err(|error| at("put in place", &path)(error.error))
    }

    fn path(&self, chunk: &Chunk) -> PathBuf {
        self.folder.join(chunk.digest.hex())
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

/// Removes the chunks of one artifact, whose image is in the engine. Blocks.
pub fn forget(root: &Path, artifact: &Digest) -> Result<(), SpoolError> {
    remove_folder(&root.join(artifact.hex()))
}

/// Notes that the image is in the engine: from now on its chunks are only for other hosts. Blocks.
pub fn finish(root: &Path, artifact: &Digest) -> Result<(), SpoolError> {
    let path = root.join(artifact.hex()).join(FINISHED);
    fs::write(&path, []).map_err(at("write", &path))
}

/// Removes the chunks of one artifact, unless it is wanted again. Blocks.
pub fn forget_finished(root: &Path, artifact: &Digest) -> Result<(), SpoolError> {
    let folder = root.join(artifact.hex());
    if folder.join(FINISHED).exists() {
        remove_folder(&folder)?;
    }
    Ok(())
}

/// Removes the chunks of all other artifacts than the `wanted` ones, and of those whose image is in the engine, unless
/// they are `served` to others. Blocks.
pub fn keep_only(
    root: &Path,
    wanted: &BTreeSet<Digest>,
    served: &[Digest],
) -> Result<(), SpoolError> {
    let kept: BTreeSet<String> = wanted.iter().map(Digest::hex).collect();
    let served: BTreeSet<String> = served.iter().map(Digest::hex).collect();
    for path in entries(root)? {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let is_finished = path.join(FINISHED).exists() && !served.contains(name.as_ref());
        if is_finished || !kept.contains(name.as_ref()) {
            remove_folder(&path)?;
        }
    }
    Ok(())
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

fn entries(folder: &Path) -> Result<Vec<PathBuf>, SpoolError> {
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

fn remove_folder(folder: &Path) -> Result<(), SpoolError> {
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
