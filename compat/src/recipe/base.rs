//! What an image stands on.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A distribution release, such as Debian bookworm.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BaseImage {
    /// Such as `debian`.
    pub distribution: String,
    /// Such as `bookworm`.
    pub suite: String,
}

/// A text that does not name a distribution release.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a base: expected a distribution and its release, such as debian:bookworm")]
pub struct BaseImageError(String);

impl fmt::Display for BaseImage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}:{}", self.distribution, self.suite))
    }
}

impl From<BaseImage> for String {
    fn from(base: BaseImage) -> Self {
        base.to_string()
    }
}

impl TryFrom<String> for BaseImage {
    type Error = BaseImageError;

    fn try_from(text: String) -> Result<Self, BaseImageError> {
        match text.split_once(':') {
            Some((distribution, suite)) if !distribution.is_empty() && !suite.is_empty() => {
                Ok(Self {
                    distribution: distribution.to_owned(),
                    suite: suite.to_owned(),
                })
            }
            _ => Err(BaseImageError(text)),
        }
    }
}
