//! Why chunks stopped coming, and what a person is told about it.

use std::fmt;
use std::time::Duration;

use tfleet_proto::model::digest::Digest;
use tfleet_proto::model::failure::Failure;
use tonic::{Code, Status};

/// A coordinator that says nothing for so long is taken for gone.
pub(super) const SILENCE: Duration = Duration::from_secs(60);

#[derive(Debug, thiserror::Error)]
#[error("artifact {artifact} cannot be fetched: {interruption}")]
pub struct FetchError {
    artifact: Digest,
    interruption: Interruption,
}

/// Why chunks stopped coming.
#[derive(Debug, thiserror::Error)]
pub enum Interruption {
    #[error("the coordinator answered {}: {}", code_name(.0.code()), .0.message())]
    Status(Box<Status>),
    #[error("the coordinator said nothing for {} seconds", SILENCE.as_secs())]
    Silence,
    #[error("the stream ended before its last chunk")]
    Ended,
    #[error("the coordinator sent {0}")]
    Malformed(&'static str),
    #[error("chunk {number} of layer {} came from the coordinator with other content than its index says", diff_id.short())]
    Corrupted { diff_id: Digest, number: usize },
}

impl Interruption {
    /// Whether asking again may help.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            Self::Status(status) => !matches!(
                status.code(),
                Code::NotFound
                    | Code::PermissionDenied
                    | Code::Unauthenticated
                    | Code::InvalidArgument
                    | Code::OutOfRange
                    | Code::DataLoss
                    | Code::Unimplemented
                    | Code::FailedPrecondition
            ),
            Self::Silence | Self::Ended | Self::Malformed(_) | Self::Corrupted { .. } => true,
        }
    }
}

impl From<Status> for Interruption {
    fn from(status: Status) -> Self {
        Self::Status(Box::new(status))
    }
}

impl FetchError {
    pub(super) fn new(artifact: Digest, interruption: Interruption) -> Self {
        Self {
            artifact,
            interruption,
        }
    }

    pub fn failure(&self) -> Failure {
        let (code, remedy) = match &self.interruption {
            Interruption::Status(status) => match status.code() {
                Code::NotFound => (
                    "artifact-missing",
                    "build the release again (`tfleet build`)",
                ),
                Code::DataLoss => (
                    "artifact-corrupted",
                    "check the coordinator's disk, and build the release (or add the image) again: what is damaged is stored anew",
                ),
                Code::PermissionDenied | Code::Unauthenticated => {
                    ("host-refused", "enrol this host again")
                }
                _ => (
                    "coordinator-unreachable",
                    "it is tried again by itself; see the coordinator's log",
                ),
            },
            Interruption::Silence | Interruption::Ended => (
                "coordinator-unreachable",
                "it is tried again by itself; see to the network between host and coordinator",
            ),
            Interruption::Malformed(_) => (
                "artifact-malformed",
                "upgrade the older of coordinator and agent",
            ),
            Interruption::Corrupted { .. } => (
                "artifact-corrupted",
                "check the coordinator's disk, and build the release again",
            ),
        };
        Failure::new(code, self.to_string()).with_remedy(remedy)
    }
}

fn code_name(code: Code) -> impl fmt::Display {
    format!("{code:?}")
}
