//! A release as it stands in a bundle: all that a site must know of it to roll it out.

use std::num::NonZeroU32;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tfleet_proto::model::digest::Digest;
use tfleet_proto::model::name::{ReleaseName, ReleaseRef, VariantId};

use super::BundleError;
use crate::artifact::Artifacts;
use crate::store::{BuildPhase, Origin, Release, VariantBuild};

/// JSON with the fields in this order. A key that is not below is an error.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Document {
    pub format: Format,
    pub name: ReleaseName,
    pub revision: NonZeroU32,
    /// What was asked and planned, in the form of the coordinator's state.
    pub origin: Origin,
    pub builds: Vec<Build>,
    pub created_at: Timestamp,
    pub created_by: String,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Format {
    #[default]
    #[serde(rename = "tfleet.release.v1")]
    V1,
}

/// What one variant was built to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Build {
    pub variant: String,
    /// None for an image that others built.
    pub lock: Option<Digest>,
    pub artifact: Digest,
}

impl Document {
    /// The release, every variant of which must be built.
    pub fn of(release: &Release) -> Result<Self, BundleError> {
        let builds = release.builds.iter().map(|build| {
            let is_done = build.phase == BuildPhase::Done;
            let artifact = build.artifact.filter(|_| is_done);
            Ok(Build {
                variant: build.variant.to_string(),
                lock: build.lock,
                artifact: artifact.ok_or_else(|| BundleError::NotBuilt {
                    release: release.reference.clone(),
                    variant: build.variant.clone(),
                })?,
            })
        });
        Ok(Self {
            format: Format::V1,
            name: release.reference.name.clone(),
            revision: release.reference.revision,
            origin: release.origin.clone(),
            builds: builds.collect::<Result<_, BundleError>>()?,
            created_at: release.created_at,
            created_by: release.created_by.clone(),
        })
    }

    pub fn read(name: &Digest, content: &[u8]) -> Result<Self, BundleError> {
        serde_json::from_slice(content).map_err(|error| BundleError::Content {
            what: "release",
            digest: *name,
            why: error.to_string(),
        })
    }

    #[expect(
        clippy::expect_used,
        reason = "structs of strings and numbers can always be written as JSON"
    )]
    pub fn json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a release is valid JSON")
    }

    pub fn reference(&self) -> ReleaseRef {
        ReleaseRef {
            name: self.name.clone(),
            revision: self.revision,
        }
    }

    /// Refuses to take the place of a release of this site that is not just this one.
    ///
    /// # Errors
    /// [`BundleError::Other`].
    pub fn check_against(&self, here: &Release) -> Result<(), BundleError> {
        let other = |why: &str| BundleError::Other {
            release: self.reference(),
            why: why.to_owned(),
        };
        let Ok(here) = Self::of(here) else {
            return Err(other("it is planned here, and not built"));
        };
        if self.origin != here.origin {
            return Err(other("it was planned from something else"));
        }
        if self.builds != here.builds {
            return Err(other("it has other images"));
        }
        Ok(())
    }

    /// The release as built, its images being in `artifacts`.
    pub fn release(self, artifacts: &Artifacts) -> Result<Release, BundleError> {
        let reference = self.reference();
        let builds = self.builds.iter().map(|build| {
            let index = artifacts.index(&build.artifact)?;
            let index = index.ok_or_else(|| BundleError::Lacks {
                what: "the image",
                digest: build.artifact,
                release: reference.clone(),
            })?;
            let variant = build.variant.parse::<VariantId>();
            let variant = variant.map_err(|error| BundleError::Content {
                what: "variant of the release",
                digest: build.artifact,
                why: format!("{error}"),
            })?;
            Ok(VariantBuild {
                phase: BuildPhase::Done,
                lock: build.lock,
                artifact: Some(build.artifact),
                content_bytes: index.content_bytes(),
                stored_bytes: index.frame_bytes(),
                ..VariantBuild::waiting(variant)
            })
        });
        Ok(Release {
            builds: builds.collect::<Result<_, BundleError>>()?,
            reference,
            origin: self.origin,
            created_at: self.created_at,
            created_by: self.created_by,
        })
    }
}
