//! Driver to CUDA, and CUDA to GPU.

use super::{Finding, KnownGpu, Refusal, Rule};
use crate::catalog::CudaToolkit;
use crate::host::Architecture;
use crate::verdict::Compatibility;
use crate::version::DriverVersion;

/// A driver runs a toolkit natively from the toolkit's own driver on; from CUDA 11 on also by minor-version
/// compatibility, from the floor of the toolkit's major version on. Exact versions decide: 535.43.02 is older than the
/// driver of 12.2, although its branch is the same.
///
/// `gpus` only shape the remedy: a driver that no longer drives them is no cure.
///
/// # Errors
/// If the driver is older than both.
pub fn driver_runs_cuda(
    driver: &DriverVersion,
    architecture: Architecture,
    toolkit: &CudaToolkit,
    gpus: &[KnownGpu<'_>],
) -> Result<(Compatibility, Finding), Refusal> {
    let release = &toolkit.release;
    let major = release.level().major();
    let native = toolkit.native_driver(architecture);
    if let Some(native) = native.filter(|native| driver >= native) {
        let fact = format!("driver {driver} ≥ {native}, the driver of CUDA {release}");
        return Ok((
            Compatibility::Native,
            Finding::new(Rule::DriverRunsCuda, fact, &toolkit.source),
        ));
    }
    if let Some(floor) = toolkit.minor_floor.as_ref().filter(|floor| driver >= floor) {
        let fact = format!(
            "driver {driver} ≥ {floor}, the floor of CUDA {major}.x, which {release} runs from"
        );
        return Ok((
            Compatibility::Minor,
            Finding::new(Rule::DriverRunsCuda, fact, &toolkit.source),
        ));
    }
    let (needed, reason) = match (&toolkit.minor_floor, native) {
        (Some(floor), _) => (
            floor,
            format!("driver {driver} < {floor}, the floor of CUDA {major}.x"),
        ),
        (None, Some(native)) => (
            native,
            format!("driver {driver} < {native}, the driver of CUDA {release}"),
        ),
        (None, None) => {
            return Err(Refusal::new(
                Rule::DriverRunsCuda,
                format!("no driver is known that runs CUDA {release}"),
                "choose another CUDA",
                &toolkit.source,
            ));
        }
    };
    let dropped = gpus.iter().find(|gpu| {
        gpu.row
            .last_driver_branch
            .is_some_and(|last| last < needed.branch())
    });
    Err(match dropped {
        Some(gpu) => Refusal::new(
            Rule::DriverRunsCuda,
            reason,
            format!(
                "choose an older TensorFlow: no driver that runs CUDA {major}.x still drives {}",
                gpu.name
            ),
            &toolkit.source,
        ),
        None => Refusal::new(
            Rule::DriverRunsCuda,
            reason,
            upgrade_to(needed, gpus),
            &toolkit.source,
        )
        .needing(needed.clone()),
    })
}

/// The advice to install a driver, within the branches that drive the GPUs.
pub(super) fn upgrade_to(needed: &DriverVersion, gpus: &[KnownGpu<'_>]) -> String {
    let branch = needed.branch();
    match gpus
        .iter()
        .filter_map(|gpu| gpu.row.last_driver_branch)
        .min()
    {
        Some(last) if last == branch => format!("upgrade the driver to ≥ {needed} (R{branch})"),
        Some(last) => format!("upgrade the driver to ≥ {needed} (R{branch} to R{last})"),
        None => format!("upgrade the driver to ≥ {needed} (R{branch} or newer)"),
    }
}

/// The CUDA libraries must know the GPU, since their own kernels are compiled for what they know.
///
/// # Errors
/// If the GPU is older or newer than the toolkit knows.
pub fn cuda_supports_gpu(gpu: &KnownGpu<'_>, toolkit: &CudaToolkit) -> Result<Finding, Refusal> {
    let level = toolkit.release.level();
    if gpu.row.is_known_to(level) {
        let fact = format!("CUDA {level} knows {gpu}");
        return Ok(Finding::new(Rule::CudaSupportsGpu, fact, &gpu.row.source));
    }
    let (reason, remedy) = match gpu.row.cuda_last {
        Some(last) if last < level => (
            format!("{gpu} ended with CUDA {last}; these libraries are {level}"),
            format!("choose a TensorFlow that runs on CUDA {last} or older"),
        ),
        _ => (
            format!(
                "{gpu} is newer than CUDA {level}: it begins with {}",
                gpu.row.cuda_first
            ),
            format!(
                "choose a TensorFlow that runs on CUDA {} or newer",
                gpu.row.cuda_first
            ),
        ),
    };
    Err(Refusal::new(
        Rule::CudaSupportsGpu,
        reason,
        remedy,
        &gpu.row.source,
    ))
}

impl CudaToolkit {
    /// The oldest driver that runs the toolkit natively on an architecture.
    #[must_use]
    pub fn native_driver(&self, architecture: Architecture) -> Option<&DriverVersion> {
        match architecture {
            Architecture::X86_64 => self.driver.as_ref(),
            Architecture::Aarch64 => self.driver_aarch64.as_ref().or(self.driver.as_ref()),
        }
    }
}
