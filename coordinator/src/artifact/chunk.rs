//! One stored chunk: its zstd frame, then a skippable frame with the SHA-256 of the first.
//!
//! The name says what the content is once decompressed; checking that before each send would cost a decompression per
//! host. The trailer lets a reader prove in a third of a millisecond per MiB that the disk gave back what was written,
//! and `zstd -d` still reads the file, because decoders skip such frames.

use std::fs;
use std::io;
use std::path::Path;

use sha2::{Digest as _, Sha256};
use tfleet_proto::model::artifact::Chunk;
use tfleet_proto::model::digest::Digest;

use super::{StoreError, write_whole};

/// 3 is what zstd itself takes: ~300 MB/s per core, and a quarter smaller than the fastest level.
const LEVEL: i32 = 3;

/// Skippable frame number zero with 32 bytes of content.
const TRAILER_HEAD: [u8; 8] = [0x50, 0x2A, 0x4D, 0x18, 32, 0, 0, 0];
const TRAILER_BYTES: usize = TRAILER_HEAD.len() + 32;

/// Stores chunks; holds what one thread needs for it.
pub struct ChunkWriter<'a> {
    folder: &'a Path,
    compressor: zstd::bulk::Compressor<'static>,
}

impl<'a> ChunkWriter<'a> {
    pub fn new(folder: &'a Path) -> Result<Self, StoreError> {
        let compressor = zstd::bulk::Compressor::new(LEVEL)
            .map_err(StoreError::io("prepare to write", folder))?;
        Ok(Self { folder, compressor })
    }

    /// Stores `content` unless it is there already. Its name in the folder is durable once the folder was synced.
    pub fn store(&mut self, content: &[u8]) -> Result<Chunk, StoreError> {
        let digest = Digest::of(content);
        let content_bytes = content.len() as u64;
        let path = self.folder.join(digest.hex());
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
        write_whole(&path, &[&frame, &TRAILER_HEAD, &Sha256::digest(&frame)])?;
        Ok(Chunk {
            digest,
            content_bytes,
            frame_bytes: frame.len() as u64,
        })
    }
}

/// The frame of a stored chunk, after checking it against the trailer.
pub fn read(folder: &Path, chunk: &Chunk) -> Result<Vec<u8>, StoreError> {
    let damaged = |what| StoreError::Chunk {
        digest: chunk.digest,
        what,
    };
    let path = folder.join(chunk.digest.hex());
    let mut bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(damaged("its file is missing"));
        }
        Err(error) => return Err(StoreError::io("read", &path)(error)),
    };
    let frame_bytes = bytes
        .len()
        .checked_sub(TRAILER_BYTES)
        .ok_or_else(|| damaged("its file is cut short"))?;
    if frame_bytes as u64 != chunk.frame_bytes {
        return Err(damaged("its file is not as long as its index says"));
    }
    let (frame, trailer) = bytes.split_at(frame_bytes);
    if trailer[..TRAILER_HEAD.len()] != TRAILER_HEAD
        || trailer[TRAILER_HEAD.len()..] != Sha256::digest(frame)[..]
    {
        return Err(damaged("its bytes are not those that were written"));
    }
    bytes.truncate(frame_bytes);
    Ok(bytes)
}
