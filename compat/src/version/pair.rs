//! Versions that are exactly two numbers.

use std::fmt;
use std::str::FromStr;

use super::VersionError;

macro_rules! pair_version {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $expected:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name {
            major: u32,
            minor: u32,
        }

        impl $name {
            /// The version `major.minor`.
            #[must_use]
            pub const fn new(major: u32, minor: u32) -> Self {
                Self { major, minor }
            }

            /// The number before the dot.
            #[must_use]
            pub const fn major(self) -> u32 {
                self.major
            }

            /// The number after the dot.
            #[must_use]
            pub const fn minor(self) -> u32 {
                self.minor
            }
        }

        impl FromStr for $name {
            type Err = VersionError;

            fn from_str(text: &str) -> Result<Self, VersionError> {
                let number = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit()).then(|| part.parse().ok());
                text.split_once('.')
                    .and_then(|(major, minor)| Some(Self { major: number(major)??, minor: number(minor)?? }))
                    .ok_or_else(|| VersionError::new(text, $kind, $expected))
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
                version.to_string()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&format!("{}.{}", self.major, self.minor))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}.{}", self.major, self.minor)
            }
        }
    };
}

pair_version!(
    /// A CUDA level, such as `12.2`: what a toolkit release belongs to and what a driver says it supports.
    CudaVersion, "CUDA version", "two numbers such as 12.2"
);
pair_version!(
    /// A GPU's compute capability, such as `7.5`.
    ComputeCapability, "compute capability", "two numbers such as 7.5"
);
pair_version!(
    /// A Python's minor version, such as `3.11`.
    PythonVersion, "Python version", "two numbers such as 3.11"
);
pair_version!(
    /// A C library's version, such as `2.36`.
    GlibcVersion, "glibc version", "two numbers such as 2.36"
);
pair_version!(
    /// A TensorFlow minor version, such as `2.15`: what one tested configuration covers.
    TensorflowMinor, "TensorFlow minor version", "two numbers such as 2.15"
);
