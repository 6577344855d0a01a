//! What is known about a GPU, whether it works, and whether a container can have it.

use std::fmt;

use super::{FROM_HOST, Finding, Refusal, Rule};
use crate::catalog::{Capability, Catalog, ForwardSupport, GpuClass, GpuLookupError};
use crate::host::{Gpu, GpuHealth, GpuMode, HostFacts};
use crate::version::{ComputeCapability, DriverVersion};

/// A GPU with what the catalog knows about its compute capability.
#[derive(Debug, Clone, Copy)]
pub struct KnownGpu<'a> {
    /// The name that the host gave.
    pub name: &'a str,
    /// Its compute capability's row.
    pub row: &'a Capability,
    /// Whether compat packages work on it.
    pub forward: ForwardSupport,
    /// The driver of the first toolkit that knows it, whose branch is the first that drives it; none: that is older than
    /// what the catalog knows of drivers.
    pub first_driver: Option<&'a DriverVersion>,
}

impl KnownGpu<'_> {
    /// Its compute capability.
    #[must_use]
    pub fn capability(&self) -> ComputeCapability {
        self.row.capability
    }
}

impl fmt::Display for KnownGpu<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} (compute capability {})",
            self.name, self.row.capability
        )
    }
}

/// The engine must have a way to give a GPU to a container. A host that does not say passes.
///
/// # Errors
/// If the host says that there is none.
pub fn gpu_access(host: &HostFacts) -> Result<Finding, Refusal> {
    match &host.gpu_modes {
        Some(modes) if modes.is_empty() => Err(Refusal::new(
            Rule::GpuAccess,
            "the container engine has no way to give a GPU to a container",
            "install the NVIDIA container toolkit and restart the engine",
            FROM_HOST,
        )),
        Some(modes) if modes.iter().all(|mode| *mode == GpuMode::Plugin) => Err(Refusal::new(
            Rule::GpuAccess,
            "the container engine gives GPUs through nvidia-docker 1 alone, whose volumes are not used here",
            "install nvidia-docker 2 or the NVIDIA container toolkit beside it and restart the engine",
            FROM_HOST,
        )),
        Some(_) => Ok(Finding::new(
            Rule::GpuAccess,
            "the container engine can give GPUs to containers",
            FROM_HOST,
        )),
        None => Ok(Finding::new(
            Rule::GpuAccess,
            "the host does not say how its engine gives GPUs",
            FROM_HOST,
        )),
    }
}

/// A GPU that fell off the bus, whose memory failed, or of which the host says that it fails, is no target.
///
/// # Errors
/// If the GPU does not work.
pub fn gpu_health(gpu: &Gpu) -> Result<Finding, Refusal> {
    match &gpu.health {
        GpuHealth::Working => Ok(Finding::new(
            Rule::GpuHealth,
            format!("{} works", gpu.name),
            FROM_HOST,
        )),
        GpuHealth::Lost => Err(Refusal::new(
            Rule::GpuHealth,
            format!("{} has fallen off the bus", gpu.name),
            "reboot the host; if it happens again, check power and seating, and replace the board",
            FROM_HOST,
        )),
        GpuHealth::EccFailed => Err(Refusal::new(
            Rule::GpuHealth,
            format!("{} has memory errors that ECC could not correct", gpu.name),
            "drain the host and reset the GPU (nvidia-smi -r); if errors return, replace the board",
            FROM_HOST,
        )),
        GpuHealth::Failed { reason, remedy } => Err(Refusal::new(
            Rule::GpuHealth,
            format!("{}: {reason}", gpu.name),
            remedy.as_deref().unwrap_or(
                "see the kernel's log on the host for NVRM lines; reset the GPU, or reboot",
            ),
            FROM_HOST,
        )),
    }
}

/// The compute capability that the driver reports decides; the product's name only where the driver is too old to say.
///
/// # Errors
/// If neither gives one, or the catalog does not know it.
pub fn gpu_known<'a>(catalog: &'a Catalog, gpu: &'a Gpu) -> Result<KnownGpu<'a>, Refusal> {
    let product = catalog.gpu(&gpu.name);
    let forward = match (gpu.class, &product) {
        (Some(GpuClass::Consumer), _) => ForwardSupport::No,
        (_, Ok(product)) => product.forward,
        (Some(GpuClass::Datacenter), Err(_)) => ForwardSupport::Yes,
        (_, Err(_)) => ForwardSupport::Unknown,
    };
    let capability = match gpu.compute_capability {
        Some(capability) => capability,
        None => product.map_err(unknown_name)?.capability,
    };
    let row = catalog.capability(capability).ok_or_else(|| {
        Refusal::new(
            Rule::GpuKnown,
            format!(
                "{} has compute capability {capability}, which the catalog does not know",
                gpu.name
            ),
            "add a [[capability]] row for it to the catalog (--catalog, or `catalog` in coordinator.toml)",
            FROM_HOST,
        )
    })?;
    let first = catalog.cuda_releases(row.cuda_first);
    Ok(KnownGpu {
        name: &gpu.name,
        row,
        forward,
        first_driver: first.filter_map(|toolkit| toolkit.driver.as_ref()).min(),
    })
}

fn unknown_name(error: GpuLookupError) -> Refusal {
    let remedy = match &error {
        GpuLookupError::Unknown { .. } => {
            "tell its compute capability (--compute-capability, or compute_capability in the file of hosts), or add a [[gpu]] row \
             for it to the catalog (--catalog, or `catalog` in coordinator.toml); drivers up to R470 do not tell it themselves"
        }
        GpuLookupError::Ambiguous { .. } => "give the GPU's full name, or its compute capability",
    };
    Refusal::new(Rule::GpuKnown, error.to_string(), remedy, FROM_HOST)
}
