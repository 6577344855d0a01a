//! Why an image was not delivered, and what a person is told about it.

use tfleet_proto::model::artifact::ArtifactIndexError;
use tfleet_proto::model::digest::Digest;
use tfleet_proto::model::failure::Failure;

use super::interruption::FetchError;
use super::loaded::LoadedError;
use super::space::SpaceError;
use super::spool::SpoolError;
use crate::engine::EngineError;

#[derive(Debug, thiserror::Error)]
pub enum DeliveryError {
    #[error("the delivery of {0} was called off")]
    CalledOff(Digest),
    #[error("the index that came for artifact {artifact} has digest {actual}")]
    OtherIndex { artifact: Digest, actual: Digest },
    #[error("the index of artifact {artifact} cannot be used")]
    Index {
        artifact: Digest,
        #[source]
        source: ArtifactIndexError,
    },
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error(transparent)]
    Spool(#[from] SpoolError),
    #[error(transparent)]
    Space(#[from] SpaceError),
    #[error(transparent)]
    Loaded(#[from] LoadedError),
    #[error(transparent)]
    Engine(#[from] EngineError),
}

impl DeliveryError {
    /// For the operator.
    pub fn failure(&self) -> Failure {
        match self {
            Self::CalledOff(_) => Failure::new("called-off", self.to_string()),
            Self::OtherIndex { .. } => Failure::new("artifact-corrupted", self.to_string())
                .with_remedy("check the coordinator's disk, and build the release again"),
            Self::Index { source, .. } => {
                Failure::new("artifact-malformed", format!("{self}: {source}"))
                    .with_remedy("upgrade the older of coordinator and agent")
            }
            Self::Fetch(error) => error.failure(),
            Self::Spool(error) => Failure::new("spool-failed", with_source(error))
                .with_remedy("see to the disk that holds the agent's data folder"),
            Self::Space(error) => error.failure(),
            Self::Loaded(error) => Failure::new("spool-failed", with_source(error))
                .with_remedy("see to the disk that holds the agent's data folder"),
            Self::Engine(error) => error.failure(),
        }
    }
}

fn with_source(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}
