//! The rules, each one function: given facts, it returns the fact that lets a recipe run, or the one that forbids it.
//!
//! A rule never guesses. What it says names the values it compared and where the deciding one comes from, so that a
//! person can check it, and a refusal says what to do.

mod code;
mod cpu;
mod cuda;
mod cudnn;
mod driver;
mod forward;
mod gpu;
mod image;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::version::DriverVersion;

pub use code::{PtxReading, known_gap, machine_code};
pub use cpu::{architecture, cpu_features};
pub use cuda::{cuda_supports_gpu, driver_runs_cuda};
pub use cudnn::cudnn_supports_gpu;
pub use driver::{
    cpu_only, driver_and_gpu, driver_health, driver_knows_gpu, driver_newer_than_known,
    driver_present, driver_still_drives, driver_supports_gpu,
};
pub use forward::{forward_finding, forward_packages, forward_runs_cuda};
pub use gpu::{KnownGpu, gpu_access, gpu_health, gpu_known};
pub use image::{image_requirement, unsatisfied_requirement};

/// The rules by name, in the order in which [`check`](crate::check) asks them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// The catalog knows what the recipe is made of.
    RecipeKnown,
    /// The image is for this CPU's architecture.
    Architecture,
    /// The CPU has the instructions that the wheel was compiled with.
    CpuFeatures,
    /// The driver's libraries and kernel module work together.
    DriverHealth,
    /// There is a driver and a GPU.
    DriverPresent,
    /// The engine can give a GPU to a container.
    GpuAccess,
    /// Every GPU works.
    GpuHealth,
    /// The catalog or the driver knows the GPU's compute capability.
    GpuKnown,
    /// The driver's branch still drives the GPU's architecture.
    DriverSupportsGpu,
    /// Nothing is known that keeps the wheel from running on the GPU.
    KnownGap,
    /// The installed CUDA libraries know the GPU.
    CudaSupportsGpu,
    /// The installed cuDNN has kernels for the GPU.
    CudnnSupportsGpu,
    /// The driver runs the installed CUDA, natively or by minor-version compatibility.
    DriverRunsCuda,
    /// A compat package in the image gives a newer CUDA than the driver's own.
    ForwardCompat,
    /// TensorFlow's wheel has code that the GPU runs.
    MachineCode,
    /// The host meets what the image itself requires of it.
    ImageRequirement,
}

/// A fact that let a recipe pass a rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The rule.
    pub rule: Rule,
    /// What was compared, in a sentence's part: no capital, no full stop.
    pub fact: String,
    /// Where the deciding value comes from.
    pub source: String,
}

/// A fact that forbids a recipe on a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// The rule.
    pub rule: Rule,
    /// What was compared.
    pub reason: String,
    /// What the operator can do.
    pub remedy: String,
    /// The oldest driver that would pass the rule, where a driver would.
    pub needs_driver: Option<DriverVersion>,
    /// Where the deciding value comes from.
    pub source: String,
}

/// The source of what the host itself says.
const FROM_HOST: &str = "the host's inventory";

impl Finding {
    fn new(rule: Rule, fact: impl Into<String>, source: impl Into<String>) -> Self {
        Self {
            rule,
            fact: fact.into(),
            source: source.into(),
        }
    }
}

impl fmt::Display for Rule {
    /// As it is written in JSON: `driver-runs-cuda`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::RecipeKnown => "recipe-known",
            Self::Architecture => "architecture",
            Self::CpuFeatures => "cpu-features",
            Self::DriverHealth => "driver-health",
            Self::DriverPresent => "driver-present",
            Self::GpuAccess => "gpu-access",
            Self::GpuHealth => "gpu-health",
            Self::GpuKnown => "gpu-known",
            Self::DriverSupportsGpu => "driver-supports-gpu",
            Self::KnownGap => "known-gap",
            Self::CudaSupportsGpu => "cuda-supports-gpu",
            Self::CudnnSupportsGpu => "cudnn-supports-gpu",
            Self::DriverRunsCuda => "driver-runs-cuda",
            Self::ForwardCompat => "forward-compat",
            Self::MachineCode => "machine-code",
            Self::ImageRequirement => "image-requirement",
        })
    }
}

impl From<Refusal> for Finding {
    /// What a refusal compared, with what to do, as a reason among others.
    fn from(refusal: Refusal) -> Self {
        Self {
            rule: refusal.rule,
            fact: format!("{}; {}", refusal.reason, refusal.remedy),
            source: refusal.source,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl std::error::Error for Refusal {}

impl Refusal {
    pub(crate) fn new(
        rule: Rule,
        reason: impl Into<String>,
        remedy: impl Into<String>,
        source: impl Into<String>,
    ) -> Self {
        Self {
            rule,
            reason: reason.into(),
            remedy: remedy.into(),
            needs_driver: None,
            source: source.into(),
        }
    }

    fn needing(mut self, driver: DriverVersion) -> Self {
        self.needs_driver = Some(driver);
        self
    }
}

#[cfg(test)]
mod tests;
