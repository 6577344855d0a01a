//! What is known about one host, as far as compatibility goes.
//!
//! Unknown is not absent: where a host cannot say something (its CPU flags, a GPU's compute capability on an old
//! driver), the field is none, and the rules that need it fall back to the catalog or let the host pass.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::catalog::GpuClass;
use crate::version::{ComputeCapability, DriverVersion, VersionError};

/// A host's name, as its certificate has it. Cheap to clone: a plan names each of its hosts several times.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct HostName(Arc<str>);

/// What one host says it has. Made by [`HostFacts::new`] and filled in, since later rules ask for more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct HostFacts {
    /// The host's name.
    pub name: HostName,
    /// The version of the driver's libraries; none where no driver is installed (or it cannot be asked).
    #[serde(deserialize_with = "Option::deserialize")]
    pub driver_version: Option<DriverVersion>,
    /// Whether the driver's libraries and kernel module work together.
    #[serde(default)]
    pub driver_health: DriverHealth,
    /// The CPU's architecture.
    #[serde(default)]
    pub architecture: Architecture,
    /// The CPU's flags as `/proc/cpuinfo` writes them; none: unknown.
    #[serde(default)]
    pub cpu_flags: Option<BTreeSet<String>>,
    /// The GPUs.
    #[serde(default)]
    pub gpus: Vec<Gpu>,
    /// The ways in which the container engine can give a GPU to a container; none: unknown.
    #[serde(default)]
    pub gpu_modes: Option<BTreeSet<GpuMode>>,
    /// How NVIDIA's runtime puts a GPU into a container, which decides whether an image's own word is asked.
    #[serde(default)]
    pub runtime_mode: RuntimeMode,
    /// What operators call it by.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
}

/// One GPU of a host. Made by [`Gpu::named`] and filled in.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Gpu {
    /// The product's name, as NVML, `nvidia-smi` or a person writes it.
    pub name: String,
    /// The compute capability that the driver reports; none: the catalog knows it by the name.
    #[serde(default)]
    pub compute_capability: Option<ComputeCapability>,
    /// What it was sold for; none: the catalog knows it by the name.
    #[serde(default)]
    pub class: Option<GpuClass>,
    /// Its brand, as `NVIDIA_REQUIRE_*` spells it; none: the catalog knows it by the name.
    #[serde(default)]
    pub brand: Option<String>,
    /// Its memory; none: unknown.
    #[serde(default)]
    pub memory_bytes: Option<u64>,
    /// Whether it can be used.
    #[serde(default)]
    pub health: GpuHealth,
}

/// The CPU architectures that images are made for.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub enum Architecture {
    /// 64-bit x86, also called amd64.
    #[default]
    #[serde(rename = "x86_64", alias = "amd64")]
    X86_64,
    /// 64-bit Arm, also called arm64.
    #[serde(rename = "aarch64", alias = "arm64")]
    Aarch64,
}

/// Whether the two halves of the driver work together.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum DriverHealth {
    /// They do, or there is no driver.
    #[default]
    Working,
    /// The libraries were upgraded and the old kernel module is still loaded.
    Mismatch {
        /// The version of the loaded module, where known.
        kernel_module: Option<DriverVersion>,
    },
    /// The libraries are there and the kernel module is not loaded.
    NotLoaded,
    /// It does not work, in the words of the host that found out.
    Failed {
        /// What is wrong.
        reason: String,
        /// What cures it; none: the host does not say.
        remedy: Option<String>,
    },
}

/// Whether a GPU can be used.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GpuHealth {
    /// It can.
    #[default]
    Working,
    /// It fell off the bus.
    Lost,
    /// Its memory has errors that ECC could not correct.
    EccFailed,
    /// It does not work, in the words of the host that found out.
    Failed {
        /// What is wrong.
        reason: String,
        /// What cures it; none: the host does not say.
        remedy: Option<String>,
    },
}

/// How a container engine is asked for a GPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GpuMode {
    /// The volume plug-in of the first nvidia-docker.
    Plugin,
    /// A runtime called `nvidia`.
    Runtime,
    /// A device request, as `docker run --gpus` makes it (Engine 19.03).
    DeviceRequest,
    /// A device request that names CDI devices (Engine 25).
    Cdi,
}

/// How NVIDIA's container runtime puts a GPU into a container, once it was asked for one.
///
/// Only the legacy and csv modes evaluate an image's `NVIDIA_REQUIRE_*`.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum RuntimeMode {
    /// Nobody said; it counts as legacy, the stricter reading.
    #[default]
    Unknown,
    /// By libnvidia-container, from a hook.
    Legacy,
    /// By lists of files, on Jetson.
    Csv,
    /// By a CDI description that an administrator made.
    Cdi,
    /// By a CDI description that the runtime makes for each container.
    JitCdi,
}

impl RuntimeMode {
    /// Whether the runtime asks an image's `NVIDIA_REQUIRE_*` before it starts a container.
    #[must_use]
    pub const fn asks_the_image(self) -> bool {
        matches!(self, Self::Unknown | Self::Legacy | Self::Csv)
    }
}

impl fmt::Display for RuntimeMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Unknown => "unknown",
            Self::Legacy => "legacy",
            Self::Csv => "csv",
            Self::Cdi => "cdi",
            Self::JitCdi => "jit-cdi",
        })
    }
}

impl FromStr for RuntimeMode {
    type Err = VersionError;

    fn from_str(text: &str) -> Result<Self, VersionError> {
        let modes = [
            Self::Unknown,
            Self::Legacy,
            Self::Csv,
            Self::Cdi,
            Self::JitCdi,
        ];
        modes
            .into_iter()
            .find(|mode| mode.to_string() == text)
            .ok_or_else(|| VersionError {
                text: text.to_owned(),
                kind: "runtime mode",
                expected: "legacy, csv, cdi, jit-cdi or unknown",
            })
    }
}

impl HostName {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<T: Into<String>> From<T> for HostName {
    fn from(name: T) -> Self {
        Self(name.into().into())
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl HostFacts {
    /// A host of which nothing is known but its name: x86_64, no driver, no GPU.
    #[must_use]
    pub fn new(name: impl Into<HostName>) -> Self {
        Self {
            name: name.into(),
            driver_version: None,
            driver_health: DriverHealth::default(),
            architecture: Architecture::default(),
            cpu_flags: None,
            gpus: Vec::new(),
            gpu_modes: None,
            runtime_mode: RuntimeMode::Unknown,
            labels: BTreeMap::new(),
        }
    }

    /// Whether anything here says that the host is meant to compute on GPUs: a GPU, or a driver that does not work.
    #[must_use]
    pub fn wants_gpu(&self) -> bool {
        !self.gpus.is_empty() || self.driver_health != DriverHealth::Working
    }
}

impl Gpu {
    /// A working GPU of which only the name is known.
    #[must_use]
    pub fn named(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            compute_capability: None,
            class: None,
            brand: None,
            memory_bytes: None,
            health: GpuHealth::Working,
        }
    }
}

impl Architecture {
    /// The name that the kernel and Python wheels use.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Aarch64 => "aarch64",
        }
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Architecture {
    type Err = VersionError;

    fn from_str(text: &str) -> Result<Self, VersionError> {
        match text {
            "x86_64" | "amd64" => Ok(Self::X86_64),
            "aarch64" | "arm64" => Ok(Self::Aarch64),
            _ => Err(VersionError {
                text: text.to_owned(),
                kind: "CPU architecture",
                expected: "x86_64 (amd64) or aarch64 (arm64)",
            }),
        }
    }
}

#[cfg(test)]
mod tests;
