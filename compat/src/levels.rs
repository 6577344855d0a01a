//! What a driver and a GPU can do together, without any recipe: the highest CUDA levels and TensorFlow releases.
//!
//! This answers for releases that no image can be made of here too, such as TensorFlow 1.12 on CUDA 9.0.

use serde::Serialize;

use crate::catalog::{Catalog, CudaToolkit, ForwardSupport, TensorflowRelease};
use crate::host::{Architecture, HostFacts};
use crate::rules::{self, Finding, KnownGpu, PtxReading, Refusal, Rule};
use crate::version::{CudaRelease, CudaVersion, CudnnVersion, DriverVersion, TensorflowVersion};

/// The highest levels, or why there are none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Levels {
    /// The highest CUDA level that the driver runs natively and that knows the GPU.
    pub native: Option<CudaVersion>,
    /// The highest release of that level.
    pub native_release: Option<CudaRelease>,
    /// The highest CUDA level by minor-version compatibility; `native` where there is none.
    pub minor: Option<CudaVersion>,
    /// The highest CUDA level with a compat package in the image, counting `minor`; none off data-centre GPUs.
    pub forward: Option<CudaVersion>,
    /// The TensorFlow releases.
    pub tensorflow: TensorflowLevels,
    /// Where the newest TensorFlow's own extra would install a cuDNN without kernels for the GPU: keep it below this.
    pub cudnn_below: Option<CudnnVersion>,
    /// What decided.
    pub findings: Vec<Finding>,
}

/// The TensorFlow releases that a driver and a GPU can run: the latest patch of each minor version.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct TensorflowLevels {
    /// The newest whose CUDA the driver runs and whose code covers the GPU, counting intermediate code fully.
    pub newest: Option<TensorflowVersion>,
    /// The newest that also needs no intermediate code which the driver cannot compile.
    pub newest_strict: Option<TensorflowVersion>,
    /// The newest that the compat package alone serves; none where no package does.
    pub newest_forward: Option<TensorflowVersion>,
    /// All that `newest_strict` is the newest of, newest first.
    pub supported: Vec<TensorflowVersion>,
}

/// The levels of a driver and a GPU, whatever the CPU's instructions.
///
/// # Errors
/// If the driver does not drive the GPU at all.
pub fn levels(
    catalog: &Catalog,
    driver: &DriverVersion,
    gpu: &KnownGpu<'_>,
    architecture: Architecture,
) -> Result<Levels, Refusal> {
    let mut host = HostFacts::new("any");
    host.architecture = architecture;
    levels_on(catalog, &host, driver, gpu)
}

