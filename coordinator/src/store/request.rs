//! What an operator asks of a release, as it is kept with each revision.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tfleet_compat::{Policy, TensorflowConstraint};
use tfleet_proto::model::name::ReleaseName;

/// What an operator asks of a release.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReleaseRequest {
    pub name: ReleaseName,
    pub tensorflow: TensorflowConstraint,
    pub python_packages: Vec<String>,
    pub debian_packages: Vec<String>,
    pub environment: BTreeMap<String, String>,
    pub ports: Vec<u16>,
    /// None: bootstrapped from Debian packages.
    pub base: Option<String>,
    /// Without `rebalance`, which counts for one plan.
    #[serde(default)]
    pub policy: Policy,
    #[serde(default)]
    pub spans_majors: bool,
    /// What the images are for; empty: the plain runtime.
    #[serde(default)]
    pub flavours: Vec<String>,
    /// As they stand in `authorized_keys`.
    #[serde(default)]
    pub authorized_keys: Option<String>,
    /// Built on top of each image.
    #[serde(default)]
    pub dockerfile: Option<String>,
    /// Nothing that was resolved before this revision was made counts.
    #[serde(default)]
    pub anew: bool,
}
