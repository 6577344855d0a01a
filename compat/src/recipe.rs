//! Everything that is asked of one image, and how the catalog makes recipes for a TensorFlow release.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::catalog::{Catalog, TensorflowRelease};
use crate::host::Architecture;
use crate::version::{CudaRelease, CudaVersion, CudnnVersion, PythonVersion, TensorflowVersion};

/// A recipe's name within a release: `tf2.15.1-cuda12.2`, `tf2.15.1-cpu`, `tf2.15.1-cpu-aarch64`. Fit for an image tag.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RecipeId(String);

/// A text that is not a recipe's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a recipe: expected lower-case letters, digits, dots and dashes, such as tf2.15.1-cuda12.2"
)]
pub struct RecipeIdError(String);

/// What an image must contain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "form::RecipeForm", try_from = "form::RecipeForm")]
pub struct Recipe {
    /// Its name, made of what follows.
    pub id: RecipeId,
    /// The TensorFlow release.
    pub tensorflow: TensorflowVersion,
    /// The CUDA libraries; none: the image computes on the CPU.
    pub cuda: Option<CudaStack>,
    /// The Python.
    pub python: PythonVersion,
    /// The CPU architecture.
    pub architecture: Architecture,
    /// What the image stands on.
    pub base: BaseImage,
    /// The top-level Python requirements, in PEP 508 form; what they need in turn is the lock's work.
    pub requirements: Vec<String>,
}

/// The CUDA side of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CudaStack {
    /// The toolkit release whose libraries are installed.
    pub installed: CudaRelease,
    /// The CUDA that the TensorFlow wheel was built for; never newer than `installed`.
    pub built_for: CudaVersion,
    /// The cuDNN that is installed.
    pub cudnn: CudnnVersion,
    /// TensorFlow does not look into the CUDA wheels by itself: the image sets `LD_LIBRARY_PATH` to the `lib` folder of
    /// each package below `site-packages/nvidia`.
    pub needs_library_path: bool,
}

/// A distribution release, such as Debian bookworm.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BaseImage {
    /// Such as `debian`.
    pub distribution: String,
    /// Such as `bookworm`.
    pub suite: String,
}

/// Why the catalog has no recipe for a TensorFlow release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "gap", rename_all = "kebab-case")]
pub enum RecipeGap {
    /// There are wheels, but not for this architecture with this device.
    #[error("TensorFlow {tensorflow} has no {device} wheel for {architecture}")]
    NoWheel {
        /// The release.
        tensorflow: TensorflowVersion,
        /// `GPU` or `CPU`.
        device: String,
        /// The architecture.
        architecture: Architecture,
    },
    /// The CUDA libraries it needs are not known as wheels.
    #[error(
        "no set of CUDA wheels is known for TensorFlow {tensorflow}, which was built for CUDA {cuda}"
    )]
    NoCudaWheels {
        /// The release.
        tensorflow: TensorflowVersion,
        /// What it was built for.
        cuda: CudaVersion,
    },
    /// No base has a Python that it has a wheel for.
    #[error("no base has a Python that TensorFlow {tensorflow} has a wheel for ({python})")]
    NoBase {
        /// The release.
        tensorflow: TensorflowVersion,
        /// The Pythons with a wheel.
        python: String,
    },
}

impl Recipe {
    /// The recipe that computes on GPUs.
    ///
    /// # Errors
    /// If the catalog lacks something for it.
    pub fn for_gpu(
        catalog: &Catalog,
        release: &TensorflowRelease,
        tensorflow: &TensorflowVersion,
        architecture: Architecture,
    ) -> Result<Self, RecipeGap> {
        if !release.gpu_architectures.contains(&architecture) {
            return Err(no_wheel(tensorflow, "GPU", architecture));
        }
        let wheels = release
            .cuda_wheels
            .as_ref()
            .and_then(|name| catalog.cuda_wheels.get(name))
            .ok_or_else(|| RecipeGap::NoCudaWheels {
                tensorflow: tensorflow.clone(),
                cuda: release.cuda,
            })?;
        let stack = CudaStack {
            installed: wheels.cuda.clone(),
            built_for: release.cuda,
            cudnn: wheels.cudnn.clone(),
            needs_library_path: !release.finds_cuda_wheels,
        };
        let mut requirements = vec![format!("{}=={tensorflow}", release.package)];
        requirements.extend(release.companions.iter().cloned());
        requirements.extend(wheels.requirements.iter().cloned());
        Self::on_base(
            catalog,
            release,
            tensorflow,
            architecture,
            Some(stack),
            requirements,
        )
    }

    /// The recipe that computes on the CPU.
    ///
    /// # Errors
    /// If the catalog lacks something for it.
    pub fn for_cpu(
        catalog: &Catalog,
        release: &TensorflowRelease,
        tensorflow: &TensorflowVersion,
        architecture: Architecture,
    ) -> Result<Self, RecipeGap> {
        let package = release
            .cpu_packages
            .get(&architecture)
            .ok_or_else(|| no_wheel(tensorflow, "CPU", architecture))?;
        let mut requirements = vec![format!("{package}=={tensorflow}")];
        requirements.extend(release.companions.iter().cloned());
        Self::on_base(
            catalog,
            release,
            tensorflow,
            architecture,
            None,
            requirements,
        )
    }

    fn on_base(
        catalog: &Catalog,
        release: &TensorflowRelease,
        tensorflow: &TensorflowVersion,
        architecture: Architecture,
        cuda: Option<CudaStack>,
        requirements: Vec<String>,
    ) -> Result<Self, RecipeGap> {
        let base = catalog.base_for(release).ok_or_else(|| RecipeGap::NoBase {
            tensorflow: tensorflow.clone(),
            python: release
                .python
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join(", "),
        })?;
        Ok(Self {
            id: RecipeId::of(tensorflow, cuda.as_ref(), architecture),
            tensorflow: tensorflow.clone(),
            cuda,
            python: base.python,
            architecture,
            base: BaseImage {
                distribution: base.distribution.clone(),
                suite: base.suite.clone(),
            },
            requirements,
        })
    }
}

fn no_wheel(tensorflow: &TensorflowVersion, device: &str, architecture: Architecture) -> RecipeGap {
    RecipeGap::NoWheel {
        tensorflow: tensorflow.clone(),
        device: device.to_owned(),
        architecture,
    }
}

impl RecipeId {
    fn of(
        tensorflow: &TensorflowVersion,
        cuda: Option<&CudaStack>,
        architecture: Architecture,
    ) -> Self {
        let device = cuda.map_or_else(
            || "cpu".to_owned(),
            |stack| format!("cuda{}", stack.installed.level()),
        );
        // The architecture is said only where it is not what everybody assumes.
        match architecture {
            Architecture::X86_64 => Self(format!("tf{tensorflow}-{device}")),
            Architecture::Aarch64 => Self(format!("tf{tensorflow}-{device}-{architecture}")),
        }
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
        Ok(Self(text.to_owned()))
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
        id.0
    }
}

impl fmt::Display for RecipeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

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

/// A text that does not name a distribution release.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a base: expected a distribution and its release, such as debian:bookworm")]
pub struct BaseImageError(String);

mod form;

#[cfg(test)]
mod tests;
