//! TensorFlow's own versions, ordered as PEP 440 orders them: 2.15.0 < 2.15.0.post1 < 2.15.1.

use std::fmt;
use std::str::FromStr;

use super::{TensorflowMinor, VersionError};

/// A TensorFlow release, such as `2.15.1`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TensorflowVersion(pep440_rs::Version);

impl TensorflowVersion {
    /// The minor version that the release is a patch of.
    #[must_use]
    pub fn minor(&self) -> TensorflowMinor {
        let part = |index: usize| {
            self.0
                .release()
                .get(index)
                .map_or(0, |number| u32::try_from(*number).unwrap_or(u32::MAX))
        };
        TensorflowMinor::new(part(0), part(1))
    }

    /// Whether whoever asks for this version is served by `other`: 2.15 asks for any patch of it, 2.15.1 for itself.
    #[must_use]
    pub fn asks_for(&self, other: &Self) -> bool {
        let is_whole = self.0.release().len() > 2 || self.0.is_post() || self.0.any_prerelease();
        if is_whole {
            self == other
        } else {
            other.0.release().starts_with(self.0.release())
        }
    }

    pub(crate) fn as_pep440(&self) -> &pep440_rs::Version {
        &self.0
    }
}

impl FromStr for TensorflowVersion {
    type Err = VersionError;

    fn from_str(text: &str) -> Result<Self, VersionError> {
        pep440_rs::Version::from_str(text).map(Self).map_err(|_| {
            VersionError::new(
                text,
                "TensorFlow version",
                "a PEP 440 version such as 2.15.1",
            )
        })
    }
}

impl TryFrom<String> for TensorflowVersion {
    type Error = VersionError;

    fn try_from(text: String) -> Result<Self, VersionError> {
        text.parse()
    }
}

impl From<TensorflowVersion> for String {
    fn from(version: TensorflowVersion) -> Self {
        version.to_string()
    }
}

impl fmt::Display for TensorflowVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0.to_string())
    }
}

impl fmt::Debug for TensorflowVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}
