//! What operators decide beside the release: which TensorFlow is preferred, and how strictly the rules are read.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::rules::PtxReading;
use crate::version::{TensorflowVersion, VersionError};

/// A policy; every key may be left out. As TOML: `preference = "uniform"`, `forward_compatibility = true`, …
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Policy {
    /// Which of several possible TensorFlow releases a host gets.
    pub preference: Preference,
    /// Hosts move to a better variant although the one they run still serves them.
    pub rebalance: bool,
    /// A host whose GPUs cannot be served gets a CPU variant. Otherwise it is left out, since nobody likes to find out
    /// from the bill that the GPUs were idle.
    pub cpu_fallback: bool,
    /// Where a driver runs no CUDA that TensorFlow needs, `cuda-compat` libraries may go into the image (data-centre GPUs
    /// only). Off, because they are one more part that has to match the host's driver.
    pub forward_compatibility: bool,
    /// How a host with several kinds of GPU is served.
    pub mixed_gpus: MixedGpus,
    /// What intermediate code is worth that the host's driver may not be able to compile.
    pub intermediate_code: PtxReading,
}

/// Which of several possible TensorFlow releases is chosen. As text: `newest`, `uniform`, or a version such as `2.15.1`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Preference {
    /// The newest that each host can run.
    #[default]
    Newest,
    /// As few TensorFlow releases as can serve all hosts; of these, the newest.
    Uniform,
    /// This one, or the newest patch of a minor version (`2.15`), wherever it runs; elsewhere the newest that the host can
    /// run.
    Pinned(TensorflowVersion),
}

/// How a host with several kinds of GPU is served.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MixedGpus {
    /// By what serves all of them, or not at all.
    #[default]
    All,
    /// By what serves most of them; the plan names those that are left out, and containers do not get them.
    Some,
}

/// How strictly the rules are read for one host.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Terms {
    /// How a host with several kinds of GPU is served.
    pub mixed_gpus: MixedGpus,
    /// What intermediate code is worth.
    pub intermediate_code: PtxReading,
}

impl Policy {
    /// What of the policy the rules ask.
    #[must_use]
    pub const fn terms(&self) -> Terms {
        Terms {
            mixed_gpus: self.mixed_gpus,
            intermediate_code: self.intermediate_code,
        }
    }
}

impl Preference {
    /// Whether it is for this release rather than for others.
    #[must_use]
    pub fn is_for(&self, version: &TensorflowVersion) -> bool {
        matches!(self, Self::Pinned(asked) if asked.asks_for(version))
    }
}

impl fmt::Display for Preference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Newest => f.pad("newest"),
            Self::Uniform => f.pad("uniform"),
            Self::Pinned(version) => version.fmt(f),
        }
    }
}

impl FromStr for Preference {
    type Err = VersionError;

    fn from_str(text: &str) -> Result<Self, VersionError> {
        match text {
            "newest" => Ok(Self::Newest),
            "uniform" => Ok(Self::Uniform),
            version => version.parse().map(Self::Pinned).map_err(|_| VersionError {
                text: text.to_owned(),
                kind: "preference",
                expected: "newest, uniform, or a TensorFlow version such as 2.15.1",
            }),
        }
    }
}

impl TryFrom<String> for Preference {
    type Error = VersionError;

    fn try_from(text: String) -> Result<Self, VersionError> {
        text.parse()
    }
}

impl From<Preference> for String {
    fn from(preference: Preference) -> Self {
        preference.to_string()
    }
}

#[cfg(test)]
mod tests;
