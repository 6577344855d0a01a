//! One image from its index to its tags.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use tfleet_proto::model::artifact::ArtifactIndex;
use tfleet_proto::model::digest::Digest;
use tfleet_proto::model::inventory::{EngineImage, ImageStore};
use tfleet_proto::wire::artifacts_client::ArtifactsClient;
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;
use tracing::{info, warn};

use super::archive::Archive;
use super::blocking::blocking;
use super::crowd::Crowd;
use super::fetch::Fetcher;
use super::kept::{self, Limit};
use super::load::{self, Load};
use super::loaded::Loaded;
use super::presence::present_layers;
use super::spool::{self, Spool, SpoolError};
use super::{DeliveryError, ImageProgress, index};
use crate::engine::{Engine, EngineError};
use crate::peers::Peers;

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
    /// Other hosts, where this one may fetch from them and serve them.
    peers: Option<Peers>,
    /// What may stay for images to come.
    limit: Limit,
    /// Whoever removes kept chunks, or takes an artifact's up again.
    kept: Arc<Mutex<()>>,
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
            peers: None,
            limit: Limit::NOTHING,
            kept: Arc::default(),
        }
    }

    /// Keeps chunks for images to come.
    #[must_use]
    pub fn keeping(self, limit: Limit) -> Self {
        Self { limit, ..self }
    }

    /// Fetches from other hosts, too, and serves them.
    #[must_use]
    pub fn with_peers(self, peers: Peers) -> Self {
        Self {
            peers: Some(peers),
            ..self
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

    /// Chunks of other artifacts than these are not needed now: they stay as far as there is room for them.
    pub async fn keep_only(&self, wanted: BTreeSet<Digest>) -> Result<(), DeliveryError> {
        if let Some(peers) = &self.peers {
            peers.retain(|artifact| wanted.contains(artifact));
        }
        let delivery = self.clone();
        let kept = blocking(move || {
            spool::finish_others(&delivery.spool_root(), &wanted)?;
            delivery.evict()
        });
        Ok(kept.await?)
    }

    /// Makes room of what is kept where the disk has little left.
    pub async fn yield_room(&self) -> Result<(), DeliveryError> {
        let delivery = self.clone();
        let work = move || match kept::has_room(&delivery.spool_root()) {
            true => Ok(()),
            false => delivery.evict(),
        };
        Ok(blocking(work).await?)
    }

    /// Blocks.
    fn evict(&self) -> Result<(), SpoolError> {
        let _alone = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept::evict(
            &self.spool_root(),
            self.limit,
            &load::served(self.peers.as_ref()),
        )
    }

    /// Blocks.
    fn open_spool(&self, artifact: &Digest, index: &ArtifactIndex) -> Result<Spool, SpoolError> {
        let _alone = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let spool = Spool::open(&self.spool_root(), artifact)?;
        if let Err(error) = spool.note_index(index) {
            let error: &dyn std::error::Error = &error;
            warn!(error, "this image will be of no use to images to come");
        }
        Ok(spool)
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
        let mut crowd = None;
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
                let (delivery, name, known) = (self.clone(), *artifact, index.clone());
                let spool = blocking(move || delivery.open_spool(&name, &known)).await?;
                let fetcher = Fetcher::new(client, *artifact, spool.clone(), progress.clone());
                let mut load = Load {
                    engine: &self.engine,
                    peers: self.peers.as_ref(),
                    folder: &self.folder,
                    index: &index,
                    facts: &facts,
                    spool,
                    fetcher,
                    progress: &progress,
                };
                let present = present_layers(&wanted, &images, facts.image_store, &loaded);
                load.run(present, &reference).await?;
                crowd = load.fetcher.into_crowd();
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
        self.leave_chunks(artifact, crowd).await?;
        Ok(Delivered { image_id })
    }

    /// The image is in the engine. Its chunks stay for other hosts that need them, and for images to come.
    async fn leave_chunks(
        &self,
        artifact: &Digest,
        crowd: Option<Crowd>,
    ) -> Result<(), DeliveryError> {
        let (delivery, artifact) = (self.clone(), *artifact);
        let evicting = self.clone();
        let evict = move || {
            if let Err(error) = evicting.evict() {
                let error: &dyn std::error::Error = &error;
                warn!(error, "chunks that nobody needs cannot be removed");
            }
        };
        blocking(move || spool::finish(&delivery.spool_root(), &artifact)).await?;
        match (crowd, &self.peers) {
            (Some(crowd), Some(peers)) => crowd.linger(peers, evict),
            _ => blocking(evict).await,
        }
        Ok(())
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
        spool::root_in(&self.folder)
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
