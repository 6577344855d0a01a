//! What a site has, for another that makes a bundle for it.
//!
//! The list is JSON without white space, `tfleet.have.v1`: the digests of chunks, artifacts, locks and wheels as 64
//! hexadecimal digits each, ascending. About 67 bytes for 4 MiB of images.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use tfleet_proto::model::digest::Digest;

use super::BundleError;
use super::format::Kind;
use crate::artifact::Artifacts;
use crate::vault::{self, Vault};

/// The list, read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Have {
    chunks: BTreeSet<Digest>,
    artifacts: BTreeSet<Digest>,
    locks: BTreeSet<Digest>,
    wheels: BTreeSet<Digest>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    format: Format,
    chunks: Vec<String>,
    artifacts: Vec<String>,
    locks: Vec<String>,
    wheels: Vec<String>,
}

#[derive(Serialize, Deserialize)]
enum Format {
    #[serde(rename = "tfleet.have.v1")]
    V1,
}

/// What this site has.
///
/// # Errors
/// If the stores cannot be read.
pub fn have(artifacts: &Artifacts, vault: &Vault) -> Result<Have, BundleError> {
    let kept = |kind| -> Result<BTreeSet<Digest>, BundleError> {
        let kept = vault.kept(kind)?;
        Ok(kept.into_iter().map(|kept| kept.digest).collect())
    };
    let stored = artifacts.stored()?;
    Ok(Have {
        chunks: stored.chunks,
        artifacts: stored.indexes,
        locks: kept(vault::Kind::Lock)?,
        wheels: kept(vault::Kind::Wheel)?,
    })
}

impl Have {
    /// Whether the site has this already. It has no release: those are weighed against its own.
    pub fn has(&self, kind: Kind, digest: &Digest) -> bool {
        match kind {
            Kind::Release => false,
            Kind::Lock => self.locks.contains(digest),
            Kind::Index => self.artifacts.contains(digest),
            Kind::Chunk => self.chunks.contains(digest),
            Kind::Wheel => self.wheels.contains(digest),
        }
    }

    /// # Errors
    /// If it is not such a list.
    pub fn from_json(text: &[u8]) -> Result<Self, BundleError> {
        let document: Document =
            serde_json::from_slice(text).map_err(|error| BundleError::Have {
                why: error.to_string(),
            })?;
        let read = |digests: Vec<String>| -> Result<BTreeSet<Digest>, BundleError> {
            let digests = digests.iter().map(|digest| Digest::from_hex(digest));
            digests
                .collect::<Result<_, _>>()
                .map_err(|error| BundleError::Have {
                    why: error.to_string(),
                })
        };
        Ok(Self {
            chunks: read(document.chunks)?,
            artifacts: read(document.artifacts)?,
            locks: read(document.locks)?,
            wheels: read(document.wheels)?,
        })
    }

    #[expect(
        clippy::expect_used,
        reason = "structs of strings can always be written as JSON"
    )]
    pub fn json(&self) -> Vec<u8> {
        let hex = |digests: &BTreeSet<Digest>| digests.iter().map(Digest::hex).collect();
        let document = Document {
            format: Format::V1,
            chunks: hex(&self.chunks),
            artifacts: hex(&self.artifacts),
            locks: hex(&self.locks),
            wheels: hex(&self.wheels),
        };
        serde_json::to_vec(&document).expect("a list is valid JSON")
    }
}
