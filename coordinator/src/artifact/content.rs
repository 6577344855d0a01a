//! A stored layer as the tar stream that it was.

use std::io::{self, Read};
use std::slice;

use tfleet_proto::model::artifact::{Chunk, Layer};

use super::{Artifacts, StoreError};

/// Reads a layer's uncompressed bytes; each chunk is verified before any of it is given out.
#[derive(Debug)]
pub struct LayerContent<'a> {
    store: &'a Artifacts,
    chunks: slice::Iter<'a, Chunk>,
    content: Vec<u8>,
    position: usize,
}

impl<'a> LayerContent<'a> {
    pub fn new(store: &'a Artifacts, layer: &'a Layer) -> Self {
        Self {
            store,
            chunks: layer.chunks.iter(),
            content: Vec::new(),
            position: 0,
        }
    }

    fn next_chunk(&mut self, chunk: &Chunk) -> Result<(), StoreError> {
        let damaged = |what| StoreError::Chunk {
            digest: chunk.digest,
            what,
        };
        self.store.verify_frame(chunk)?;
        let frame = self.store.read_frame_part(chunk, 0, chunk.frame_bytes)?;
        let size =
            usize::try_from(chunk.content_bytes).map_err(|_| damaged("its size is impossible"))?;
        self.content = zstd::bulk::decompress(&frame, size)
            .map_err(|_| damaged("its frame cannot be read"))?;
        self.position = 0;
        if self.content.len() == size {
            Ok(())
        } else {
            Err(damaged("its frame has another size"))
        }
    }
}

impl Read for LayerContent<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.position == self.content.len() {
            let Some(chunk) = self.chunks.next() else {
                return Ok(0);
            };
            self.next_chunk(chunk).map_err(io::Error::other)?;
        }
        let rest = &self.content[self.position..];
        let taken = rest.len().min(buffer.len());
        buffer[..taken].copy_from_slice(&rest[..taken]);
        self.position += taken;
        Ok(taken)
    }
}
