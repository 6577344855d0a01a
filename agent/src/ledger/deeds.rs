//! What this agent did on its host: images it brought, containers it made. Intentions are noted before the act.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tfleet_proto::model::desired::BindMount;
use tfleet_proto::model::digest::Digest;
use tfleet_proto::model::inventory::GpuMode;
use tracing::warn;

use super::{LedgerError, Membership};
use crate::durable;

/// The agent's own deeds. Everything in the engine that does not stand here is somebody else's.
#[derive(Debug)]
pub struct Deeds {
    path: PathBuf,
    book: Book,
}

/// An image that the agent brought.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageDeed {
    /// The engine's identifier.
    pub engine_id: String,
    /// The references that the agent gave it.
    pub tags: Vec<String>,
    /// Uncompressed bytes of all layers.
    pub content_bytes: u64,
    /// Of these the engine had already.
    pub present_bytes: u64,
    /// Of these were fetched.
    pub fetched_bytes: u64,
    /// Of the fetched, what the host kept of earlier ones, or made of such.
    #[serde(default)]
    pub kept_bytes: u64,
    /// What crossed the wire for them.
    pub wire_bytes: u64,
    /// Of it, what came from other hosts.
    #[serde(default)]
    pub peer_bytes: u64,
    /// `None`: noted before starts were.
    #[serde(default)]
    pub started_at: Option<Timestamp>,
    pub finished_at: Timestamp,
}

/// A container that the agent made, or is about to make.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ContainerDeed {
    /// Digest of the specification, as the container's label has it.
    pub spec: Digest,
    /// The engine's identifier; `None` between the intention and the engine's answer.
    pub id: Option<String>,
    pub artifact: Digest,
    /// Zero: the engine's default.
    pub stop_grace_seconds: u32,
    pub gpu_mode: Option<GpuMode>,
    /// What of the host it was given, as the engine got it.
    #[serde(default)]
    pub binds: Vec<BindMount>,
    /// Whether it was started since it was made or last stopped by us.
    pub started: bool,
    /// A start that was asked of the engine and not yet seen to have happened.
    pub starting: Option<Starting>,
    /// A stop that was asked of the engine and whose end was not noted.
    #[serde(default)]
    pub stopping: bool,
    /// The last restart that was carried out.
    pub restart_serial: u64,
    /// The last start that was asked for and is done: carried out, or found to be running.
    #[serde(default)]
    pub start_serial: u64,
}

/// A start or restart under way: it happened once the container's start time differs from `before`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Starting {
    pub restart_serial: u64,
    #[serde(default)]
    pub start_serial: u64,
    pub before: Option<Timestamp>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Book {
    /// `None`: it began before memberships were noted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    membership: Option<Membership>,
    images: BTreeMap<Digest, ImageDeed>,
    /// The tags that a delivery gives its image at its end, by artifact: deliveries that did not come to theirs.
    #[serde(default)]
    deliveries: BTreeMap<Digest, Vec<String>>,
    containers: BTreeMap<String, ContainerDeed>,
}

impl Deeds {
    /// The deeds of this membership. Those of an earlier one are disowned: what they made goes on, and this agent touches
    /// it no more than anything else that it did not make.
    pub fn open(folder: &Path, membership: Option<Membership>) -> Result<Self, LedgerError> {
        durable::make_folder(folder)?;
        let path = folder.join("deeds.json");
        let mut book: Book = super::load(&path)?.unwrap_or_default();
        if book.membership != membership {
            if !book.containers.is_empty() {
                warn!(
                    containers = ?book.containers.keys(),
                    "this host was enrolled anew: its earlier containers go on, and are this fleet's no more; their names \
                     are taken until somebody removes them by hand"
                );
            }
            book = Book {
                membership,
                ..Book::default()
            };
        }
        Ok(Self { path, book })
    }

    /// By artifact.
    pub fn images(&self) -> &BTreeMap<Digest, ImageDeed> {
        &self.book.images
    }

    /// Deliveries that were begun and whose image is not noted: the tags that they give, by artifact.
    pub fn deliveries(&self) -> &BTreeMap<Digest, Vec<String>> {
        &self.book.deliveries
    }

    /// By name.
    pub fn containers(&self) -> &BTreeMap<String, ContainerDeed> {
        &self.book.containers
    }

    /// A delivery that is about to begin.
    pub async fn note_delivery(
        &mut self,
        artifact: Digest,
        tags: Vec<String>,
    ) -> Result<(), LedgerError> {
        self.change(|book| {
            let noted = book.deliveries.entry(artifact).or_default();
            let new: Vec<String> = tags
                .into_iter()
                .filter(|tag| !noted.contains(tag))
                .collect();
            noted.extend(new);
        })
        .await
    }

    /// Nothing is left of a delivery that did not end well.
    pub async fn forget_delivery(&mut self, artifact: &Digest) -> Result<(), LedgerError> {
        self.change(|book| drop(book.deliveries.remove(artifact)))
            .await
    }

    /// An image that is here; its delivery is over.
    pub async fn note_image(
        &mut self,
        artifact: Digest,
        deed: ImageDeed,
    ) -> Result<(), LedgerError> {
        self.change(|book| {
            book.deliveries.remove(&artifact);
            book.images.insert(artifact, deed);
        })
        .await
    }

    pub async fn forget_image(&mut self, artifact: &Digest) -> Result<(), LedgerError> {
        self.change(|book| drop(book.images.remove(artifact))).await
    }

    pub async fn note_container(
        &mut self,
        name: &str,
        deed: ContainerDeed,
    ) -> Result<(), LedgerError> {
        self.change(|book| drop(book.containers.insert(name.to_owned(), deed)))
            .await
    }

    /// Changes a deed that stands in the ledger; one that does not is left alone.
    pub async fn amend_container(
        &mut self,
        name: &str,
        amend: impl FnOnce(&mut ContainerDeed),
    ) -> Result<(), LedgerError> {
        self.change(|book| {
            if let Some(deed) = book.containers.get_mut(name) {
                amend(deed);
            }
        })
        .await
    }

    pub async fn forget_container(&mut self, name: &str) -> Result<(), LedgerError> {
        self.change(|book| drop(book.containers.remove(name))).await
    }

    /// What was not written did not happen: memory follows the disk.
    async fn change(&mut self, change: impl FnOnce(&mut Book)) -> Result<(), LedgerError> {
        let mut changed = self.book.clone();
        change(&mut changed);
        if changed != self.book {
            super::save(self.path.clone(), changed.clone()).await?;
            self.book = changed;
        }
        Ok(())
    }
}
