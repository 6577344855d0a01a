//! Frames that come in parts.

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::sync::Arc;

use tempfile::NamedTempFile;
use tfleet_proto::model::artifact::Chunk;
use tfleet_proto::model::swarm::ChunkNumber;
use tfleet_proto::wire;

use super::Frames;

/// Written at once; so much of each chunk that comes is in memory.
const WRITE_BYTES: usize = 256 << 10;

/// What a source sends of the chunks that it was asked for. Many are on their way at once, so they grow on disk.
#[derive(Debug)]
pub struct Incoming {
    frames: Arc<dyn Frames>,
    /// `None`: asked for, and nothing has come.
    chunks: BTreeMap<ChunkNumber, Option<Landing>>,
}

#[derive(Debug)]
struct Landing {
    file: NamedTempFile,
    written: u64,
    buffer: Vec<u8>,
}

#[derive(Debug, thiserror::Error)]
pub enum IncomingError {
    /// A source that sends more than a chunk has does not keep to the protocol.
    #[error("chunk {} is longer than its index says", .0.0)]
    TooLong(ChunkNumber),
    #[error("a chunk that comes cannot be written")]
    Disk(#[source] io::Error),
}

impl Incoming {
    /// Frames grow beside those that are here.
    pub fn new(frames: Arc<dyn Frames>) -> Self {
        Self {
            frames,
            chunks: BTreeMap::new(),
        }
    }

    /// The chunk was asked for; what came of it before was given up.
    pub fn expect(&mut self, chunk: ChunkNumber) {
        self.chunks.insert(chunk, None);
    }

    /// It is not wanted any more: what still comes of it is thrown away.
    pub fn forget(&mut self, chunk: ChunkNumber) {
        self.chunks.remove(&chunk);
    }

    /// Nothing is.
    pub fn clear(&mut self) {
        self.chunks.clear();
    }

    /// The frame, when it is whole. Parts of chunks that nobody asked for are thrown away. A chunk whose part is being
    /// taken when the future is dropped is forgotten.
    pub async fn take(
        &mut self,
        part: wire::ChunkPart,
        chunks: &[Chunk],
    ) -> Result<Option<(ChunkNumber, NamedTempFile)>, IncomingError> {
        let number = ChunkNumber(part.chunk);
        let Some(landing) = self.chunks.remove(&number) else {
            return Ok(None);
        };
        let mut landing = match landing {
            Some(landing) => landing,
            None => Landing {
                file: self.frames.land().map_err(IncomingError::Disk)?,
                written: 0,
                buffer: Vec::with_capacity(WRITE_BYTES + (64 << 10)),
            },
        };
        landing.buffer.extend_from_slice(&part.frame_part);
        let length = landing.written + landing.buffer.len() as u64;
        if chunks
            .get(number.0 as usize)
            .is_none_or(|chunk| length > chunk.frame_bytes)
        {
            return Err(IncomingError::TooLong(number));
        }
        if part.last_part || landing.buffer.len() >= WRITE_BYTES {
            landing = landing.flushed().await.map_err(IncomingError::Disk)?;
        }
        if part.last_part {
            return Ok(Some((number, landing.file)));
        }
        self.chunks.insert(number, Some(landing));
        Ok(None)
    }
}

impl Landing {
    async fn flushed(mut self) -> io::Result<Self> {
        let written = tokio::task::spawn_blocking(move || {
            self.file.write_all(&self.buffer)?;
            self.written += self.buffer.len() as u64;
            self.buffer.clear();
            Ok(self)
        });
        written.await.map_err(io::Error::other)?
    }
}
