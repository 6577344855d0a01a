//! Making all patches of a pair.

use std::collections::{HashSet, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use tfleet_proto::model::artifact::{ArtifactIndex, Chunk, LARGEST_PATCH_BYTES, MOST_REFERENCES};
use tfleet_proto::model::digest::Digest;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::catalogue::Catalogue;
use super::encoder::{EncodeError, encode};
use super::set::{Made, PatchSet, Target};
use super::sketch::sketch;
use crate::artifact::{Artifacts, StoreError};

/// About 70 MiB of memory each.
const THREADS: usize = 2;

/// Contents that were needed last: a chunk's neighbour mostly needs the same, on whatever thread.
const CONTENTS_HELD: usize = 2 * MOST_REFERENCES;

/// A patch that is not so many times smaller than the chunk's own frame is worth it to nobody.
const WORTH_TIMES: u64 = 2;

/// Why a chunk is not made of others.
#[derive(Debug, thiserror::Error)]
enum PatchError {
    #[error("{}", .0.failure())]
    Store(#[from] StoreError),
    #[error(transparent)]
    Encode(#[from] EncodeError),
}

/// Settles every target of `set`, in order, unless it is stopped. Blocks.
pub fn make(
    artifacts: &Artifacts,
    new: &ArtifactIndex,
    old: &ArtifactIndex,
    set: &PatchSet,
    stop: &CancellationToken,
) {
    let began = Instant::now();
    if !set.targets().is_empty() {
        let old = differing_chunks(old, new);
        let next = AtomicUsize::new(0);
        let sketches = in_parallel(|| sketches(artifacts, &old, &next, stop));
        let mut sketches: Vec<_> = sketches.into_iter().flatten().collect();
        sketches.sort_unstable_by_key(|(place, _)| *place);
        let catalogue = Catalogue::new(sketches.into_iter().map(|(_, sketch)| sketch));
        let sources = Sources {
            artifacts,
            chunks: old,
            catalogue,
            contents: Mutex::default(),
        };
        let next = AtomicUsize::new(0);
        in_parallel(|| patches(&sources, set, &next, stop));
    }
    info!(
        chunks = set.targets().len(),
        patch_bytes = set.bytes(),
        seconds = began.elapsed().as_secs_f64(),
        "patches are made"
    );
}

fn in_parallel<T: Send>(work: impl Fn() -> T + Sync) -> Vec<T> {
    thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(&work)).collect();
        threads
            .into_iter()
            .map(|thread| match thread.join() {
                Ok(done) => done,
                Err(panic) => std::panic::resume_unwind(panic),
            })
            .collect()
    })
}

/// The chunks of the layers that the newer artifact does not have, each once.
fn differing_chunks(old: &ArtifactIndex, new: &ArtifactIndex) -> Vec<Chunk> {
    let same: HashSet<Digest> = new.diff_ids().collect();
    let mut seen = HashSet::new();
    let layers = old
        .layers
        .iter()
        .filter(|layer| !same.contains(&layer.diff_id));
    layers
        .flat_map(|layer| layer.chunks.iter().copied())
        .filter(|chunk| seen.insert(chunk.digest))
        .collect()
}

/// The sketches of the chunks whose turn it is, with their places. One that cannot be read has none.
fn sketches(
    artifacts: &Artifacts,
    chunks: &[Chunk],
    next: &AtomicUsize,
    stop: &CancellationToken,
) -> Vec<(usize, Vec<u64>)> {
    let mut sketches = Vec::new();
    while let Some((place, chunk)) = turn(chunks, next, stop) {
        let content = artifacts.content(chunk);
        let of_it = content.map_or_else(
            |error| {
                warn!(chunk = %chunk.digest, error = %error.failure(), "no patch can be made of a chunk");
                Vec::new()
            },
            |content| sketch(&content),
        );
        sketches.push((place, of_it));
    }
    sketches
}

/// What patches are made of.
struct Sources<'a> {
    artifacts: &'a Artifacts,
    /// In the catalogue's order.
    chunks: Vec<Chunk>,
    catalogue: Catalogue,
    contents: Mutex<VecDeque<(Digest, Arc<Vec<u8>>)>>,
}

impl Sources<'_> {
    fn content(&self, chunk: &Chunk) -> Result<Arc<Vec<u8>>, StoreError> {
        let held = || self.contents.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, content)) = held().iter().find(|(digest, _)| *digest == chunk.digest) {
            return Ok(content.clone());
        }
        let content = Arc::new(self.artifacts.content(chunk)?);
        let mut contents = held();
        contents.truncate(CONTENTS_HELD - 1);
        contents.push_front((chunk.digest, content.clone()));
        Ok(content)
    }
}

fn patches(sources: &Sources<'_>, set: &PatchSet, next: &AtomicUsize, stop: &CancellationToken) {
    while let Some((place, target)) = turn(set.targets(), next, stop) {
        let patch = patch(sources, target).unwrap_or_else(|error| {
            let chunk = target.chunk.digest;
            warn!(%chunk, %error, "a chunk cannot be made of others");
            None
        });
        if let Err(error) = set.settle(place, patch) {
            warn!(error = %error.failure(), "a patch cannot be kept");
        }
    }
}

fn turn<'a, T>(
    all: &'a [T],
    next: &AtomicUsize,
    stop: &CancellationToken,
) -> Option<(usize, &'a T)> {
    let place = next.fetch_add(1, Ordering::Relaxed);
    all.get(place)
        .filter(|_| !stop.is_cancelled())
        .map(|one| (place, one))
}

/// How the target is made. None if no patch is worth it.
fn patch(sources: &Sources<'_>, target: &Target) -> Result<Option<Made>, PatchError> {
    let content = sources.artifacts.content(&target.chunk)?;
    let places = sources.catalogue.most_like(&sketch(&content));
    if places.is_empty() {
        return Ok(None);
    }
    let (mut references, mut prefix) = (Vec::new(), Vec::new());
    let chunks = places
        .iter()
        .filter_map(|place| sources.chunks.get(*place as usize));
    for chunk in chunks {
        prefix.extend_from_slice(&sources.content(chunk)?);
        references.push(chunk.digest);
    }
    let frame = encode(&prefix, &content)?;
    let is_worth_it = frame.len() <= LARGEST_PATCH_BYTES
        && frame.len() as u64 * WORTH_TIMES <= target.chunk.frame_bytes;
    Ok(is_worth_it.then_some(Made { references, frame }))
}
