//! One image from its index to its tags.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use tfleet_proto::model::artifact::ArtifactIndex;
use tfleet_proto::model::digest::Digest;
use tfleet_proto::model::inventory::{EngineImage, ImageStore};
use tfleet_proto::wire::artifacts_client::ArtifactsClient;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;
use tracing::{info, warn};

use super::archive::Archive;
use super::blocking::blocking;
use super::fetch::{Fetcher, LayerEnd, Sink};
use super::loaded::Loaded;
use super::presence::present_layers;
use super::space::{self, Need};
use super::spool::{self, Spool};
use super::{DeliveryError, ImageProgress, index};
use crate::engine::{ArchivePiece, Engine, EngineError, EngineFacts, Refusal};

/// An image comes under a name of this repository and gets its tags once it was checked: an archive that names a tag
/// takes it from the image that has it, whatever becomes of the load.
const LOADING: &str = "tfleet/loading:";

/// The name of an image until it is whole.
pub fn loading_reference(artifact: &Digest) -> String {
    format!("{LOADING}{}", artifact.short())
}

pub fn is_loading(reference: &str) -> bool {
    reference.starts_with(LOADING)
}

/// An index of a thousand gigabytes is smaller.
const LARGEST_INDEX_BYTES: usize = 64 << 20;

/// Brings images into one engine. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Delivery {
    engine: Engine,
    folder: Arc<Path>,
    /// Two loads at once are slower than one after the other.
    one_at_a_time: Arc<Semaphore>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivered {
    /// The engine's identifier.
    pub image_id: String,
}

impl Delivery {
    /// `folder` holds chunks on their way and the record of loaded images; it is made when it is needed.
    pub fn new(engine: Engine, folder: &Path) -> Self {
        Self {
            engine,
            folder: folder.into(),
            one_at_a_time: Arc::new(Semaphore::new(1)),
        }
    }

    /// Brings an image and gives it its tags. Doing it again is cheap. What was fetched stays for the next attempt if
    /// this one fails or is called off.
    pub async fn deliver(
        &self,
        client: ArtifactsClient<Channel>,
        artifact: &Digest,
        tags: &[String],
        progress: watch::Sender<ImageProgress>,
        cancel: CancellationToken,
    ) -> Result<Delivered, DeliveryError> {
        let work = async {
            // Closed never.
            let _turn = self.one_at_a_time.acquire().await;
            self.bring(client, artifact, tags, progress).await
        };
        match cancel.run_until_cancelled(work).await {
            Some(outcome) => outcome,
            None => Err(DeliveryError::CalledOff(*artifact)),
        }
    }

    /// Removes the chunks that are kept for other artifacts than these.
    pub async fn keep_only(&self, wanted: BTreeSet<Digest>) -> Result<(), DeliveryError> {
        let root = self.spool_root();
        Ok(blocking(move || spool::keep_only(&root, &wanted)).await?)
    }

    async fn bring(
        &self,
        client: ArtifactsClient<Channel>,
        artifact: &Digest,
        tags: &[String],
        progress: watch::Sender<ImageProgress>,
    ) -> Result<Delivered, DeliveryError> {
        let mut client = client.max_decoding_message_size(LARGEST_INDEX_BYTES);
        let index = index::fetch(&mut client, artifact).await?;
        let facts = self.engine.facts().await?;
        let images = self.engine.images().await?;
        let path = self.folder.join("loaded.json");
        let mut loaded = blocking(move || Loaded::open(&path)).await?;

        let reference = loading_reference(artifact);
        self.remove_leftovers(&images, &reference).await?;
        let wanted: Vec<Digest> = index.diff_ids().collect();
        let image_id = match already_there(&index, &images, facts.image_store, &loaded) {
            Some(image_id) => {
                let content_bytes = index.content_bytes();
                progress.send_replace(ImageProgress {
                    content_bytes,
                    present_bytes: content_bytes,
                    ..ImageProgress::default()
                });
                image_id
            }
            None => {
                let (root, name) = (self.spool_root(), *artifact);
                let spool = blocking(move || Spool::open(&root, &name)).await?;
                let fetcher = Fetcher::new(client, *artifact, spool.clone(), progress.clone());
                let mut load = Load {
                    delivery: self,
                    index: &index,
                    facts: &facts,
                    spool,
                    fetcher,
                    progress: &progress,
                };
                let present = present_layers(&wanted, &images, facts.image_store, &loaded);
                load.run(present, &reference).await?;
                self.checked(&reference, &wanted).await?
            }
        };
        let mut in_engine: BTreeSet<String> =
            images.into_iter().map(|image| image.engine_id).collect();
        in_engine.insert(image_id.clone());
        let noted = image_id.clone();
        blocking(move || loaded.note(&noted, &in_engine)).await?;
        for tag in tags {
            self.engine.tag(&image_id, tag).await?;
        }
        self.engine.remove_image(&reference).await?;
        let (root, artifact) = (self.spool_root(), *artifact);
        blocking(move || spool::forget(&root, &artifact)).await?;
        Ok(Delivered { image_id })
    }

