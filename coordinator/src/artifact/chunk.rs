//! One stored chunk: its zstd frame, then a skippable frame with the SHA-256 of the first.
//!
//! The name says what the content is once decompressed; checking that before each send would cost a decompression per
//! host. The trailer lets a reader prove in a third of a millisecond per MiB that the disk gave back what was written,
//! and `zstd -d` still reads the file, because decoders skip such frames.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use sha2::{Digest as _, Sha256};
use tfleet_proto::model::artifact::Chunk;
use tfleet_proto::model::digest::Digest;

use super::intake::Intake;
use super::{StoreError, write_whole};

/// 3 is what zstd itself takes: ~300 MB/s per core, and a quarter smaller than the fastest level.
const LEVEL: i32 = 3;

/// Skippable frame number zero with 32 bytes of content.
const TRAILER_HEAD: [u8; 8] = [0x50, 0x2A, 0x4D, 0x18, 32, 0, 0, 0];
const TRAILER_BYTES: usize = TRAILER_HEAD.len() + 32;

/// Stores an image's chunks; holds what one thread needs for it.
pub struct ChunkWriter<'a> {
    folder: &'a Path,
    intake: &'a Intake<'a>,
    compressor: zstd::bulk::Compressor<'static>,
}

impl<'a> ChunkWriter<'a> {
    pub fn new(folder: &'a Path, intake: &'a Intake<'a>) -> Result<Self, StoreError> {
        let compressor = zstd::bulk::Compressor::new(LEVEL)
            .map_err(StoreError::io("prepare to write", folder))?;
        Ok(Self {
            folder,
            intake,
            compressor,
        })
    }

    /// Stores `content` unless it is there already. Its name in the folder is durable once the folder was synced.
    pub fn store(&mut self, content: &[u8]) -> Result<Chunk, StoreError> {
        let digest = Digest::of(content);
        let content_bytes = content.len() as u64;
        let path = self.folder.join(digest.hex());
        self.intake.claim(&digest)?;
        match fs::metadata(&path) {
            Ok(metadata) if metadata.len() > TRAILER_BYTES as u64 => {
                return Ok(Chunk {
                    digest,
                    content_bytes,
                    frame_bytes: metadata.len() - TRAILER_BYTES as u64,
                });
            }
            // A file too short to be a chunk is not what its name says: write it again.
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(StoreError::io("look for", &path)(error)),
        }
        let frame = self
            .compressor
            .compress(content)
            .map_err(StoreError::io("compress for", &path))?;
        let _room = self.intake.room(frame.len() as u64)?;
        write_whole(&path, &[&frame, &TRAILER_HEAD, &Sha256::digest(&frame)])?;
        Ok(Chunk {
            digest,
            content_bytes,
            frame_bytes: frame.len() as u64,
        })
    }
}

/// Proves that the stored frame is the one that was written, in a few kilobytes of memory.
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
    if length != chunk.frame_bytes + TRAILER_BYTES as u64 {
        return Err(damaged("its file is not as long as its index says"));
    }
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 128 << 10];
    let mut frame = (&mut file).take(chunk.frame_bytes);
    loop {
        match frame
            .read(&mut buffer)
            .map_err(StoreError::io("read", &path))?
        {
            0 => break,
            got => hasher.update(&buffer[..got]),
        }
    }
    let mut trailer = [0; TRAILER_BYTES];
    file.read_exact(&mut trailer)
        .map_err(StoreError::io("read", &path))?;
    let (head, written) = trailer.split_at(TRAILER_HEAD.len());
    if head == TRAILER_HEAD && written == &hasher.finalize()[..] {
        Ok(())
    } else {
        Err(damaged("its bytes are not those that were written"))
    }
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
    let mut bytes = vec![0; size];
    open(&path, chunk)?
        .read_exact_at(&mut bytes, offset)
        .map_err(StoreError::io("read", &path))?;
    Ok(bytes)
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
