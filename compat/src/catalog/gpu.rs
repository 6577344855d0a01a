//! Compute capabilities and the products that have them.

use serde::{Deserialize, Serialize};

use super::{Catalog, CatalogError, Row};
use crate::version::{ComputeCapability, CudaVersion, DriverVersion};

/// What CUDA and the drivers do for one compute capability.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Capability {
    /// The compute capability.
    pub capability: ComputeCapability,
    /// The architecture's name, such as `Turing`.
    pub architecture: String,
    /// The first CUDA level that knows it.
    pub cuda_first: CudaVersion,
    /// The last one; none while it is supported.
    pub cuda_last: Option<CudaVersion>,
    /// The last driver branch that drives it; none while it is supported.
    pub last_driver_branch: Option<u32>,
    /// What a reader should know about the row.
    pub note: Option<String>,
    /// No primary source confirms the row.
    #[serde(default)]
    pub unverified: bool,
    /// Where the row comes from.
    pub source: String,
}

/// One product.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GpuProduct {
    /// Its name.
    pub name: String,
    /// Other names that NVML and `nvidia-smi` give it.
    #[serde(default)]
    pub aliases: Vec<String>,
    /// Its compute capability.
    pub capability: ComputeCapability,
    /// What it was sold for.
    pub class: GpuClass,
    /// Its brand, as `NVIDIA_REQUIRE_*` spells it.
    pub brand: String,
    /// The brand that newer drivers give it, where that changed.
    pub rebrand: Option<Rebrand>,
    /// Whether compat packages work on it.
    pub forward: ForwardSupport,
    /// What a reader should know about the row.
    pub note: Option<String>,
    /// No primary source confirms the row.
    #[serde(default)]
    pub unverified: bool,
    /// Fields that no primary source confirms.
    #[serde(default)]
    pub unverified_fields: Vec<String>,
    /// Where the row comes from.
    pub source: String,
}

/// A change of the brand that NVML gives a product.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rebrand {
    /// The first driver branch with the new one.
    pub branch: u32,
    /// The new one, as `NVIDIA_REQUIRE_*` spells it.
    pub brand: String,
}

/// What a GPU was sold for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GpuClass {
    /// A data-centre board.
    Datacenter,
    /// A workstation board.
    Workstation,
    /// A GeForce or TITAN.
    Consumer,
    /// A desktop system of its own, such as DGX Spark.
    Desktop,
    /// A Jetson module.
    Jetson,
}

/// Whether `cuda-compat` packages work on a product.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ForwardSupport {
    /// They do.
    Yes,
    /// They do not (error 804).
    No,
    /// In some servers that NVIDIA has certified.
    Select,
    /// By the Jetson packages, which are others.
    Jetson,
    /// Nothing is published.
    Unknown,
}

impl Row for Capability {
    type Key = ComputeCapability;

    fn key(&self) -> ComputeCapability {
        self.capability
    }
}

impl Row for GpuProduct {
    type Key = String;

    fn key(&self) -> String {
        self.name.clone()
    }
}

impl Capability {
    /// Whether a CUDA level knows this compute capability.
    #[must_use]
    pub fn is_known_to(&self, cuda: CudaVersion) -> bool {
        self.cuda_first <= cuda && self.cuda_last.is_none_or(|last| cuda <= last)
    }
}

impl GpuProduct {
    /// The brand that NVML gives it on a driver; on an unknown one, the first that it had.
    #[must_use]
    pub fn brand_on(&self, driver: Option<&DriverVersion>) -> &str {
        match (&self.rebrand, driver) {
            (Some(rebrand), Some(driver)) if driver.branch() >= rebrand.branch => &rebrand.brand,
            _ => &self.brand,
        }
    }

    pub(super) fn validate(&self, catalog: &Catalog) -> Result<(), CatalogError> {
        match catalog.capabilities.get(&self.capability) {
            Some(_) => Ok(()),
            None => Err(CatalogError::Inconsistent {
                row: format!("[[gpu]] {}", self.name),
                problem: format!(
                    "has compute capability {}, which has no [[capability]] row",
                    self.capability
                ),
            }),
        }
    }
}

impl Catalog {
    /// What is known about a compute capability.
    #[must_use]
    pub fn capability(&self, capability: ComputeCapability) -> Option<&Capability> {
        self.capabilities.get(&capability)
    }
}
