//! Reading what is stored: frames, contents, a layer as the tar stream that it was.

use std::io::{self, Read};
use std::slice;

use tfleet_proto::model::artifact::{Chunk, Layer};

use super::{Artifacts, StoreError, chunk};

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
        self.content = self.store.content(chunk)?;
        self.position = 0;
        Ok(())
    }
}

impl Artifacts {
    /// Proves that the zstd frame of a stored chunk is the one that was written. A chunk that is damaged loses its name
    /// (its file becomes `HEX.damaged`), so that it is stored anew the next time that its content comes.
    ///
    /// # Errors
    /// [`StoreError::Chunk`] if it is not.
    pub fn verify_frame(&self, chunk: &Chunk) -> Result<(), StoreError> {
        let folder = self.chunks_folder();
        // From before, so that what is written meanwhile counts as not proven.
        let state = chunk::state(&folder, chunk);
        let verified = chunk::verify(&folder, chunk);
        match (&verified, state) {
            (Ok(()), Some(state)) => self.recent.note(chunk.digest, state),
            (Err(StoreError::Chunk { digest, .. }), _) => chunk::set_aside(&folder, digest)?,
            _ => {}
        }
        verified
    }

    /// The same, unless it was done a short while ago: for whoever verifies the content, too.
    ///
    /// # Errors
    /// As above.
    pub fn verify_frame_lately(&self, chunk: &Chunk) -> Result<(), StoreError> {
        match chunk::state(&self.chunks_folder(), chunk) {
            Some(state) if self.recent.is_proven(&chunk.digest, state) => Ok(()),
            _ => self.verify_frame(chunk),
        }
    }

    /// `length` bytes of a stored chunk's zstd frame from `offset` on; verify it first.
    ///
    /// # Errors
    /// If the file is gone or shorter.
    pub fn read_frame_part(
        &self,
        chunk: &Chunk,
        offset: u64,
        length: u64,
    ) -> Result<Vec<u8>, StoreError> {
        chunk::read_part(&self.chunks_folder(), chunk, offset, length)
    }

    /// The content of a stored chunk, verified.
    ///
    /// # Errors
    /// [`StoreError::Chunk`] if it is damaged.
    pub fn content(&self, chunk: &Chunk) -> Result<Vec<u8>, StoreError> {
        let damaged = |what| StoreError::Chunk {
            digest: chunk.digest,
            what,
        };
        self.verify_frame(chunk)?;
        let frame = self.read_frame_part(chunk, 0, chunk.frame_bytes)?;
        let size =
            usize::try_from(chunk.content_bytes).map_err(|_| damaged("its size is impossible"))?;
        let content = zstd::bulk::decompress(&frame, size)
            .map_err(|_| damaged("its frame cannot be read"))?;
        if content.len() == size {
            Ok(content)
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
