//! Whether there is a driver that works, and whether it still drives the GPU.

use super::cuda::upgrade_to;
use super::{FROM_HOST, Finding, KnownGpu, Refusal, Rule};
use crate::catalog::Catalog;
use crate::host::{DriverHealth, Gpu, HostFacts};
use crate::version::DriverVersion;

/// The driver's libraries and its kernel module must be of one version, and the module loaded.
///
/// # Errors
/// If the driver was upgraded without a reboot, its module is not loaded, or the host says that it fails otherwise.
pub fn driver_health(host: &HostFacts) -> Result<Finding, Refusal> {
    let library = || {
        host.driver_version
            .as_ref()
            .map_or_else(|| "another version".to_owned(), ToString::to_string)
    };
    match &host.driver_health {
        DriverHealth::Working => Ok(Finding::new(
            Rule::DriverHealth,
            "driver library and kernel module agree",
            FROM_HOST,
        )),
        DriverHealth::Mismatch { kernel_module } => {
            let module = kernel_module
                .as_ref()
                .map_or_else(|| "an older version".to_owned(), ToString::to_string);
            Err(Refusal::new(
                Rule::DriverHealth,
                format!(
                    "the driver's libraries are {}, but the loaded kernel module is {module}",
                    library()
                ),
                "reboot the host (the driver was upgraded and the old module is still loaded)",
                "https://github.com/NVIDIA/nvidia-docker/issues/584",
            ))
        }
        DriverHealth::NotLoaded => Err(Refusal::new(
            Rule::DriverHealth,
            format!(
                "the driver's libraries are {}, but its kernel module is not loaded",
                library()
            ),
            "load it (modprobe nvidia); if that fails, reinstall the driver for the running kernel",
            FROM_HOST,
        )),
        DriverHealth::Failed { reason, remedy } => Err(Refusal::new(
            Rule::DriverHealth,
            reason,
            remedy
                .as_deref()
                .unwrap_or("make the driver work (nvidia-smi says what it finds), or reinstall it"),
            FROM_HOST,
        )),
    }
}

/// An image with CUDA needs a GPU and a driver.
///
/// # Errors
/// If the host lacks either.
pub fn driver_present(host: &HostFacts) -> Result<&DriverVersion, Refusal> {
    driver_and_gpu(host).map(|(driver, _)| driver)
}

/// The driver and the first GPU of a host.
///
/// # Errors
/// If the host lacks either.
pub fn driver_and_gpu(host: &HostFacts) -> Result<(&DriverVersion, &Gpu), Refusal> {
    let Some(gpu) = host.gpus.first() else {
        return Err(Refusal::new(
            Rule::DriverPresent,
            "the host has no NVIDIA GPU",
            "use the CPU variant; if there is a GPU, see why the driver does not list it (nvidia-smi -L)",
            FROM_HOST,
        ));
    };
    let driver = host.driver_version.as_ref().ok_or_else(|| {
        Refusal::new(
            Rule::DriverPresent,
            "the host has a GPU and no NVIDIA driver",
            "install the NVIDIA driver, then the NVIDIA container toolkit",
            FROM_HOST,
        )
    })?;
    Ok((driver, gpu))
}

/// A driver of a branch that the catalog does not know yet counts as the newest one that it knows, and is flagged.
#[must_use]
pub fn driver_newer_than_known(catalog: &Catalog, driver: &DriverVersion) -> Option<Finding> {
    catalog.is_newer_than_known(driver).then(|| {
        let fact = format!(
            "R{} is newer than the catalog and counts as its newest branch",
            driver.branch()
        );
        Finding::new(Rule::DriverPresent, fact, "the catalog")
    })
}

/// An image for the CPU asks for no driver.
#[must_use]
pub fn cpu_only(host: &HostFacts) -> Finding {
    let fact = match host.gpus.len() {
        0 => "the host has no NVIDIA GPU that works; the image computes on the CPU".to_owned(),
        gpus => format!("the image computes on the CPU; the host's GPUs ({gpus}) stay idle"),
    };
    Finding::new(Rule::DriverPresent, fact, FROM_HOST)
}

/// Whether a driver drives a GPU at all: it knows it already, and it has not dropped it.
///
/// # Errors
/// If the driver's branch is before the architecture's first, or past its last.
pub fn driver_supports_gpu(driver: &DriverVersion, gpu: &KnownGpu<'_>) -> Result<Finding, Refusal> {
    driver_knows_gpu(driver, gpu)?;
    driver_still_drives(driver, gpu)
}

/// No driver knows an architecture before the first toolkit for it came with its own driver.
///
/// # Errors
/// If the driver's branch is before that one's.
pub fn driver_knows_gpu(driver: &DriverVersion, gpu: &KnownGpu<'_>) -> Result<(), Refusal> {
    let Some(first) = gpu
        .first_driver
        .filter(|first| driver.branch() < first.branch())
    else {
        return Ok(());
    };
    let reason = format!(
        "driver {driver} is older than {gpu}: CUDA {} was the first to know that, with driver {first}",
        gpu.row.cuda_first
    );
    let remedy = upgrade_to(first, std::slice::from_ref(gpu));
    let refusal = Refusal::new(Rule::DriverSupportsGpu, reason, remedy, &gpu.row.source);
    Err(refusal.needing(first.clone()))
}

/// Drivers drop old architectures: R470 is the last branch with Kepler, R580 with Maxwell, Pascal and Volta.
///
/// # Errors
/// If the driver's branch is past the architecture's last.
pub fn driver_still_drives(driver: &DriverVersion, gpu: &KnownGpu<'_>) -> Result<Finding, Refusal> {
    const MATRIX: &str = "https://docs.nvidia.com/datacenter/tesla/drivers/cuda-toolkit-driver-and-architecture-matrix.html";
    match gpu.row.last_driver_branch {
        Some(last) if driver.branch() > last => Err(Refusal::new(
            Rule::DriverSupportsGpu,
            format!(
                "driver {driver} no longer drives {gpu}: R{last} is the last branch for {}",
                gpu.row.architecture
            ),
            format!("install a driver of branch R{last}"),
            MATRIX,
        )),
        Some(last) => Ok(Finding::new(
            Rule::DriverSupportsGpu,
            format!("{gpu} is driven up to R{last}; this is {driver}"),
            MATRIX,
        )),
        None => Ok(Finding::new(
            Rule::DriverSupportsGpu,
            format!("{gpu} is driven by every current branch"),
            MATRIX,
        )),
    }
}
