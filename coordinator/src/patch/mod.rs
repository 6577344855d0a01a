//! Chunks as patches of chunks that hosts keep from earlier images.
//!
//! A chunk of a newer image is mostly what some chunk of the older one was, in other places and with small changes
//! between. Which one is found by [`sketch`]es of their contents, so that nothing needs to know of files or formats; the
//! patch is a zstd frame with the older contents as its prefix. Everything is bounded by the size of a few chunks,
//! whatever the image's.
//!
//! Measured, in MB, the layers of one package newer, against what else could be sent:
//!
//! | change | content | zstd -3 | chunks that differ | patches | `zstd --patch-from` of the whole |
//! |---|---|---|---|---|---|
//! | tensorflow-cpu 2.15.0 → 2.15.1 | 907 | 230 | 95 | 1.0 | 9.3 |
//! | tensorflow-cpu 2.15.1 → 2.16.2 | 939 | 181 | 181 | 90 | – |
//! | nvidia-cublas-cu12 12.2.5.6 → 12.3.4.1 | 626 | 324 | 324 | 105 | 99 (in 5 GB of memory) |
//! | nvidia-cudnn-cu12 8.9.4.25 → 8.9.7.29 | 1122 | 585 | 580 | 108 | – |
//!
//! Making them takes a second per 60 MB and processor, once for all hosts. A host decompresses the contents that a patch
//! refers to; applying it takes a millisecond.

mod catalogue;
mod encoder;
mod making;
mod set;
mod sketch;

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use tfleet_proto::model::artifact::{ArtifactIndex, Chunk};
use tfleet_proto::model::digest::Digest;
use tfleet_proto::model::swarm::{ChunkNumber, ChunkSet};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use set::{Patch, PatchSet};

use crate::artifact::Artifacts;

/// So many pairs of artifacts are kept on the disk, as long as the coordinator runs.
const PAIRS_KEPT: usize = 16;

/// What is made, newest last.
type Pairs = VecDeque<(Pair, Arc<PatchSet>)>;

/// Patches of the artifacts of one store.
#[derive(Debug)]
pub struct Patches {
    artifacts: Artifacts,
    pairs: Mutex<Pairs>,
    /// Pairs are made one after the other: each uses several processors and some memory.
    turn: Arc<Semaphore>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Pair {
    new: Digest,
    old: Digest,
}

/// What a host keeps of an artifact.
#[derive(Debug)]
pub struct Kept {
    pub artifact: Digest,
    pub index: ArtifactIndex,
    pub chunks: ChunkSet,
}

impl Kept {
    /// Those that are kept.
    pub fn chunks(&self) -> impl Iterator<Item = &Chunk> {
        chunks_in(&self.index, &self.chunks)
    }
}

/// The chunks of an artifact whose numbers over all layers are in the set.
pub fn chunks_in<'a>(
    index: &'a ArtifactIndex,
    numbers: &'a ChunkSet,
) -> impl Iterator<Item = &'a Chunk> {
    (0..)
        .zip(index.chunks())
        .filter(|(number, _)| numbers.contains(ChunkNumber(*number)))
        .map(|(_, chunk)| chunk)
}

/// Of what a host keeps, that which is most like the artifact: whose chunks are the most of its content. The first of
/// several that are.
pub fn most_like<'a>(artifact: &ArtifactIndex, kept: &'a [Kept]) -> Option<&'a Kept> {
    let wanted: HashSet<Digest> = artifact.chunks().map(|chunk| chunk.digest).collect();
    let shared = |kept: &&Kept| -> u64 {
        let shared = kept.chunks().filter(|chunk| wanted.contains(&chunk.digest));
        shared.map(|chunk| chunk.content_bytes).sum()
    };
    // `max_by_key` would give the last.
    kept.iter().rev().max_by_key(shared)
}

impl Patches {
    /// Making runs as tasks of `tasks` and ends with `stop`.
    pub fn new(artifacts: Artifacts, tasks: TaskTracker, stop: CancellationToken) -> Self {
        Self {
            artifacts,
            pairs: Mutex::default(),
            turn: Arc::new(Semaphore::new(1)),
            tasks,
            stop,
        }
    }

    /// The patches that make chunks of `new` from chunks of `old`: made, or being made from now on. None while too many
    /// others are being made. Blocks a little.
    pub fn of(
        &self,
        (new, new_index): (Digest, &ArtifactIndex),
        (old, old_index): (Digest, &ArtifactIndex),
    ) -> Option<Arc<PatchSet>> {
        let pair = Pair { new, old };
        let mut pairs = self.pairs.lock().unwrap_or_else(PoisonError::into_inner);
        // What a stop, or nobody's waiting, cut short is made anew.
        pairs.retain(|(_, set)| !set.was_cut_short());
        if let Some(place) = pairs.iter().position(|(other, _)| *other == pair) {
            let (pair, set) = pairs.remove(place)?;
            pairs.push_back((pair, set.clone()));
            return Some(set);
        }
        if pairs.len() >= PAIRS_KEPT {
            let ended = pairs.iter().position(|(_, set)| !set.is_open())?;
            pairs.remove(ended);
        }
        let set = Arc::new(PatchSet::empty(self.artifacts.root(), new_index, old_index));
        pairs.push_back((pair, set.clone()));
        drop(pairs);
        let (new_index, old_index) = (new_index.clone(), old_index.clone());
        self.tasks
            .spawn(self.begin(set.clone(), new_index, old_index));
        Some(set)
    }

    fn begin(
        &self,
        set: Arc<PatchSet>,
        new: ArtifactIndex,
        old: ArtifactIndex,
    ) -> impl Future<Output = ()> + Send + use<> {
        let (artifacts, turn, stop) =
            (self.artifacts.clone(), self.turn.clone(), self.stop.clone());
        async move {
            let ending = Ending(set);
            // Closed never.
            let turn = turn.acquire_owned().await;
            let work = move || {
                let _turn = turn;
                // This one and the list's: whoever asked has gone.
                if Arc::strong_count(&ending.0) > 2 {
                    making::make(&artifacts, &new, &old, &ending.0, &stop);
                }
            };
            if let Err(died) = tokio::task::spawn_blocking(work).await
                && died.is_panic()
            {
                tracing::error!(%died, "the making of patches died");
            }
        }
    }
}

/// Nobody waits for a set that nobody makes any more.
struct Ending(Arc<PatchSet>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.end();
    }
}

#[cfg(test)]
mod tests;
