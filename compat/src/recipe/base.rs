//! What an image stands on.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The base of an image. As text: `debian:bookworm`, or the name under which one was imported.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum BaseImage {
    /// A distribution release, bootstrapped from its packages.
    Distribution {
        /// Such as `debian`.
        distribution: String,
        /// Such as `bookworm`.
        suite: String,
    },
    /// One that an operator imports under this name, because no package index has what it brings.
    Imported(String),
}

/// A text that does not name a base.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a base: expected a distribution and its release, such as debian:bookworm, or the name of an imported base"
)]
pub struct BaseImageError(String);

impl BaseImage {
    /// A distribution release.
    #[must_use]
    pub fn distribution(distribution: impl Into<String>, suite: impl Into<String>) -> Self {
        Self::Distribution {
            distribution: distribution.into(),
            suite: suite.into(),
        }
    }

    /// As people call it in a table: `bookworm`, or the import's name.
    #[must_use]
    pub fn short_name(&self) -> &str {
        match self {
            Self::Distribution { suite, .. } => suite,
            Self::Imported(name) => name,
        }
    }
}

impl fmt::Display for BaseImage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Distribution {
                distribution,
                suite,
            } => f.pad(&format!("{distribution}:{suite}")),
            Self::Imported(name) => f.pad(name),
        }
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
                Ok(Self::distribution(distribution, suite))
            }
            None if !text.is_empty() => Ok(Self::Imported(text)),
            _ => Err(BaseImageError(text)),
        }
    }
}
