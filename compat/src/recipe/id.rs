//! A recipe's name.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::CudaStack;
use crate::host::Architecture;
use crate::version::TensorflowVersion;

/// A recipe's name within a release: `tf2.15.1-cuda12.2`, `tf2.21.0-cuda12.5-compat12.8`, `tf2.15.1-cpu`,
/// `tf2.15.1-cpu-aarch64`. Fit for an image tag.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RecipeId(Arc<str>);

/// A text that is not a recipe's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a recipe: expected lower-case letters, digits, dots and dashes, such as tf2.15.1-cuda12.2"
)]
pub struct RecipeIdError(String);

impl RecipeId {
    pub(super) fn of(
        tensorflow: &TensorflowVersion,
        cuda: Option<&CudaStack>,
        architecture: Architecture,
    ) -> Self {
        let device = cuda.map_or_else(
            || "cpu".to_owned(),
            |stack| {
                let compat = stack.compat.as_ref();
                let compat = compat.map(|compat| format!("-compat{}", compat.cuda));
                format!(
                    "cuda{}{}",
                    stack.installed.level(),
                    compat.unwrap_or_default()
                )
            },
        );
        // The architecture is said only where it is not what everybody assumes.
        match architecture {
            Architecture::X86_64 => Self(format!("tf{tensorflow}-{device}").into()),
            Architecture::Aarch64 => Self(format!("tf{tensorflow}-{device}-{architecture}").into()),
        }
    }

    /// The TensorFlow release that the name begins with; none: it is not a name that this crate makes.
    #[must_use]
    pub fn tensorflow(&self) -> Option<TensorflowVersion> {
        let rest = self.0.strip_prefix("tf")?;
        rest.split('-').next()?.parse().ok()
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for RecipeId {
    type Err = RecipeIdError;

    fn from_str(text: &str) -> Result<Self, RecipeIdError> {
        let letters = |byte: u8| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'-' | b'_')
        };
        if text.is_empty() || !text.bytes().all(letters) {
            return Err(RecipeIdError(text.to_owned()));
        }
        Ok(Self(text.into()))
    }
}

impl TryFrom<String> for RecipeId {
    type Error = RecipeIdError;

    fn try_from(text: String) -> Result<Self, RecipeIdError> {
        text.parse()
    }
}

impl From<RecipeId> for String {
    fn from(id: RecipeId) -> Self {
        id.0.to_string()
    }
}

impl fmt::Display for RecipeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}
