//! How a build goes.

use tfleet_proto::model::digest::Digest;
use tfleet_proto::model::failure::Failure;

use super::BuildError;

/// What a build is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BuildPhase {
    Waiting,
    /// Bootstrapping or fetching the base.
    Base,
    /// Resolving the recipe to a lock.
    Locking,
    Building,
    /// Reading the image out of the engine into blobs.
    Storing,
    Done,
    Failed,
}

/// The latest state; whoever is slow misses only what was between.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildStatus {
    pub phase: BuildPhase,
    /// One line.
    pub activity: String,
    pub done_bytes: u64,
    /// Zero: unknown.
    pub total_bytes: u64,
    /// From when it is known.
    pub lock: Option<Digest>,
    /// Set once, at the end.
    pub outcome: Option<Result<Built, Failure>>,
}

/// What a lock became.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Built {
    pub lock: Digest,
    pub artifact: Digest,
    /// Of the layers, uncompressed.
    pub content_bytes: u64,
    /// Of their chunks' frames.
    pub stored_bytes: u64,
    /// It was there already; nothing was done.
    pub cached: bool,
}

impl BuildStatus {
    pub(super) fn waiting() -> Self {
        Self {
            phase: BuildPhase::Waiting,
            activity: "waiting for a builder".to_owned(),
            done_bytes: 0,
            total_bytes: 0,
            lock: None,
            outcome: None,
        }
    }

    pub(super) fn enter(&mut self, phase: BuildPhase, activity: &str, total_bytes: u64) {
        self.phase = phase;
        self.activity = activity.to_owned();
        self.done_bytes = 0;
        self.total_bytes = total_bytes;
    }

    pub(super) fn end(&mut self, outcome: Result<Built, BuildError>) {
        let (phase, activity) = match &outcome {
            Ok(built) if built.cached => (BuildPhase::Done, "built before".to_owned()),
            Ok(_) => (BuildPhase::Done, "built".to_owned()),
            Err(error) => (BuildPhase::Failed, error.failure().message),
        };
        self.enter(phase, &activity, 0);
        self.outcome = Some(outcome.map_err(|error| error.failure()));
    }
}
