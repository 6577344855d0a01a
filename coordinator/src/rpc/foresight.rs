//! Patches for the hosts that will get an image that has just been stored.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use tfleet_proto::model::artifact::MOST_KEPT;
use tfleet_proto::model::digest::Digest;
use tfleet_proto::model::status::ImagePhase;
use tfleet_proto::model::swarm::ChunkSet;
use tokio_util::task::TaskTracker;
use tracing::warn;

use crate::artifact::{Artifacts, StoreError};
use crate::fleet::Fleet;
use crate::patch::{Kept, PatchSet, Patches, most_like};

/// Begins to make what hosts will ask for. Cheap to clone.
#[derive(Clone)]
pub struct Foresight {
    pub fleet: Fleet,
    pub artifacts: Artifacts,
    pub patches: Arc<Patches>,
    pub tasks: TaskTracker,
}

impl Foresight {
    /// An artifact was stored: what it has in common with the images that hosts have is looked for in the background. If
    /// they keep nothing of those, it was for nothing.
    pub fn stored(&self, artifact: Digest) {
        let foresight = self.clone();
        self.tasks.spawn(async move {
            let olds = foresight.on_hosts(&artifact);
            let begun = tokio::task::spawn_blocking(move || foresight.begin(artifact, olds)).await;
            match begun {
                // Held until the end: what nobody waits for is not made.
                Ok(Ok(Some(patches))) => patches.ended().await,
                Ok(Err(error)) => {
                    warn!(%artifact, error = %error.failure(), "no patches are made beforehand");
                }
                Ok(Ok(None)) | Err(_) => {}
            }
        });
    }

    /// The artifacts that hosts have now, those that the most have first.
    fn on_hosts(&self, except: &Digest) -> Vec<Digest> {
        let mut hosts: HashMap<Digest, usize> = HashMap::new();
        for host in self.fleet.hosts() {
            let images = host.status.iter().flat_map(|status| &status.images);
            for image in images.filter(|image| image.phase == ImagePhase::Present) {
                *hosts.entry(image.artifact).or_default() += 1;
            }
        }
        hosts.remove(except);
        let mut artifacts: Vec<_> = hosts.into_iter().collect();
        artifacts.sort_unstable_by(|(one, few), (other, many)| (many, one).cmp(&(few, other)));
        artifacts.truncate(MOST_KEPT);
        artifacts
            .into_iter()
            .map(|(artifact, _)| artifact)
            .collect()
    }

    /// Blocks.
    fn begin(
        &self,
        artifact: Digest,
        olds: Vec<Digest>,
    ) -> Result<Option<Arc<PatchSet>>, StoreError> {
        let Some(index) = self.artifacts.index(&artifact)? else {
            return Ok(None);
        };
        let mut kept = Vec::new();
        for old in olds {
            if let Some(index) = self.artifacts.index(&old)? {
                let count = u32::try_from(index.chunks().count()).unwrap_or(u32::MAX);
                kept.push(Kept {
                    artifact: old,
                    chunks: ChunkSet::full(count),
                    index,
                });
            }
        }
        let wanted: HashSet<Digest> = index.chunks().map(|chunk| chunk.digest).collect();
        // Images with nothing in common are hardly each other's successors.
        let like = most_like(&index, &kept)
            .filter(|like| like.chunks().any(|chunk| wanted.contains(&chunk.digest)));
        Ok(like.and_then(|like| {
            self.patches
                .of((artifact, &index), (like.artifact, &like.index))
        }))
    }
}
