//! Why there is no recipe.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::host::Architecture;
use crate::version::{CudaVersion, TensorflowVersion};

/// What an image computes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Device {
    /// NVIDIA GPUs.
    Gpu,
    /// The CPU alone.
    Cpu,
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
        /// What it should compute on.
        device: Device,
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
    /// Nothing here builds for the architecture.
    #[error("no {architecture} builder: {tensorflow} cannot be built here", tensorflow = format!("TensorFlow {tensorflow}"))]
    NoBuilder {
        /// The release.
        tensorflow: TensorflowVersion,
        /// The architecture.
        architecture: Architecture,
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

impl RecipeGap {
    /// What the operator can do.
    #[must_use]
    pub fn remedy(&self) -> String {
        match self {
            Self::NoWheel {
                device: Device::Gpu,
                architecture,
                ..
            } => format!(
                "no official wheel computes on GPUs on {architecture}: take an image that others built for it (tfleet image \
                 add)"
            ),
            Self::NoWheel {
                device: Device::Cpu,
                ..
            } => "choose a newer TensorFlow".to_owned(),
            Self::NoCudaWheels { .. } => {
                "choose TensorFlow 2.5 or newer, or give the coordinator a [[cuda_wheels]] row (`catalog` in coordinator.toml)"
                    .to_owned()
            }
            Self::NoBuilder { architecture, .. } => format!(
                "give the coordinator a [[builder]] whose engine runs on {architecture} (coordinator.toml)"
            ),
            Self::NoBase { .. } => {
                "give the coordinator a [[base]] row with such a Python (`catalog` in coordinator.toml)"
                    .to_owned()
            }
        }
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Gpu => "GPU",
            Self::Cpu => "CPU",
        })
    }
}
