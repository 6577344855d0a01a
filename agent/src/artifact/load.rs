//! One load into the engine: what it gets, from where, and in which order.

use std::collections::BTreeSet;
use std::path::Path;

use bytes::Bytes;
use tfleet_proto::model::artifact::{ArtifactIndex, Chunk, FRAME_LEVEL};
use tfleet_proto::model::digest::Digest;
use tokio::sync::{mpsc, watch};
use tracing::{info, warn};

use super::archive::Archive;
use super::blocking::blocking;
use super::crowd::{self, Crowd};
use super::fetch::{Fetcher, LayerEnd, Sink};
use super::interruption::FetchError;
use super::kept::{self, Kept};
use super::patches::{self, Patches};
use super::space::{self, Need, SpaceError};
use super::spool::{self, Spool};
use super::{DeliveryError, ImageProgress};
use crate::engine::{ArchivePiece, Engine, EngineError, EngineFacts, Refusal};
use crate::peers::Peers;

/// A patch must be so many times smaller than what it makes, for a host that gets everything from the coordinator, …
const PATCHES_ALONE: u32 = 2;
/// … and for one that could get it from others: the coordinator sends patches to each, and chunks about once.
const PATCHES_BESIDE_OTHERS: u32 = 32;

/// What is made for others, too, is kept in the frames that they know; else the engine waits for it.
const QUICK_LEVEL: i32 = 1;

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
        // What an attempt before this one left running would count with this one's.
        self.fetcher.set_patches(None);
        self.fetcher.set_crowd(None);
        let archive = Archive::new(self.index, present);
        let kept = self.adopt_kept().await;
        self.prepare(&archive, present).await?;
        let mut patches = self.patches(present, kept).await;
        if let (Some(patches), Some(_)) = (&mut patches, self.peers) {
            // Others are not asked for what a patch makes.
            patches.end().await;
        }
        self.fetcher.set_patches(patches);
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

    /// Takes what earlier images left, also of layers that the engine has: it is there for images to come. Tells what else
    /// there is of them.
    async fn adopt_kept(&self) -> Vec<Kept> {
        let root = spool::root_in(self.folder);
        let (spool, artifact) = (self.spool.clone(), self.fetcher.artifact());
        let wanted: Vec<_> = self.index.chunks().copied().collect();
        let adopted = blocking(move || {
            let kept = kept::others(&root, &artifact)?;
            kept::adopt(&spool, wanted.iter(), &kept)?;
            Ok::<_, spool::SpoolError>(kept)
        });
        // Whatever is wrong with them, everything can be fetched.
        adopted.await.unwrap_or_else(|error| {
            let error: &dyn std::error::Error = &error;
            warn!(error, "chunks of earlier images cannot be used");
            Vec::new()
        })
    }

    async fn patches(&self, present: usize, kept: Vec<Kept>) -> Option<Patches> {
        let (times_smaller, level) = match self.peers {
            Some(_) => (PATCHES_BESIDE_OTHERS, FRAME_LEVEL),
            None => (PATCHES_ALONE, QUICK_LEVEL),
        };
        let order = patches::Order {
            client: self.fetcher.client(),
            artifact: self.fetcher.artifact(),
            index: self.index,
            present,
            spool: self.spool.clone(),
            kept,
            times_smaller,
            level,
            progress: self.progress.clone(),
        };
        Patches::begin(order).await
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
        let chunks: Vec<_> = chunks_of(archive).copied().collect();
        let (spool, root) = (self.spool.clone(), self.folder.to_owned());
        let engine = self.facts.image_folder().map(Path::to_owned);
        let (peers, artifact) = (self.peers.cloned(), self.fetcher.artifact());
        let kept_bytes = blocking(move || {
            let (kept, missing): (Vec<_>, Vec<_>) = chunks
                .into_iter()
                .partition(|chunk| spool.has_content(chunk));
            let spool_bytes = missing.iter().map(|chunk| chunk.frame_bytes).sum();
            let need = Need {
                content_bytes,
                spool_bytes,
            };
            let check = || space::check(need, engine.as_deref(), &root);
            let is_enough =
                |_| !matches!(check(), Err(SpaceError::Short(short)) if short.is_on(&root));
            // Chunks that are here for images to come, or for others alone, make room.
            let folder = spool::root_in(&root);
            if !is_enough(0) {
                kept::evict_until(&folder, &served(peers.as_ref()), is_enough)?;
            }
            if let (false, Some(peers)) = (is_enough(0), peers) {
                peers.end_others(&artifact);
                kept::evict_until(&folder, &served(Some(&peers)), is_enough)?;
            }
            check()?;
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
            progress.kept_bytes = kept_bytes;
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

fn chunks_of<'a>(archive: &Archive<'a>) -> impl Iterator<Item = &'a Chunk> + use<'a> {
    archive.layers().flat_map(|layer| &layer.chunks)
}

/// What other hosts are served.
pub(super) fn served(peers: Option<&Peers>) -> BTreeSet<Digest> {
    let shared = peers.map(|peers| peers.retain(|_| true));
    shared.unwrap_or_default().into_iter().collect()
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
