//! What is on the host, as far as the fleet goes: the engine's view and the ledger's side by side.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use tfleet_proto::model::digest::Digest;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scene {
    /// The images that this agent brought, by artifact.
    pub images: BTreeMap<Digest, SceneImage>,
    /// By name: every container that the ledger or a label says is the fleet's.
    pub containers: BTreeMap<String, SceneContainer>,
    /// The artifact that is on its way. One at a time: two loads at once are slower than one after the other.
    pub delivering: Option<Digest>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SceneImage {
    pub engine_id: String,
    /// The references that the agent gave it.
    pub given: BTreeSet<String>,
    /// The references that it has in the engine; `None`: somebody removed it there.
    pub present: Option<BTreeSet<String>>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SceneContainer {
    /// What the ledger says.
    pub deed: Option<Deed>,
    /// What the engine says.
    pub found: Option<Found>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deed {
    pub spec: Digest,
    pub artifact: Digest,
    /// `None`: an intention whose outcome was not noted.
    pub id: Option<String>,
    pub started: bool,
    pub starting: Option<PastStart>,
    /// A stop was asked of the engine, and its end was not noted.
    pub stopping: bool,
    pub restart_serial: u64,
    pub start_serial: u64,
}

/// A start that was asked of the engine; it happened once the start time differs from `before`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PastStart {
    pub restart_serial: u64,
    pub start_serial: u64,
    pub before: Option<Timestamp>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    pub id: String,
    /// What the container's label says; `None` where it says nothing that can be read.
    pub spec: Option<Digest>,
    pub life: Life,
    /// The last start; `None` before the first.
    pub started_at: Option<Timestamp>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    Created,
    /// Also paused, and waiting for the engine's own restart.
    Running,
    Exited,
    /// The engine is removing it.
    Leaving,
}

/// Whose a container is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holding<'a> {
    /// There is none.
    Nothing,
    /// It stands in the ledger, and the engine has none.
    Gone,
    /// Label and ledger agree.
    Ours(&'a Deed, &'a Found),
    /// There is one and the ledger does not know it: not ours to touch, whatever its labels say.
    Foreign,
}

impl Scene {
    pub fn has_image(&self, artifact: &Digest) -> bool {
        self.images
            .get(artifact)
            .is_some_and(|image| image.present.is_some())
    }
}

impl SceneContainer {
    /// An image's labels merge into its containers', so a label alone proves nothing; the ledger alone may be out of
    /// date. Both together are proof.
    pub fn holding(&self) -> Holding<'_> {
        match (&self.deed, &self.found) {
            (None, None) => Holding::Nothing,
            (Some(_), None) => Holding::Gone,
            (None, Some(_)) => Holding::Foreign,
            (Some(deed), Some(found)) => {
                let is_the_one = deed.id.as_ref().is_none_or(|id| *id == found.id);
                if is_the_one && found.spec == Some(deed.spec) {
                    Holding::Ours(deed, found)
                } else {
                    Holding::Foreign
                }
            }
        }
    }
}

impl Deed {
    /// A start that was asked for and, by the container's start time, has happened.
    pub fn start_that_happened(&self, found: &Found) -> Option<PastStart> {
        self.starting
            .filter(|start| start.before != found.started_at)
    }
}
