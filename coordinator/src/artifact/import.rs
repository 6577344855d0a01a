//! Images that another coordinator's store gave out, chunk by chunk: as whole as what was built here before they count.

use tfleet_proto::model::artifact::{ArtifactIndex, Chunk};
use tfleet_proto::model::digest::Digest;

use super::intake::Intake;
use super::{Artifacts, StoreError, chunk};

/// Chunks on their way in. Dropped without [`Import::keep`], it leaves nothing.
#[derive(Debug)]
pub struct Import<'a> {
    store: &'a Artifacts,
    intake: Intake<'a>,
}

impl<'a> Import<'a> {
    pub fn begin(store: &'a Artifacts) -> Self {
        Self {
            store,
            intake: Intake::begin(store),
        }
    }

    /// Stores the frame of a chunk, proved to hold what the chunk's digest says.
    ///
    /// # Errors
    /// [`StoreError::Chunk`] if it does not; or if it cannot be written.
    pub fn store(&self, chunk: &Chunk, frame: &[u8]) -> Result<(), StoreError> {
        let refused = |what| StoreError::Chunk {
            digest: chunk.digest,
            what,
        };
        let size =
            usize::try_from(chunk.content_bytes).map_err(|_| refused("its size is impossible"))?;
        if frame.len() as u64 != chunk.frame_bytes {
            return Err(refused("its frame is not as long as its index says"));
        }
        let content =
            zstd::bulk::decompress(frame, size).map_err(|_| refused("its frame cannot be read"))?;
        if content.len() != size || Digest::of(&content) != chunk.digest {
            return Err(refused("its frame holds something else"));
        }
        let folder = self.store.chunks_folder();
        self.intake.claim(&chunk.digest)?;
        if chunk::verify(&folder, chunk).is_ok() {
            return Ok(());
        }
        let path = folder.join(chunk.digest.hex());
        // Another version of zstd made it, and images here count on its length.
        if chunk::is_whole(&path) {
            return Err(refused("it is stored here with another compression"));
        }
        let _room = self.intake.room(frame.len() as u64)?;
        chunk::write(&path, frame)
    }

    /// The first chunk of an image that is not stored.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn missing(&self, index: &ArtifactIndex) -> Result<Option<Digest>, StoreError> {
        let folder = self.store.chunks_folder();
        for chunk in index.chunks() {
            if !chunk::is_there(&folder, chunk)? {
                return Ok(Some(chunk.digest));
            }
        }
        Ok(None)
    }

    /// Makes these artifacts, of which every chunk must be stored.
    ///
    /// # Errors
    /// If they cannot be written durably.
    pub fn keep(self, indexes: &[ArtifactIndex]) -> Result<(), StoreError> {
        self.intake.keep_all(indexes)
    }
}
