//! The versions that compatibility turns on, each a type of its own.
//!
//! Three shapes occur. Drivers, toolkits and cuDNN are dotted integers of any length (`dotted`): 570.26 is older than
//! 570.124.06, and 440.100 newer than 440.33, so neither text nor decimals order them. Compute capabilities, CUDA levels
//! and Pythons are pairs (`pair`). TensorFlow follows PEP 440 (`tensorflow`). All read and write as plain text.

mod dotted;
mod pair;
mod tensorflow;

pub use dotted::{CudaRelease, CudnnVersion, DriverVersion};
pub use pair::{ComputeCapability, CudaVersion, GlibcVersion, PythonVersion, TensorflowMinor};
pub use tensorflow::TensorflowVersion;

/// A text that is not a version of the kind that was expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a {kind}: expected {expected}")]
pub struct VersionError {
    /// What was read.
    pub text: String,
    /// What it should have been, such as `driver version`.
    pub kind: &'static str,
    /// The shape of a good one, with an example.
    pub expected: &'static str,
}

impl VersionError {
    fn new(text: &str, kind: &'static str, expected: &'static str) -> Self {
        Self {
            text: text.to_owned(),
            kind,
            expected,
        }
    }
}

#[cfg(test)]
mod tests;
