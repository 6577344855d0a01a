//! Chunks of images that are still coming in: kept if the image is taken, removed if it is refused.
//!
//! An image is known to be good only at its end, when its chunks are files already. Each intake claims the chunks that
//! it needs; one that came with it goes when the last intake that claims it ends without an image of it.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tfleet_proto::model::artifact::ArtifactIndex;
use tfleet_proto::model::digest::Digest;

use super::{Artifacts, StoreError, free_bytes, spare_bytes};

/// What all intakes of a store have under way.
#[derive(Debug, Default)]
pub struct UnderWay(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    claims: HashMap<Digest, Claim>,
    /// Of chunks that are being written at this moment.
    writing_bytes: u64,
}

#[derive(Debug, Default)]
struct Claim {
    intakes: u32,
    /// The chunk was not there before, and no artifact has it yet.
    is_new: bool,
}

/// One image on its way in. Dropped without [`Intake::keep`], it leaves nothing.
#[derive(Debug)]
pub struct Intake<'a> {
    store: &'a Artifacts,
    claimed: Mutex<HashSet<Digest>>,
}

/// Room for one chunk, while it is written.
#[derive(Debug)]
pub struct Room<'a> {
    under_way: &'a UnderWay,
    bytes: u64,
}

impl UnderWay {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `work`, told which chunks are claimed, while no intake begins or ends with a chunk.
    pub fn stopped<T>(&self, work: impl FnOnce(&dyn Fn(&Digest) -> bool) -> T) -> T {
        let state = self.lock();
        work(&|digest| state.claims.contains_key(digest))
    }
}

impl<'a> Intake<'a> {
    pub fn begin(store: &'a Artifacts) -> Self {
        Self {
            store,
            claimed: Mutex::default(),
        }
    }

    /// Must come before looking whether the chunk is there: from here on nobody else removes it.
    pub fn claim(&self, digest: &Digest) -> Result<(), StoreError> {
        if !self.claimed().insert(*digest) {
            return Ok(());
        }
        let path = self.store.chunks_folder().join(digest.hex());
        let mut state = self.store.under_way.lock();
        let claim = state.claims.entry(*digest).or_default();
        claim.intakes += 1;
        if claim.intakes == 1 {
            claim.is_new = match fs::symlink_metadata(&path) {
                Ok(_) => false,
                Err(error) if error.kind() == io::ErrorKind::NotFound => true,
                Err(error) => return Err(StoreError::io("look for", &path)(error)),
            };
        }
        Ok(())
    }

    /// Room for `bytes` more on the disk.
    ///
    /// # Errors
    /// [`StoreError::Full`] if less than the spare would be left: an image that has no room must not take it from the
    /// coordinator's state, which is on the same disk.
    pub fn room(&self, bytes: u64) -> Result<Room<'a>, StoreError> {
        let root = &self.store.root;
        let under_way: &'a UnderWay = &self.store.under_way;
        let mut state = under_way.lock();
        let (free_bytes, spare_bytes) = (free_bytes(root)?, spare_bytes(root)?);
        // What is half written is counted twice, which errs on the safe side by a few chunks.
        if free_bytes < spare_bytes + state.writing_bytes + bytes {
            return Err(StoreError::Full {
                path: root.to_path_buf(),
                free_bytes,
                spare_bytes,
            });
        }
        state.writing_bytes += bytes;
        Ok(Room { under_way, bytes })
    }

    /// Makes the image an artifact; what came along and is not part of it goes.
    pub fn keep(self, index: &ArtifactIndex) -> Result<Digest, StoreError> {
        self.make(index)
    }

    /// The same for several images that came together.
    pub fn keep_all(self, indexes: &[ArtifactIndex]) -> Result<(), StoreError> {
        for index in indexes {
            self.make(index)?;
        }
        Ok(())
    }

    fn make(&self, index: &ArtifactIndex) -> Result<Digest, StoreError> {
        let artifact = self.store.store_index(index)?;
        let mut state = self.store.under_way.lock();
        for chunk in index.chunks() {
            if let Some(claim) = state.claims.get_mut(&chunk.digest) {
                claim.is_new = false;
            }
        }
        Ok(artifact)
    }

    fn claimed(&self) -> MutexGuard<'_, HashSet<Digest>> {
        self.claimed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Intake<'_> {
    fn drop(&mut self) {
        let folder = self.store.chunks_folder();
        let claimed = std::mem::take(&mut *self.claimed());
        let brought_new = {
            let state = self.store.under_way.lock();
            let is_new = |digest| state.claims.get(digest).is_some_and(|claim| claim.is_new);
            claimed.iter().any(is_new)
        };
        // An image that was there may want a chunk that was gone and came with this one.
        let wanted = match brought_new {
            true => self.store.wanted().unwrap_or_default(),
            false => HashSet::new(),
        };
        let mut state = self.store.under_way.lock();
        for digest in claimed {
            let Some(claim) = state.claims.get_mut(&digest) else {
                continue;
            };
            claim.intakes -= 1;
            if claim.intakes > 0 {
                continue;
            }
            let is_new = claim.is_new && !wanted.contains(&digest);
            state.claims.remove(&digest);
            let path = folder.join(digest.hex());
            // Removed under the lock, so that nobody finds a file that is about to go.
            if is_new
                && let Err(error) = fs::remove_file(&path)
                && error.kind() != io::ErrorKind::NotFound
            {
                tracing::warn!(path = %path.display(), %error, "a refused image's chunk stays until the next start");
            }
        }
    }
}

impl Drop for Room<'_> {
    fn drop(&mut self) {
        let mut state = self.under_way.lock();
        state.writing_bytes = state.writing_bytes.saturating_sub(self.bytes);
    }
}
