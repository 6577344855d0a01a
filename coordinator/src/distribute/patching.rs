//! Chunks as patches of what the host keeps.

use std::collections::HashSet;
use std::sync::Arc;

use futures::{Stream, StreamExt as _, stream};
use tfleet_proto::model::artifact::{ArtifactIndex, MOST_KEPT};
use tfleet_proto::model::digest::Digest;
use tfleet_proto::model::swarm::ChunkSet;
use tfleet_proto::wire;
use tonic::Status;

use super::blocking;
use crate::artifact::Artifacts;
use crate::patch::{Kept, Patch, PatchSet, Patches, chunks_in, most_like};

/// What a host has of other artifacts that are stored here, but for the artifact itself.
pub(super) async fn kept(
    store: &Artifacts,
    artifact: Digest,
    told: Vec<wire::KeptArtifact>,
) -> Result<Vec<Kept>, Status> {
    let mut others = Vec::new();
    for told in told.into_iter().take(MOST_KEPT) {
        let digest: Digest = told
            .artifact
            .parse()
            .map_err(|error| Status::invalid_argument(format!("kept.artifact: {error}")))?;
        if digest != artifact {
            others.push((digest, told.chunks));
        }
    }
    let store = store.clone();
    blocking(move || {
        let mut kept = Vec::new();
        for (artifact, chunks) in others {
            // A damaged index is as good as none.
            let Ok(Some(index)) = store.index(&artifact) else {
                continue;
            };
            let count = u32::try_from(index.chunks().count()).unwrap_or(u32::MAX);
            let chunks = ChunkSet::from_bytes(&chunks, count);
            if !chunks.is_empty() {
                kept.push(Kept {
                    artifact,
                    index,
                    chunks,
                });
            }
        }
        Ok(kept)
    })
    .await
}

/// What of an artifact a host asks for.
#[derive(Debug)]
pub(super) struct Asked {
    pub artifact: Digest,
    pub index: ArtifactIndex,
    /// Chunks that the host lacks, as a set on the wire.
    pub missing: Vec<u8>,
    pub kept: Vec<Kept>,
    /// How many times smaller than a chunk's own frame its patch must be.
    pub times_smaller: u64,
}

/// What there is for a host.
struct Found {
    set: Arc<PatchSet>,
    /// All chunks that the host keeps.
    kept: Arc<HashSet<Digest>>,
    wanted: Vec<Wanted>,
}

/// One chunk that a host lacks.
struct Wanted {
    place: usize,
    number: u32,
    /// A larger patch is not worth it.
    most_bytes: u64,
}

/// The patches that a host can use, in order, as they are made.
pub(super) async fn patches(
    patches: Arc<Patches>,
    asked: Asked,
) -> Result<impl Stream<Item = Result<wire::Patch, Status>> + Send + use<>, Status> {
    let found = blocking(move || Ok(wanted(&patches, &asked))).await?;
    let chunks = found.into_iter().flat_map(|found| {
        let each = found.wanted.into_iter();
        each.map(move |wanted| (found.set.clone(), found.kept.clone(), wanted))
    });
    Ok(stream::iter(chunks).then(|(set, kept, wanted)| message(set, kept, wanted)))
}

/// Of the artifacts that the host keeps, the most similar one gives the patches.
fn wanted(patches: &Patches, asked: &Asked) -> Option<Found> {
    let like = most_like(&asked.index, &asked.kept)?;
    let set = patches.of((asked.artifact, &asked.index), (like.artifact, &like.index))?;
    let kept = asked.kept.iter().flat_map(Kept::chunks);
    let kept = kept.map(|chunk| chunk.digest).collect();
    let count = u32::try_from(asked.index.chunks().count()).unwrap_or(u32::MAX);
    let missing = ChunkSet::from_bytes(&asked.missing, count);
    // A chunk may be there more than once, and have one of its numbers in a layer that the host has.
    let missing: HashSet<Digest> = chunks_in(&asked.index, &missing)
        .map(|chunk| chunk.digest)
        .collect();
    let wanted = set
        .chunks()
        .filter(|(_, _, chunk)| missing.contains(&chunk.digest))
        .map(|(place, number, chunk)| Wanted {
            place,
            number,
            most_bytes: chunk.frame_bytes / asked.times_smaller.max(1),
        })
        .collect();
    Some(Found {
        kept: Arc::new(kept),
        set,
        wanted,
    })
}

async fn message(
    set: Arc<PatchSet>,
    kept: Arc<HashSet<Digest>>,
    wanted: Wanted,
) -> Result<wire::Patch, Status> {
    let none = wire::Patch {
        chunk: wanted.number,
        ..wire::Patch::default()
    };
    let patch = set.patch(wanted.place).await;
    let is_usable = |patch: &Patch| {
        patch.bytes() <= wanted.most_bytes
            && patch.references.iter().all(|needed| kept.contains(needed))
    };
    let Some(patch) = patch.filter(is_usable) else {
        return Ok(none);
    };
    let references = patch
        .references
        .iter()
        .map(|digest| digest.as_bytes().to_vec());
    let references = references.collect();
    // Whatever is wrong with a patch, there is the chunk itself.
    Ok(match blocking(move || set.frame(&patch)).await {
        Ok(frame) => wire::Patch {
            references,
            frame,
            ..none
        },
        Err(_) => none,
    })
}

#[cfg(test)]
mod tests;
