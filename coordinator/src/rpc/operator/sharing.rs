//! How much of each variant's image the other variants of its release have too.

use std::collections::{BTreeMap, BTreeSet};

use tfleet_proto::model::artifact::{ArtifactIndex, Chunk};
use tfleet_proto::model::digest::Digest;
use tfleet_proto::wire;

use super::OperatorService;
use super::declined::Declined;
use crate::store::Release;

/// Of one image.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Shared {
    content_bytes: u64,
    stored_bytes: u64,
}

impl OperatorService {
    /// Says in `told` what the variants of `release` share. An image whose index is gone shares nothing.
    pub(super) async fn tell_sharing(
        &self,
        release: &Release,
        told: &mut wire::Release,
    ) -> Result<(), Declined> {
        let artifacts = self.artifacts.clone();
        let wanted: BTreeSet<Digest> = release
            .builds
            .iter()
            .filter_map(|build| build.artifact)
            .collect();
        // Each is some hundred kilobytes.
        let read = tokio::task::spawn_blocking(move || {
            wanted
                .into_iter()
                .filter_map(|digest| {
                    Some(
                        artifacts
                            .index(&digest)
                            .transpose()?
                            .map(|index| (digest, index)),
                    )
                })
                .collect::<Result<BTreeMap<_, _>, _>>()
        });
        let indexes = read.await.map_err(|_| Declined::Stopping)??;
        let shared = shared(&indexes);
        for (build, told) in release.builds.iter().zip(&mut told.builds) {
            let shared = build.artifact.and_then(|artifact| shared.get(&artifact));
            let shared = shared.copied().unwrap_or_default();
            told.shared_content_bytes = shared.content_bytes;
            told.shared_stored_bytes = shared.stored_bytes;
        }
        Ok(())
    }
}

/// Of each image what is in at least one other.
fn shared(indexes: &BTreeMap<Digest, ArtifactIndex>) -> BTreeMap<Digest, Shared> {
    let mut images: BTreeMap<Digest, usize> = BTreeMap::new();
    for index in indexes.values() {
        let distinct: BTreeSet<_> = chunks(index).map(|chunk| chunk.digest).collect();
        for digest in distinct {
            *images.entry(digest).or_default() += 1;
        }
    }
    let of = |index| {
        let mut shared = Shared::default();
        for chunk in
            chunks(index).filter(|chunk| images.get(&chunk.digest).is_some_and(|count| *count > 1))
        {
            shared.content_bytes += chunk.content_bytes;
            shared.stored_bytes += chunk.frame_bytes;
        }
        shared
    };
    indexes
        .iter()
        .map(|(digest, index)| (*digest, of(index)))
        .collect()
}

fn chunks(index: &ArtifactIndex) -> impl Iterator<Item = &Chunk> {
    index.chunks()
}

#[cfg(test)]
mod tests;