    /// The identifier of what was loaded, if it is the image that was sent.
    async fn checked(&self, reference: &str, wanted: &[Digest]) -> Result<String, DeliveryError> {
        match self.engine.find_image(reference).await? {
            Some(image) if image.diff_ids == wanted => Ok(image.engine_id),
            _ => {
                self.engine.remove_image(reference).await?;
                Err(EngineError::WrongImage {
                    reference: reference.to_owned(),
                }
                .into())
            }
        }
    }

    /// Names that a killed delivery left behind would keep its image for ever.
    async fn remove_leftovers(
        &self,
        images: &[EngineImage],
        except: &str,
    ) -> Result<(), DeliveryError> {
        let names = images.iter().flat_map(|image| &image.tags);
        for name in names.filter(|name| is_loading(name) && *name != except) {
            info!(name, "removing an image that was never finished");
            self.engine.remove_image(name).await?;
        }
        Ok(())
    }

    fn spool_root(&self) -> PathBuf {
        self.folder.join("spool")
    }
}

/// The whole image, if the engine has it: layers and configuration.
fn already_there(
    index: &ArtifactIndex,
    images: &[EngineImage],
    store: ImageStore,
    loaded: &Loaded,
) -> Option<String> {
    let archive = Archive::new(index, 0);
    let engine_id = match store {
        ImageStore::GraphDriver => archive.config_digest().to_string(),
        // One whose load was cut short may carry the right name and lack layers.
        ImageStore::Containerd => {
            Some(archive.manifest_digest().to_string()).filter(|id| loaded.has(id))?
        }
    };
    let found = images.iter().find(|image| image.engine_id == engine_id)?;
    found
        .diff_ids
        .iter()
        .copied()
        .eq(index.diff_ids())
        .then_some(engine_id)
}

/// Fetching and loading, side by side.
struct Load<'a> {
    delivery: &'a Delivery,
    index: &'a ArtifactIndex,
    facts: &'a EngineFacts,
    spool: Spool,
    fetcher: Fetcher,
    progress: &'a watch::Sender<ImageProgress>,
}

impl Load<'_> {
    /// Leaves out the layers that the engine has; if it does not like that, sends the image whole.
    async fn run(&mut self, present: usize, reference: &str) -> Result<(), DeliveryError> {
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
        // One piece in the channel, one at each end.
        let (sender, receiver) = mpsc::channel(1);
        let load = async {
            self.delivery
                .engine
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

    /// Counts what is there and what is to come, and checks that there is room for it.
    async fn prepare(&self, archive: &Archive<'_>, present: usize) -> Result<(), DeliveryError> {
        let content_bytes = archive.layers().map(|layer| layer.size_bytes).sum();
        let chunks: Vec<_> = archive
            .layers()
            .flat_map(|layer| layer.chunks.iter().copied())
            .collect();
        let (spool, root) = (self.spool.clone(), self.delivery.folder.clone());
        let engine = self.facts.image_folder().map(Path::to_owned);
        let kept_bytes = blocking(move || {
            let (kept, missing): (Vec<_>, Vec<_>) =
                chunks.into_iter().partition(|chunk| spool.has(chunk));
            let spool_bytes = missing.iter().map(|chunk| chunk.frame_bytes).sum();
            space::check(
                Need {
                    content_bytes,
                    spool_bytes,
                },
                engine.as_deref(),
                &root,
            )?;
            Ok::<u64, space::SpaceError>(kept.iter().map(|chunk| chunk.content_bytes).sum())
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
