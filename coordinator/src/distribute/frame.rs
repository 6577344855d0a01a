//! Chunks' frames, in the pieces that become messages.

use bytes::Bytes;
use tfleet_proto::model::artifact::Chunk;
use tonic::Status;

use super::blocking;
use crate::artifact::Artifacts;

/// Large enough to cost little per byte, small enough for the receiver's window.
pub(super) const PART_BYTES: u64 = 512 << 10;

/// A piece of a chunk's frame that becomes one message.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part {
    pub number: u32,
    chunk: Chunk,
    offset: u64,
    length: u64,
}

impl Part {
    pub fn is_last(&self) -> bool {
        self.offset + self.length == self.chunk.frame_bytes
    }
}

/// All pieces of a chunk, in order.
pub(super) fn parts(number: u32, chunk: Chunk) -> impl Iterator<Item = Part> + Send {
    let count = chunk.frame_bytes.div_ceil(PART_BYTES);
    (0..count).map(move |part| {
        let offset = part * PART_BYTES;
        Part {
            number,
            chunk,
            offset,
            length: PART_BYTES.min(chunk.frame_bytes - offset),
        }
    })
}

/// The bytes of a piece. The frame is verified before the first, or was a short while ago.
pub(super) async fn frame_part(store: Artifacts, part: Part) -> Result<Bytes, Status> {
    let Part {
        chunk,
        offset,
        length,
        ..
    } = part;
    let bytes = blocking(move || {
        if offset == 0 {
            store.verify_frame_lately(&chunk)?;
        }
        store.read_frame_part(&chunk, offset, length)
    });
    Ok(bytes.await?.into())
}
