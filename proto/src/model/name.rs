//! Names of hosts, releases and variants: each a type of its own, checked when it is made.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Why a text is not a name of its kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a {kind}: {rule}")]
pub struct NameError {
    kind: &'static str,
    text: String,
    rule: &'static str,
}

/// A host's name, as its certificate carries it: at most 63 lower-case letters, digits, hyphens and dots.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct HostName(String);

/// A release's name, `train`: at most 63 lower-case letters, digits and hyphens.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct ReleaseName(String);

/// A variant of a release, `tf2.15.1-cuda12.2`: at most 100 lower-case letters, digits, dots, underscores and hyphens,
/// so that it can be part of an image tag.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct VariantId(String);

/// One revision of a release, `train:v7`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct ReleaseRef {
    pub name: ReleaseName,
    pub revision: NonZeroU32,
}

/// How an operator names a release: `train` (its newest revision) or `train:v7`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReleaseQuery {
    Newest(ReleaseName),
    Exact(ReleaseRef),
}

/// Letters, digits and the given separators, a letter or digit first and last.
fn is_name(text: &str, longest: usize, separators: &[u8]) -> bool {
    let plain = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = text.as_bytes();
    bytes.len() <= longest
        && bytes.first().is_some_and(plain)
        && bytes.last().is_some_and(plain)
        && bytes
            .iter()
            .all(|byte| plain(byte) || separators.contains(byte))
}

macro_rules! name {
    ($type:ident, $kind:literal, $longest:literal, $separators:literal, $rule:literal) => {
        impl $type {
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $type {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                if is_name(text, $longest, $separators) {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(NameError {
                        kind: $kind,
                        text: text.to_owned(),
                        rule: $rule,
                    })
                }
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.pad(&self.0)
            }
        }

        impl AsRef<str> for $type {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl From<$type> for String {
            fn from(name: $type) -> Self {
                name.0
            }
        }

        impl TryFrom<String> for $type {
            type Error = NameError;

            fn try_from(text: String) -> Result<Self, NameError> {
                text.parse()
            }
        }
    };
}

name!(
    HostName,
    "host name",
    63,
    b"-.",
    "use at most 63 lower-case letters, digits, hyphens and dots, a letter or digit first and last"
);
name!(
    ReleaseName,
    "release name",
    63,
    b"-",
    "use at most 63 lower-case letters, digits and hyphens, a letter or digit first and last"
);
name!(
    VariantId,
    "variant",
    100,
    b"-._",
    "use at most 100 lower-case letters, digits, dots, underscores and hyphens, a letter or digit first and last"
);

impl ReleaseRef {
    /// The reference that the image of this release carries on every host, `tfleet/train:v7`.
    pub fn image_reference(&self) -> String {
        format!("tfleet/{}:v{}", self.name, self.revision)
    }

    /// The reference of one variant's image, `tfleet/train:v7-tf2.15.1-cuda12.2`.
    pub fn variant_reference(&self, variant: &VariantId) -> String {
        format!("{}-{variant}", self.image_reference())
    }
}

impl fmt::Display for ReleaseRef {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(&format!("{}:v{}", self.name, self.revision))
    }
}

impl FromStr for ReleaseRef {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let refusal = || NameError {
            kind: "release",
            text: text.to_owned(),
            rule: "write NAME:vREVISION, such as train:v7",
        };
        let (name, revision) = text.split_once(":v").ok_or_else(refusal)?;
        if !revision.bytes().all(|byte| byte.is_ascii_digit()) || revision.starts_with('0') {
            return Err(refusal());
        }
        Ok(Self {
            name: name.parse()?,
            revision: revision.parse().map_err(|_| refusal())?,
        })
    }
}

impl From<ReleaseRef> for String {
    fn from(release: ReleaseRef) -> Self {
        release.to_string()
    }
}

impl TryFrom<String> for ReleaseRef {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl ReleaseQuery {
    pub fn name(&self) -> &ReleaseName {
        match self {
            Self::Newest(name) => name,
            Self::Exact(release) => &release.name,
        }
    }
}

impl FromStr for ReleaseQuery {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        if text.contains(':') {
            text.parse().map(Self::Exact)
        } else {
            text.parse().map(Self::Newest)
        }
    }
}

impl fmt::Display for ReleaseQuery {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Newest(name) => name.fmt(formatter),
            Self::Exact(release) => release.fmt(formatter),
        }
    }
}
