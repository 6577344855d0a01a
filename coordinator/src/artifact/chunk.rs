//! One stored chunk: its zstd frame, then a skippable frame with the SHA-256 of the first.
//!
//! The name says what the content is once decompressed; checking that before each send would cost a decompression per
//! host. The trailer lets a reader prove in a third of a millisecond per MiB that the disk gave back what was written,
//! and `zstd -d` still reads the file, because decoders skip such frames.

use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use tfleet_proto::model::artifact::{Chunk, FRAME_LEVEL};
use tfleet_proto::model::digest::{Digest, Hasher};

use super::intake::Intake;
use super::recent::FileState;
use super::{StoreError, write_whole};

/// Skippable frame number zero with 32 bytes of content.
const TRAILER_HEAD: [u8; 8] = [0x50, 0x2A, 0x4D, 0x18, 32, 0, 0, 0];
const TRAILER_BYTES: usize = TRAILER_HEAD.len() + 32;

/// The ending of a file whose bytes are not those that its name says.
const DAMAGED: &str = "damaged";

/// Stores an image's chunks; holds what one thread needs for it.
pub struct ChunkWriter<'a> {
    folder: &'a Path,
    intake: &'a Intake<'a>,
    compressor: zstd::bulk::Compressor<'static>,
}

impl<'a> ChunkWriter<'a> {
    pub fn new(folder: &'a Path, intake: &'a Intake<'a>) -> Result<Self, StoreError> {
        let compressor = zstd::bulk::Compressor::new(FRAME_LEVEL)
            .map_err(StoreError::io("prepare to write", folder))?;
        Ok(Self {
            folder,
            intake,
            compressor,
        })
    }

    /// Stores `content` unless it is there already and whole: so that building again mends what a disk damaged. Its name
    /// in the folder is durable once the folder was synced.
    pub fn store(&mut self, content: &[u8]) -> Result<Chunk, StoreError> {
        let digest = Digest::of(content);
        let content_bytes = content.len() as u64;
        let path = self.folder.join(digest.hex());
        self.intake.claim(&digest)?;
        if let Some(frame_bytes) = whole_frame(&path) {
            return Ok(Chunk {
                digest,
                content_bytes,
                frame_bytes,
            });
        }
        let frame = self
            .compressor
            .compress(content)
            .map_err(StoreError::io("compress for", &path))?;
        let _room = self.intake.room(frame.len() as u64)?;
        write(&path, &frame)?;
        Ok(Chunk {
            digest,
            content_bytes,
            frame_bytes: frame.len() as u64,
        })
    }
}

/// Writes a chunk's file.
pub fn write(path: &Path, frame: &[u8]) -> Result<(), StoreError> {
    write_whole(path, &[frame, &TRAILER_HEAD, Digest::of(frame).as_bytes()])
}

/// Whether the file at `path` is what was written, whatever its length.
pub fn is_whole(path: &Path) -> bool {
    whole_frame(path).is_some()
}

/// The length of the frame in the file at `path`, if its trailer proves it whole. A file that cannot be read is not.
fn whole_frame(path: &Path) -> Option<u64> {
    let mut file = File::open(path).ok()?;
    let frame_bytes = file
        .metadata()
        .ok()?
        .len()
        .checked_sub(TRAILER_BYTES as u64)?;
    matches!(has_its_trailer(&mut file, frame_bytes), Ok(true)).then_some(frame_bytes)
}

/// Reads the frame and compares its hash with that in the trailer, in a few kilobytes of memory.
fn has_its_trailer(file: &mut File, frame_bytes: u64) -> io::Result<bool> {
    let mut hasher = Hasher::new();
    let mut buffer = vec![0; 128 << 10];
    let mut frame = file.take(frame_bytes);
    loop {
        match frame.read(&mut buffer)? {
            0 => break,
            got => hasher.update(&buffer[..got]),
        }
    }
    let mut trailer = [0; TRAILER_BYTES];
    file.read_exact(&mut trailer)?;
    let (head, written) = trailer.split_at(TRAILER_HEAD.len());
    Ok(head == TRAILER_HEAD && written == hasher.finish().as_bytes())
}

