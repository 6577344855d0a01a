//! Frames that come in parts.

use std::collections::BTreeMap;

use tfleet_proto::model::artifact::Chunk;
use tfleet_proto::model::swarm::ChunkNumber;
use tfleet_proto::wire;

/// What a source sends of the chunks that it was asked for.
#[derive(Debug, Default)]
pub struct Incoming {
    frames: BTreeMap<ChunkNumber, Vec<u8>>,
}

/// A source that sends more than a chunk has does not keep to the protocol.
#[derive(Debug, thiserror::Error)]
#[error("chunk {} is longer than its index says", .0.0)]
pub struct TooLong(ChunkNumber);

impl Incoming {
    /// The chunk was asked for.
    pub fn expect(&mut self, chunk: ChunkNumber) {
        self.frames.entry(chunk).or_default();
    }

    /// It is not wanted any more: what still comes of it is thrown away.
    pub fn forget(&mut self, chunk: ChunkNumber) {
        self.frames.remove(&chunk);
    }

    /// The frame, when it is whole. Parts of chunks that nobody asked for are thrown away.
    pub fn take(
        &mut self,
        part: wire::ChunkPart,
        chunks: &[Chunk],
    ) -> Result<Option<(ChunkNumber, Vec<u8>)>, TooLong> {
        let number = ChunkNumber(part.chunk);
        let Some(frame) = self.frames.get_mut(&number) else {
            return Ok(None);
        };
        let length = chunks
            .get(number.0 as usize)
            .map_or(0, |chunk| chunk.frame_bytes as usize);
        if frame.len() + part.frame_part.len() > length {
            return Err(TooLong(number));
        }
        if frame.is_empty() {
            frame.reserve_exact(length);
        }
        frame.extend_from_slice(&part.frame_part);
        if !part.last_part {
            return Ok(None);
        }
        Ok(self.frames.remove(&number).map(|frame| (number, frame)))
    }
}
