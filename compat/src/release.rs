//! What an operator asks for: one logical name, and which TensorFlow may stand for it.

use std::fmt;
use std::str::FromStr;

use pep440_rs::VersionSpecifiers;
use serde::{Deserialize, Serialize};

use crate::version::TensorflowVersion;

/// A release, as far as planning goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReleaseSpec {
    /// Its name, such as `train:v7`.
    pub name: String,
    /// The TensorFlow releases that it allows.
    pub tensorflow: TensorflowConstraint,
    /// Whether the constraint may allow two TensorFlow major versions, between which programs do not carry over.
    #[serde(default)]
    pub spans_majors: bool,
}

/// A PEP 440 constraint, such as `>=2.14,<2.16`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TensorflowConstraint(VersionSpecifiers);

/// A text that is not a constraint.
#[derive(Debug, Clone, thiserror::Error)]
#[error(
    "{text:?} is not a TensorFlow constraint: expected PEP 440 specifiers such as >=2.14,<2.16"
)]
pub struct ConstraintError {
    /// What was read.
    pub text: String,
    /// What the parser says.
    pub source: Box<pep440_rs::VersionSpecifiersParseError>,
}

impl ReleaseSpec {
    /// A release that stays within one TensorFlow major version.
    #[must_use]
    pub fn new(name: impl Into<String>, tensorflow: TensorflowConstraint) -> Self {
        Self {
            name: name.into(),
            tensorflow,
            spans_majors: false,
        }
    }
}

impl TensorflowConstraint {
    /// Whether a TensorFlow release is allowed.
    #[must_use]
    pub fn allows(&self, version: &TensorflowVersion) -> bool {
        self.0.contains(version.as_pep440())
    }
}

impl FromStr for TensorflowConstraint {
    type Err = ConstraintError;

    fn from_str(text: &str) -> Result<Self, ConstraintError> {
        VersionSpecifiers::from_str(text)
            .map(Self)
            .map_err(|source| ConstraintError {
                text: text.to_owned(),
                source: Box::new(source),
            })
    }
}

impl TryFrom<String> for TensorflowConstraint {
    type Error = ConstraintError;

    fn try_from(text: String) -> Result<Self, ConstraintError> {
        text.parse()
    }
}

impl From<TensorflowConstraint> for String {
    fn from(constraint: TensorflowConstraint) -> Self {
        constraint.to_string()
    }
}

impl fmt::Display for TensorflowConstraint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0.to_string())
    }
}