/// The levels of a driver and a GPU on a host, of which the architecture and the CPU's flags count.
///
/// # Errors
/// If the driver does not drive the GPU at all.
pub fn levels_on(
    catalog: &Catalog,
    host: &HostFacts,
    driver: &DriverVersion,
    gpu: &KnownGpu<'_>,
) -> Result<Levels, Refusal> {
    let architecture = host.architecture;
    let driven = rules::driver_supports_gpu(driver, gpu)?;
    let highest = |runs: &dyn Fn(&CudaToolkit) -> bool| {
        catalog
            .cuda
            .rows()
            .rfind(|toolkit| runs(toolkit) && gpu.row.is_known_to(toolkit.release.level()))
    };
    let reaches = |needed: Option<&DriverVersion>| needed.is_some_and(|needed| driver >= needed);
    let native = highest(&|toolkit| reaches(toolkit.native_driver(architecture)));
    let minor = highest(&|toolkit| reaches(toolkit.minor_floor.as_ref()));
    let native_level = native.map(|toolkit| toolkit.release.level());
    let minor_level = minor
        .map(|toolkit| toolkit.release.level())
        .max(native_level);

    let newest = tensorflow(catalog, host, driver, gpu, PtxReading::Lenient).next();
    let supported: Vec<_> = tensorflow(catalog, host, driver, gpu, PtxReading::Strict)
        .filter_map(|release| release.latest().cloned())
        .collect();
    let package = rules::forward_packages(catalog, driver, gpu)
        .rfind(|package| gpu.row.is_known_to(package.cuda));
    let newest_forward = package.and_then(|package| {
        catalog.tensorflow_releases().find(|release| {
            release.cuda <= package.cuda
                && release.gpu_architectures.contains(&architecture)
                && rules::cpu_features(host, release).is_ok()
                && rules::known_gap(catalog, gpu, release).is_ok()
                && rules::machine_code(catalog, driver, gpu, release, PtxReading::Lenient, None)
                    .is_ok()
        })
    });

    let mut findings = vec![driven];
    if let Some(toolkit) = native.or(minor) {
        findings.push(rules::driver_runs_cuda(driver, architecture, toolkit, &[])?.1);
    }
    findings.extend(package.map(rules::forward_finding));
    // What keeps the next TensorFlow away is what whoever asks wants to know.
    let next = catalog
        .tensorflow_releases()
        .take_while(|release| release.latest() != supported.first())
        .last();
    let obstacle = |release| runs(catalog, host, driver, gpu, release, PtxReading::Strict).err();
    let in_the_way = match next.and_then(obstacle) {
        // None has wheels for it, and the newest says so best.
        Some(refusal) if refusal.rule == Rule::Architecture => {
            catalog.tensorflow_releases().next().and_then(obstacle)
        }
        other => other,
    };
    findings.extend(in_the_way.map(Finding::from));
    Ok(Levels {
        native: native_level,
        native_release: native.map(|toolkit| toolkit.release.clone()),
        minor: minor_level,
        forward: (gpu.forward == ForwardSupport::Yes)
            .then(|| package.map(|package| package.cuda).max(minor_level))
            .flatten(),
        tensorflow: TensorflowLevels {
            newest: newest.and_then(TensorflowRelease::latest).cloned(),
            newest_strict: supported.first().cloned(),
            newest_forward: newest_forward.and_then(TensorflowRelease::latest).cloned(),
            supported,
        },
        cudnn_below: newest.and_then(|release| cudnn_below(catalog, gpu, release)),
        findings,
    })
}

/// The TensorFlow releases whose CUDA the driver runs, in every release of its level since the wheel does not say which
/// one it was built with, and whose code covers the GPU. Newest first.
fn tensorflow<'a>(
    catalog: &'a Catalog,
    host: &HostFacts,
    driver: &DriverVersion,
    gpu: &KnownGpu<'_>,
    reading: PtxReading,
) -> impl Iterator<Item = &'a TensorflowRelease> {
    catalog
        .tensorflow_releases()
        .filter(move |release| runs(catalog, host, driver, gpu, release, reading).is_ok())
}

/// Whether one TensorFlow release runs, whatever libraries an image would put beside it.
fn runs(
    catalog: &Catalog,
    host: &HostFacts,
    driver: &DriverVersion,
    gpu: &KnownGpu<'_>,
    release: &TensorflowRelease,
    reading: PtxReading,
) -> Result<(), Refusal> {
    let architecture = host.architecture;
    if !release.gpu_architectures.contains(&architecture) {
        return Err(Refusal::new(
            Rule::Architecture,
            format!(
                "TensorFlow {} has no GPU wheel for {architecture}",
                release.minor
            ),
            "take an image that others built for it (tfleet image add)",
            &release.source,
        ));
    }
    rules::cpu_features(host, release)?;
    rules::known_gap(catalog, gpu, release)?;
    for toolkit in catalog.cuda_releases(release.cuda) {
        rules::driver_runs_cuda(driver, architecture, toolkit, std::slice::from_ref(gpu))?;
    }
    rules::machine_code(catalog, driver, gpu, release, reading, None)?;
    Ok(())
}

/// The first cuDNN within the range of the package's own extra that has no kernels for the GPU.
fn cudnn_below(
    catalog: &Catalog,
    gpu: &KnownGpu<'_>,
    release: &TensorflowRelease,
) -> Option<CudnnVersion> {
    let end = release.extra_cudnn_below.as_ref()?;
    catalog
        .cudnn
        .rows()
        .find(|row| {
            row.from > release.cudnn && row.from < *end && gpu.capability() < row.capability_min
        })
        .map(|row| row.from.clone())
}
