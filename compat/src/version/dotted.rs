//! Versions that are dotted integers of any length. Missing parts count as 0, and the text stays as it was written:
//! `470.256.02` must not come back as `470.256.2`.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use super::{CudaVersion, VersionError};

macro_rules! dotted_version {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $expected:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Dotted);

        impl FromStr for $name {
            type Err = VersionError;

            fn from_str(text: &str) -> Result<Self, VersionError> {
                Dotted::parse(text).map(Self).ok_or_else(|| VersionError::new(text, $kind, $expected))
            }
        }

        impl TryFrom<String> for $name {
            type Error = VersionError;

            fn try_from(text: String) -> Result<Self, VersionError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(version: $name) -> Self {
                version.0.text.into()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0.text)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0.text)
            }
        }
    };
}

dotted_version!(
    /// A driver version, such as `535.183.01`.
    DriverVersion, "driver version", "dotted numbers such as 535.183.01"
);
dotted_version!(
    /// A CUDA toolkit release, such as `12.2.2` or `10.1.105`.
    CudaRelease, "CUDA release", "dotted numbers such as 12.2.2"
);
dotted_version!(
    /// A cuDNN version of any precision: `8.9` or `8.9.4.25`.
    CudnnVersion, "cuDNN version", "dotted numbers such as 8.9.4.25"
);

impl DriverVersion {
    /// The driver branch: 535 for `535.183.01`.
    #[must_use]
    pub fn branch(&self) -> u32 {
        self.0.part(0)
    }
}

impl CudaRelease {
    /// The level that the release belongs to: 12.2 for `12.2.2`.
    #[must_use]
    pub fn level(&self) -> CudaVersion {
        CudaVersion::new(self.0.part(0), self.0.part(1))
    }
}

impl CudnnVersion {
    /// Whether a program compiled for `built_for` may load this one: the same major version, not an older minor.
    /// Source: <https://github.com/tensorflow/tensorflow/issues/58986>.
    #[must_use]
    pub fn serves(&self, built_for: &Self) -> bool {
        self.0.part(0) == built_for.0.part(0) && self.0.part(1) >= built_for.0.part(1)
    }
}

/// `parts` has no trailing zeros, so that comparing the vectors compares the versions.
#[derive(Clone)]
struct Dotted {
    parts: Box<[u32]>,
    text: Box<str>,
}

impl Dotted {
    fn parse(text: &str) -> Option<Self> {
        let mut parts = Vec::with_capacity(4);
        for part in text.split('.') {
            if part.is_empty() || !part.bytes().all(|byte| byte.is_ascii_digit()) {
                return None;
            }
            parts.push(part.parse().ok()?);
        }
        while parts.last() == Some(&0) {
            parts.pop();
        }
        Some(Self {
            parts: parts.into(),
            text: text.into(),
        })
    }

    fn part(&self, index: usize) -> u32 {
        self.parts.get(index).copied().unwrap_or(0)
    }
}

impl PartialEq for Dotted {
    fn eq(&self, other: &Self) -> bool {
        self.parts == other.parts
    }
}

impl Eq for Dotted {}

impl PartialOrd for Dotted {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Dotted {
    fn cmp(&self, other: &Self) -> Ordering {
        self.parts.cmp(&other.parts)
    }
}

impl Hash for Dotted {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.parts.hash(state);
    }
}
