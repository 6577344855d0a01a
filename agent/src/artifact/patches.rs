//! Chunks that are made of kept ones, by patches that the coordinator sends.

mod maker;

use std::sync::Arc;
use std::time::Duration;

use tfleet_proto::model::artifact::{ArtifactIndex, Layer, MOST_KEPT};
use tfleet_proto::model::digest::Digest;
use tfleet_proto::model::swarm::{ChunkNumber, ChunkSet};
use tfleet_proto::wire;
use tfleet_proto::wire::artifacts_client::ArtifactsClient;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tonic::transport::Channel;
use tracing::info;

use super::ImageProgress;
use super::blocking::blocking;
use super::interruption::Interruption;
use super::kept::Kept;
use super::numbering::Numbering;
use super::spool::{MADE_AHEAD, Spool};
use maker::Maker;

/// A coordinator makes a patch in a fraction of a second. What takes longer is fetched as usual; the next host finds it made.
const PATIENCE: Duration = Duration::from_secs(8);

/// Which chunks are made of which others.
pub(super) struct Order<'a> {
    pub client: ArtifactsClient<Channel>,
    pub artifact: Digest,
    pub index: &'a ArtifactIndex,
    /// So many layers are in the engine, and not needed.
    pub present: usize,
    pub spool: Spool,
    pub kept: Vec<Kept>,
    /// A patch must be so many times smaller than what it makes.
    pub times_smaller: u32,
    /// Of zstd, for what is made and kept.
    pub level: i32,
    pub progress: watch::Sender<ImageProgress>,
}

/// Patches on their way. Dropping this ends them.
#[derive(Debug)]
pub(super) struct Patches {
    numbering: Numbering,
    /// Every chunk below this number is made, or will not be; closed when that is so of all.
    settled: watch::Receiver<u32>,
    /// The chunk that is needed next.
    needed: watch::Sender<u32>,
    _task: JoinSet<()>,
}

impl Patches {
    /// Asks for them, unless nothing is kept or nothing is missing.
    pub async fn begin(order: Order<'_>) -> Option<Self> {
        let numbering = Numbering::of(order.index);
        let needed_from = numbering.after(order.present);
        let all: Arc<[_]> = order.index.chunks().copied().collect();
        let (spool, kept, count) = (order.spool, order.kept, numbering.count());
        let level = order.level;
        let asked = blocking(move || {
            let mut missing = ChunkSet::empty(count);
            for (number, chunk) in (0..).zip(all.iter()).skip(needed_from as usize) {
                if !spool.has_content(chunk) {
                    missing.insert(ChunkNumber(number));
                }
            }
            let told = kept.iter().filter_map(kept_artifact);
            let told: Vec<_> = told.take(MOST_KEPT).collect();
            if missing.is_empty() || told.is_empty() {
                return None;
            }
            let maker = Maker::new(all, spool, kept, level);
            Some((missing.to_bytes(), told, maker))
        })
        .await;
        let (missing, kept, maker) = asked?;
        let request = wire::FetchPatchesRequest {
            artifact: order.artifact.to_string(),
            missing,
            kept,
            times_smaller: order.times_smaller,
        };
        let (sender, settled) = watch::channel(0);
        let (needed, needs) = watch::channel(needed_from);
        let (client, progress) = (order.client, order.progress);
        let mut task = JoinSet::new();
        task.spawn(async move {
            let making = Making {
                count,
                needs,
                settled: &sender,
                progress: &progress,
            };
            let received = making.receive(client, request, maker);
            if let Err(interruption) = received.await {
                info!(%interruption, "chunks that no patch makes are fetched");
            }
        });
        Some(Self {
            numbering,
            settled,
            needed,
            _task: task,
        })
    }

    /// Waits until chunk `place` of a layer is in the spool, or will not be made.
    pub async fn settled(&mut self, layer: &Layer, place: usize) {
        let ChunkNumber(number) = self.numbering.number(layer, place);
        self.needed.send_replace(number);
        // An error: nothing more is made.
        let _ = self.settled.wait_for(|settled| *settled > number).await;
    }

    /// How many chunks of a layer from `place` on, which is settled, are settled as well; at least that one.
    pub fn settled_from(&self, layer: &Layer, place: usize) -> usize {
        // Nothing more is made.
        if self.settled.has_changed().is_err() {
            return usize::MAX;
        }
        let ChunkNumber(number) = self.numbering.number(layer, place);
        let settled = self.settled.borrow().saturating_sub(number);
        usize::try_from(settled).unwrap_or(usize::MAX).max(1)
    }

    /// Waits until all are made.
    pub async fn end(&mut self) {
        self.needed.send_replace(u32::MAX);
        let _ = self.settled.wait_for(|_| false).await;
    }
}

/// What there is of it; none if that is nothing.
fn kept_artifact(kept: &Kept) -> Option<wire::KeptArtifact> {
    let mut chunks = ChunkSet::empty(kept.index.chunks().count() as u32);
    for (number, chunk) in (0..).zip(kept.index.chunks()) {
        if kept.has(chunk) {
            chunks.insert(ChunkNumber(number));
        }
    }
    (!chunks.is_empty()).then(|| wire::KeptArtifact {
        artifact: kept.artifact.to_string(),
        chunks: chunks.to_bytes(),
    })
}

/// Chunks being made, one after the other.
struct Making<'a> {
    /// How many chunks the artifact has.
    count: u32,
    needs: watch::Receiver<u32>,
    settled: &'a watch::Sender<u32>,
    progress: &'a watch::Sender<ImageProgress>,
}

impl Making<'_> {
    /// Makes what comes, until no more does.
    async fn receive(
        mut self,
        mut client: ArtifactsClient<Channel>,
        request: wire::FetchPatchesRequest,
        mut maker: Maker,
    ) -> Result<(), Interruption> {
        let asked = timeout(PATIENCE, client.fetch_patches(request)).await;
        let mut stream = asked.map_err(|_| Interruption::Silence)??.into_inner();
        loop {
            let patch = timeout(PATIENCE, stream.message()).await;
            let Some(patch) = patch.map_err(|_| Interruption::Silence)?? else {
                return Ok(());
            };
            let number = patch.chunk;
            if number < *self.settled.borrow() || number >= self.count {
                return Err(Interruption::Malformed("patches in another order"));
            }
            // Nothing is known of those that were left out, and nothing will be.
            self.settled.send_replace(number);
            if !patch.references.is_empty() {
                self.wait_until_needed(number).await;
                maker = self.make(maker, patch).await;
            }
            self.settled.send_replace(number + 1);
        }
    }

    /// What is made early would have to be read from the disk and proven again.
    async fn wait_until_needed(&mut self, number: u32) {
        let ahead = MADE_AHEAD as u32 - 1;
        // An error: nobody needs it any more, and this is about to end.
        let _ = self
            .needs
            .wait_for(|needed| number <= needed.saturating_add(ahead))
            .await;
    }

    async fn make(&self, mut maker: Maker, patch: wire::Patch) -> Maker {
        let wire_bytes = patch.frame.len() as u64;
        let (maker, made) = blocking(move || {
            let made = maker.make(&patch);
            (maker, made)
        })
        .await;
        self.progress.send_modify(|progress| {
            progress.wire_bytes += wire_bytes;
            if let Some(content_bytes) = made {
                progress.fetched_bytes += content_bytes;
                progress.kept_bytes += content_bytes;
            }
        });
        maker
    }
}

#[cfg(test)]
mod tests;
