//! One load into the engine: what it gets, from where, and in which order.

use std::path::Path;

use bytes::Bytes;
use tfleet_proto::model::artifact::ArtifactIndex;
use tokio::sync::{mpsc, watch};
use tracing::{info, warn};

use super::archive::Archive;
use super::blocking::blocking;
use super::crowd::{self, Crowd};
use super::fetch::{FetchError, Fetcher, LayerEnd, Sink};
use super::space::{self, Need, SpaceError};
use super::spool::{self, Spool};
use super::{DeliveryError, ImageProgress};
use crate::engine::{ArchivePiece, Engine, EngineError, EngineFacts, Refusal};
use crate::peers::Peers;

/// Fetching and loading, side by side.
pub(super) struct Load<'a> {
    pub engine: &'a Engine,
    /// Other hosts, where this one may fetch from them.
    pub peers: Option<&'a Peers>,
    /// Where the spool is.
    pub folder: &'a Path,
    pub index: &'a ArtifactIndex,
    pub facts: &'a EngineFacts,
    pub spool: Spool,
    pub fetcher: Fetcher,
    pub progress: &'a watch::Sender<ImageProgress>,
}

impl Load<'_> {
    /// Leaves out the layers that the engine has; if it does not like that, sends the image whole.
    pub async fn run(&mut self, present: usize, reference: &str) -> Result<(), DeliveryError> {
        match self.attempt(present, reference).await {
            Err(DeliveryError::Engine(EngineError::Refused {
                refusal, message, ..
            })) if present > 0 && refusal != Refusal::DiskFull => {
                warn!(
                    present,
                    message,
                    "the engine refuses the image without the layers that it has; sending it whole"
                );
                self.attempt(0, reference).await
            }
            outcome => outcome,
        }
    }

    async fn attempt(&mut self, present: usize, reference: &str) -> Result<(), DeliveryError> {
        let archive = Archive::new(self.index, present);
        self.prepare(&archive, present).await?;
        self.fetcher.set_crowd(self.crowd(present).await?);
        // One piece in the channel, one at each end.
        let (sender, receiver) = mpsc::channel(1);
        let load = async {
            self.engine
                .load(receiver)
                .await
                .map_err(DeliveryError::from)
        };
        let feed = feed(
            &archive,
            reference,
            &mut self.fetcher,
            EngineSink {
                sender,
                progress: self.progress,
            },
        );
        // The first error drops the other side: the engine's refusal ends the fetching, a failed fetch cuts the archive.
        tokio::try_join!(load, feed).map(drop)
    }

    /// Other hosts that fetch the same, where the owner lets them help.
    async fn crowd(&self, present: usize) -> Result<Option<Crowd>, DeliveryError> {
        let Some(peers) = self.peers else {
            return Ok(None);
        };
        let order = crowd::Order {
            client: self.fetcher.client(),
            artifact: self.fetcher.artifact(),
            index: self.index,
            present,
            spool: self.spool.clone(),
            progress: self.progress.clone(),
        };
        let artifact = order.artifact;
        let joined = Crowd::join(peers, order).await;
        joined.map_err(|interruption| FetchError::new(artifact, interruption).into())
    }

    /// Counts what is there and what is to come, and checks that there is room for it.
    async fn prepare(&self, archive: &Archive<'_>, present: usize) -> Result<(), DeliveryError> {
        let content_bytes = archive.layers().map(|layer| layer.size_bytes).sum();
        let chunks: Vec<_> = archive
            .layers()
            .flat_map(|layer| layer.chunks.iter().copied())
            .collect();
        let (spool, root) = (self.spool.clone(), self.folder.to_owned());
        let engine = self.facts.image_folder().map(Path::to_owned);
        let (peers, artifact) = (self.peers.cloned(), self.fetcher.artifact());
        let kept_bytes = blocking(move || {
            let (kept, missing): (Vec<_>, Vec<_>) =
                chunks.into_iter().partition(|chunk| spool.has(chunk));
            let spool_bytes = missing.iter().map(|chunk| chunk.frame_bytes).sum();
            let need = Need {
                content_bytes,
                spool_bytes,
            };
            let check = || space::check(need, engine.as_deref(), &root);
            match (check(), peers) {
                (Err(SpaceError::Short(_)), Some(peers)) => {
                    // Chunks that are here for others alone make room.
                    for other in peers.end_others(&artifact) {
                        spool::forget_finished(&spool::root_in(&root), &other)?;
                    }
                    check()?;
                }
                (checked, _) => checked?,
            }
            Ok::<u64, DeliveryError>(kept.iter().map(|chunk| chunk.content_bytes).sum())
        })
        .await?;
        let present_bytes = self
            .index
            .layers
            .iter()
            .take(present)
            .map(|layer| layer.size_bytes)
            .sum();
        self.progress.send_modify(|progress| {
            progress.content_bytes = self.index.content_bytes();
            progress.present_bytes = present_bytes;
            progress.fetched_bytes = kept_bytes;
            progress.loaded_bytes = 0;
        });
        info!(
            layers = self.index.layers.len(),
            present,
            content_bytes = self.index.content_bytes(),
            present_bytes,
            kept_bytes,
            "loading an image"
        );
        Ok(())
    }
}

/// Writes the archive. An engine that takes no more has a reason, which its answer tells.
async fn feed(
    archive: &Archive<'_>,
    reference: &str,
    fetcher: &mut Fetcher,
    mut sink: EngineSink<'_>,
) -> Result<(), DeliveryError> {
    if !sink.send(archive.head(reference)).await {
        return Ok(());
    }
    for layer in archive.layers() {
        let is_whole = sink.send(Archive::header(layer)).await
            && fetcher.layer(layer, &mut sink).await? == LayerEnd::Whole
            && sink.send(Archive::padding(layer)).await;
        if !is_whole {
            return Ok(());
        }
    }
    if sink.send(Archive::end()).await {
        sink.finish().await;
    }
    Ok(())
}

struct EngineSink<'a> {
    sender: mpsc::Sender<ArchivePiece>,
    progress: &'a watch::Sender<ImageProgress>,
}

impl EngineSink<'_> {
    async fn send(&self, bytes: Bytes) -> bool {
        bytes.is_empty() || self.sender.send(ArchivePiece::Bytes(bytes)).await.is_ok()
    }

    /// An engine that has stopped reading does not need to be told.
    async fn finish(self) {
        let _ = self.sender.send(ArchivePiece::End).await;
    }
}

impl Sink for EngineSink<'_> {
    async fn put(&mut self, content: Bytes) -> bool {
        let content_bytes = content.len() as u64;
        let is_wanted = self.send(content).await;
        if is_wanted {
            self.progress
                .send_modify(|progress| progress.loaded_bytes += content_bytes);
        }
        is_wanted
    }
}