/// Proves that the stored frame is the one that was written.
pub fn verify(folder: &Path, chunk: &Chunk) -> Result<(), StoreError> {
    let damaged = |what| StoreError::Chunk {
        digest: chunk.digest,
        what,
    };
    let path = folder.join(chunk.digest.hex());
    let mut file = open(&path, chunk)?;
    let length = file
        .metadata()
        .map_err(StoreError::io("read", &path))?
        .len();
    if length != file_bytes(chunk) {
        return Err(damaged("its file is not as long as its index says"));
    }
    match has_its_trailer(&mut file, chunk.frame_bytes) {
        Ok(true) => Ok(()),
        Ok(false) => Err(damaged("its bytes are not those that were written")),
        Err(error) if Errno::from_io_error(&error) == Some(Errno::IO) => {
            Err(damaged("the disk cannot read its file"))
        }
        Err(error) => Err(StoreError::io("read", &path)(error)),
    }
}

/// What the chunk's file is like now. None if it is not there, or not as long as its index says.
pub fn state(folder: &Path, chunk: &Chunk) -> Option<FileState> {
    let metadata = fs::metadata(folder.join(chunk.digest.hex())).ok()?;
    (metadata.len() == file_bytes(chunk)).then(|| FileState::from(&metadata))
}

/// Whether the chunk's file is there with its length. Says nothing about its bytes.
pub fn is_there(folder: &Path, chunk: &Chunk) -> Result<bool, StoreError> {
    let path = folder.join(chunk.digest.hex());
    match fs::metadata(&path) {
        Ok(metadata) => Ok(metadata.len() == file_bytes(chunk)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(StoreError::io("look for", &path)(error)),
    }
}

/// Takes the name from a chunk that was found damaged. The bytes stay for whoever looks into the disk, until the next
/// sweep.
pub fn set_aside(folder: &Path, digest: &Digest) -> Result<(), StoreError> {
    let path = folder.join(digest.hex());
    let aside = path.with_extension(DAMAGED);
    match fs::rename(&path, &aside) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(StoreError::io("set aside", &path)(error)),
    }
    // It may have been stored anew since it was found damaged.
    if whole_frame(&aside).is_some() {
        fs::rename(&aside, &path).map_err(StoreError::io("put back", &path))?;
    }
    Ok(())
}

/// The files of chunks that were set aside.
pub fn set_aside_files(folder: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(StoreError::io("read", folder))? {
        let path = entry.map_err(StoreError::io("read", folder))?.path();
        if path.extension().is_some_and(|ending| ending == DAMAGED) {
            found.push(path);
        }
    }
    Ok(found)
}

fn file_bytes(chunk: &Chunk) -> u64 {
    chunk.frame_bytes.saturating_add(TRAILER_BYTES as u64)
}

/// `length` bytes of the stored frame from `offset` on.
pub fn read_part(
    folder: &Path,
    chunk: &Chunk,
    offset: u64,
    length: u64,
) -> Result<Vec<u8>, StoreError> {
    let damaged = |what| StoreError::Chunk {
        digest: chunk.digest,
        what,
    };
    let path = folder.join(chunk.digest.hex());
    let size = usize::try_from(length).map_err(|_| damaged("its size is impossible"))?;
    let mut file = open(&path, chunk)?;
    // Not written with zeros first.
    let mut bytes = Vec::with_capacity(size);
    file.seek(SeekFrom::Start(offset))
        .and_then(|_| file.take(length).read_to_end(&mut bytes))
        .map_err(StoreError::io("read", &path))?;
    if bytes.len() == size {
        Ok(bytes)
    } else {
        Err(damaged("its file is shorter than it was"))
    }
}

fn open(path: &Path, chunk: &Chunk) -> Result<File, StoreError> {
    File::open(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => StoreError::Chunk {
            digest: chunk.digest,
            what: "its file is missing",
        },
        _ => StoreError::io("read", path)(error),
    })
}
