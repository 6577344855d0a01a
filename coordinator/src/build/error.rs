//! Why a build failed, and what the operator is told.

use std::io;
use std::path::{Path, PathBuf};

use tfleet_compat::Architecture;
use tfleet_proto::model::digest::Digest;
use tfleet_proto::model::failure::Failure;

use super::check::Problem;
use crate::artifact::{ArchiveError, RebuildError, StoreError};
use crate::vault::VaultError;

/// What the engine is to do when a base is neither imported nor there already.
pub const PULL: &str = "pull an image";

#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    #[error("cannot {operation} {path}")]
    Io {
        operation: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("cannot run {program}")]
    Program {
        program: &'static str,
        #[source]
        source: io::Error,
    },
    #[error("python3 on the coordinator's machine has no pip, which fetches the resolver: {said}")]
    NoPip { said: String },
    /// The program said why in the log.
    #[error("{what}: {last_lines}")]
    Step { what: String, last_lines: String },
    #[error("{file} cannot be read: {why}")]
    Format { file: String, why: String },
    #[error("no builder is configured for {architecture}")]
    NoBuilder { architecture: Architecture },
    #[error("the builder's engine at {endpoint} failed to {operation}")]
    Engine {
        endpoint: String,
        operation: &'static str,
        #[source]
        source: bollard::errors::Error,
    },
    #[error(
        "the builder's engine at {endpoint} made no progress for {seconds} s while it was to {operation}"
    )]
    Stalled {
        endpoint: String,
        operation: &'static str,
        seconds: u64,
    },
    /// moby issue 47717, repaired in 27.5.
    #[error(
        "the builder's engine at {endpoint} keeps images in containerd and is older than 27.5: it cannot take a build"
    )]
    UnfitEngine { endpoint: String },
    #[error("the base {base} {why}")]
    Base { base: String, why: String },
    #[error("the wheel {file} {why}")]
    Wheel { file: String, why: &'static str },
    #[error("{package} {why}")]
    Compat { package: String, why: String },
    #[error("the base {base} is not in the vault: its content is {artifact}")]
    MissingBase { base: String, artifact: Digest },
    #[error("no builder's engine has an image {reference}")]
    NoImage { reference: String },
    #[error(
        "too little disk at {path}: about {needed_bytes} bytes are needed, {free_bytes} are free"
    )]
    Disk {
        path: PathBuf,
        needed_bytes: u64,
        free_bytes: u64,
    },
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the vault failed")]
    Vault(#[from] VaultError),
    #[error("the image could not be stored")]
    Archive(#[from] ArchiveError),
    #[error("the base could not be written for the engine")]
    Rebuild(#[from] RebuildError),
    /// Further packages, a base, flavours, a Dockerfile: not all go together.
    #[error("{what}")]
    Additions { what: String, remedy: &'static str },
    /// The image was run, and is not what its lock says. At least one problem.
    #[error("the image fails its check: {}", in_words(.problems))]
    Check { problems: Vec<Problem> },
    #[error("the build was cancelled")]
    Cancelled,
}

impl BuildError {
    pub fn io(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io {
            operation,
            path: path.to_owned(),
            source,
        }
    }

    /// What the operator is told.
    pub fn failure(&self) -> Failure {
        let failure = Failure::new(self.code(), self.sentence());
        match self {
            Self::Io { source, .. } | Self::Vault(VaultError::Io { source, .. })
                if source.kind() == io::ErrorKind::StorageFull =>
            {
                failure.with_remedy("free some space on the coordinator and build again; what was stored before is kept")
            }
            Self::Program { program, .. } => {
                failure.with_remedy(format!("install {program} on the coordinator's machine and build again"))
            }
            Self::NoPip { .. } => failure.with_remedy(
                "install the package python3-pip on the coordinator's machine and build again",
            ),
            Self::Step { .. } => failure.with_remedy("read the whole log with `tfleet build log`, then build again"),
            Self::NoBuilder { architecture } => failure.with_remedy(format!(
                "add a [[builder]] with architecture = \"{architecture}\" to the coordinator's configuration"
            )),
            Self::Engine { operation: PULL, .. } => failure.with_remedy(
                "see that the base's name is right and its registry answers; what an operator has as a file is imported \
                 first: tfleet base import FILE --name NAME",
            ),
            Self::Engine { endpoint, .. } | Self::Stalled { endpoint, .. } => {
                failure.with_remedy(format!("see that the engine at {endpoint} runs, then build again"))
            }
            Self::UnfitEngine { .. } => failure.with_remedy(
                "turn off `containerd-snapshotter` in the builder's daemon.json, or use a newer engine; hosts may keep theirs",
            ),
            Self::MissingBase { base, .. } => failure.with_remedy(format!(
                "import the very same base again, `tfleet base import FILE --name {base}`, or a bundle that has it, \
                 `tfleet vault import BUNDLE`; or plan a new revision: tfleet release create … --anew"
            )),
            Self::Compat { package, .. } => failure.with_remedy(format!(
                "import NVIDIA's package: tfleet base import {package}_VERSION_ARCHITECTURE.deb --name {package} (--name {package}-aarch64 \
                 beside one for x86_64); or plan without --forward, and upgrade the driver of the hosts that are then left out"
            )),
            Self::Wheel { .. } => failure.with_remedy("build again; it is fetched anew"),
            Self::Disk { .. } => failure.with_remedy("free that much, or move the data to a larger disk, and build again"),
            Self::Additions { remedy, .. } => failure.with_remedy(*remedy),
            Self::Check { problems } => failure.with_remedy(remedies(problems)),
            Self::NoImage { .. } => {
                failure.with_remedy("list what there is with `docker images` on the builder, or give the archive itself")
            }
            Self::Archive(ArchiveError::Secret(_)) => {
                failure.with_remedy("find out which package writes its configuration into the image; nothing was kept")
            }
            Self::Store(error) | Self::Archive(ArchiveError::Store(error)) => error.failure(),
            _ => failure,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Io { source, .. } | Self::Vault(VaultError::Io { source, .. })
                if source.kind() == io::ErrorKind::StorageFull =>
            {
                "disk-full"
            }
            Self::Disk { .. } => "disk-full",
            Self::Io { .. } | Self::Format { .. } | Self::Wheel { .. } => "build-failed",
            Self::Program { .. } | Self::NoPip { .. } => "program-missing",
            Self::Step { .. } => "build-failed",
            Self::NoBuilder { .. } => "no-builder",
            Self::UnfitEngine { .. } => "builder-unfit",
            Self::Engine { .. } => "engine-failed",
            Self::Stalled { .. } => "engine-stalled",
            Self::Base { .. } => "base-unusable",
            Self::Compat { .. } => "compat-package-missing",
            Self::MissingBase { .. } => "base-missing",
            Self::NoImage { .. } => "image-missing",
            Self::Archive(ArchiveError::Secret(_)) => "secret-in-image",
            Self::Archive(_) => "image-refused",
            Self::Store(_) | Self::Rebuild(_) | Self::Vault(_) => "store-failed",
            Self::Additions { .. } => "additions-refused",
            Self::Check { .. } => "check-failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// The error and its causes in one sentence.
    fn sentence(&self) -> String {
        let mut sentence = match self {
            Self::Disk {
                path,
                needed_bytes,
                free_bytes,
            } => format!(
                "too little disk at {}: about {:.1} GB are needed, {:.1} GB are free",
                path.display(),
                *needed_bytes as f64 / 1e9,
                *free_bytes as f64 / 1e9,
            ),
            other => other.to_string(),
        };
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

/// A person reads the first few; all are in the log.
const SHOWN_PROBLEMS: usize = 3;

fn in_words(problems: &[Problem]) -> String {
    let shown: Vec<_> = problems
        .iter()
        .take(SHOWN_PROBLEMS)
        .map(ToString::to_string)
        .collect();
    let more = match problems.len().saturating_sub(SHOWN_PROBLEMS) {
        0 => String::new(),
        more => format!("; and {more} more, which the log has"),
    };
    format!("{}{more}", shown.join("; "))
}

/// What to do, each remedy once.
fn remedies(problems: &[Problem]) -> String {
    let mut remedies: Vec<&str> = Vec::new();
    for problem in problems {
        if !remedies.contains(&problem.remedy()) {
            remedies.push(problem.remedy());
        }
    }
    format!("{}, then build again", remedies.join("; "))
}
