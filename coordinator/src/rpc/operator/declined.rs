//! Why an operator's call was not done: what failed, why, what to do next.

use tfleet_proto::convert::Refusal;
use tonic::Status;

use super::super::refusal::internal;
use crate::artifact::{self, ArchiveError};
use crate::build::BuildError;
use crate::bundle::BundleError;
use crate::ca::AuthorityError;
use crate::fleet::StartError;
use crate::rollout::nearest;
use crate::store::StoreError;

#[derive(Debug, thiserror::Error)]
pub enum Declined {
    #[error(transparent)]
    Field(#[from] Refusal),
    #[error("{0}")]
    Unknown(String),
    #[error("{0}")]
    Exists(String),
    /// Something has to be done first; the sentence says what.
    #[error("{0}")]
    First(String),
    #[error(transparent)]
    Start(#[from] StartError),
    #[error("the state failed")]
    Store(#[from] StoreError),
    #[error("the certificate authority failed")]
    Authority(#[from] AuthorityError),
    #[error("the build failed")]
    Build(#[from] BuildError),
    #[error("the bundle failed")]
    Bundle(#[from] BundleError),
    #[error("the stored images failed")]
    Artifacts(#[from] artifact::StoreError),
    /// The caller's own stream broke.
    #[error("the request broke off")]
    Broken(#[from] Box<Status>),
    #[error("the coordinator is stopping")]
    Stopping,
}

impl Declined {
    pub fn field(path: &str, why: impl Into<String>) -> Self {
        Self::Field(Refusal::new(path, why))
    }

    /// `kind` is unknown by that name; the nearest one that is known goes with it.
    pub fn unknown<'a>(kind: &str, name: &str, known: impl IntoIterator<Item = &'a str>) -> Self {
        Self::Unknown(match nearest(name, known) {
            Some(near) => format!("there is no {kind} {name}; did you mean {near}?"),
            None => format!("there is no {kind} {name}"),
        })
    }
}

impl From<Declined> for Status {
    fn from(declined: Declined) -> Self {
        match declined {
            Declined::Field(refusal) => refusal.into(),
            Declined::Unknown(sentence) => Self::not_found(sentence),
            Declined::Exists(sentence) => Self::already_exists(sentence),
            Declined::First(sentence) => Self::failed_precondition(sentence),
            Declined::Start(error @ StartError::UnknownHost(_)) => {
                Self::not_found(error.to_string())
            }
            Declined::Start(error @ (StartError::NotConnected { .. } | StartError::Busy(_))) => {
                Self::unavailable(error.to_string())
            }
            Declined::Store(error) => internal("read or write its state")(error),
            Declined::Authority(error @ AuthorityError::Request(_)) => {
                Self::invalid_argument(format!("signing_request: {error}"))
            }
            Declined::Authority(error) => internal("issue a certificate")(error),
            Declined::Build(error) => of_build(error),
            Declined::Bundle(error) => of_bundle(&error),
            Declined::Artifacts(error) => internal("read its stored images")(error),
            Declined::Broken(status) => *status,
            Declined::Stopping => Self::unavailable("the coordinator is stopping; try again"),
        }
    }
}

/// What a build cannot begin without is the operator's to mend; its own log has the rest.
fn of_build(error: BuildError) -> Status {
    let failure = error.failure();
    match error {
        BuildError::Cancelled => Status::unavailable(failure.to_string()),
        BuildError::NoImage { .. } => Status::not_found(failure.to_string()),
        BuildError::Archive(ArchiveError::Store(_)) => {
            Status::failed_precondition(failure.to_string())
        }
        BuildError::Format { .. } | BuildError::Archive(_) => {
            Status::invalid_argument(failure.to_string())
        }
        _ => Status::failed_precondition(failure.to_string()),
    }
}

fn of_bundle(error: &BundleError) -> Status {
    let sentence = error.failure().to_string();
    match error {
        BundleError::Format(_)
        | BundleError::Have { .. }
        | BundleError::Content { .. }
        | BundleError::Unwanted { .. } => Status::invalid_argument(sentence),
        BundleError::Stopping => Status::unavailable(sentence),
        BundleError::Vault(_) | BundleError::State(_) => Status::internal(sentence),
        _ => Status::failed_precondition(sentence),
    }
}
