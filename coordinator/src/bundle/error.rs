//! Why a bundle was not made or not taken.

use tfleet_proto::model::digest::Digest;
use tfleet_proto::model::failure::Failure;
use tfleet_proto::model::name::{ReleaseRef, VariantId};

use super::format::FormatError;
use crate::artifact::StoreError;
use crate::build::BuildError;
use crate::vault::VaultError;

#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    #[error(transparent)]
    Format(#[from] FormatError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the vault failed")]
    Vault(#[source] VaultError),
    #[error(transparent)]
    Build(#[from] BuildError),
    #[error("variant {variant} of {release} is not built yet")]
    NotBuilt {
        release: ReleaseRef,
        variant: VariantId,
    },
    #[error(
        "variant {variant} of {release} was built, and its stored image {artifact} is gone or damaged"
    )]
    Gone {
        release: ReleaseRef,
        variant: VariantId,
        artifact: Digest,
    },
    #[error("the vault lacks {what}, which variant {variant} of {release} is built from")]
    NotKept {
        release: ReleaseRef,
        variant: VariantId,
        what: String,
    },
    #[error("the list of what the other site has cannot be understood: {why}")]
    Have { why: String },
    #[error("the bundle's {what} {digest} cannot be understood: {why}")]
    Content {
        what: &'static str,
        digest: Digest,
        why: String,
    },
    #[error("the bundle brings the chunk {digest}, which none of its images has")]
    Unwanted { digest: Digest },
    #[error("neither this site nor the bundle has {what} {digest} of {release}")]
    Lacks {
        what: &'static str,
        digest: Digest,
        release: ReleaseRef,
    },
    #[error("this site has another {release}: {why}")]
    Other { release: ReleaseRef, why: String },
    /// In words, since the state is not ours.
    #[error("the state cannot be read: {0}")]
    State(String),
    #[error("the coordinator is stopping")]
    Stopping,
}

impl From<VaultError> for BundleError {
    fn from(error: VaultError) -> Self {
        match error {
            // What could not be written may be what could not be read.
            VaultError::Io {
                operation,
                path,
                source,
            } => match source.downcast::<FormatError>() {
                Ok(format) => Self::Format(format),
                Err(source) => Self::Vault(VaultError::Io {
                    operation,
                    path,
                    source,
                }),
            },
            VaultError::Other { wanted, .. } => Self::Content {
                what: "wheel",
                digest: wanted,
                why: "its content is not what its name says".to_owned(),
            },
        }
    }
}

impl BundleError {
    /// What the operator is told.
    pub fn failure(&self) -> Failure {
        let failure = |code| Failure::new(code, self.sentence());
        match self {
            Self::Store(error) => error.failure(),
            Self::Build(error) => error.failure(),
            Self::Format(FormatError::Version { .. }) => failure("bundle-version")
                .with_remedy("use a coordinator that is as new as the one that wrote it"),
            Self::Format(FormatError::NotABundle) => {
                failure("bundle-damaged").with_remedy("give a file that `tfleet vault export` wrote")
            }
            Self::Format(_) | Self::Content { .. } | Self::Unwanted { .. } => {
                failure("bundle-damaged").with_remedy(
                    "nothing of it counts here; copy the file again, or export it again",
                )
            }
            Self::Have { .. } => failure("have-unreadable")
                .with_remedy("make it at the other site: tfleet vault have > have.json"),
            Self::NotBuilt { release, .. } | Self::Gone { release, .. } => {
                failure("not-built").with_remedy(format!("build it first: tfleet build {release}"))
            }
            Self::NotKept { .. } => failure("not-kept").with_remedy(
                "set `keep_wheels = true` in coordinator.toml and build it again, or export without --wheels",
            ),
            Self::Lacks { .. } => failure("bundle-incomplete").with_remedy(
                "the bundle was made for a site that has more: export it again with this site's own list, \
                 tfleet vault have > have.json",
            ),
            Self::Other { .. } => failure("release-differs").with_remedy(
                "a revision never changes: plan it as the next revision there, or under another name, and export that",
            ),
            Self::Vault(_) | Self::State(_) => failure("store-failed"),
            Self::Stopping => failure("cancelled"),
        }
    }

    fn sentence(&self) -> String {
        let mut sentence = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            let text = error.to_string();
            if !sentence.contains(&text) {
                sentence = format!("{sentence}: {text}");
            }
            cause = error.source();
        }
        sentence
    }
}
