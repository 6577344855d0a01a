//! What a driver and a GPU can do together, without any recipe: the highest CUDA levels and TensorFlow releases.
//!
//! This answers for releases that no image can be made of here too, such as TensorFlow 1.12 on CUDA 9.0.

use serde::Serialize;

use crate::catalog::{Catalog, CudaToolkit, ForwardSupport, TensorflowRelease};
use crate::host::Architecture;
use crate::rules::{self, Finding, KnownGpu, PtxReading, Refusal};
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

/// The levels of a driver and a GPU.
///
/// # Errors
/// If the driver does not drive the GPU at all.
pub fn levels(
    catalog: &Catalog,
    driver: &DriverVersion,
    gpu: &KnownGpu<'_>,
    architecture: Architecture,
) -> Result<Levels, Refusal> {
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

    let newest = tensorflow(catalog, driver, gpu, architecture, PtxReading::Lenient).next();
    let supported: Vec<_> = tensorflow(catalog, driver, gpu, architecture, PtxReading::Strict)
        .filter_map(|release| release.latest().cloned())
        .collect();
    let product = catalog.gpu(gpu.name).ok();
    let package = product.and_then(|product| rules::forward_package(catalog, driver, gpu, product));
    let newest_forward = package.and_then(|package| {
        catalog.tensorflow_releases().find(|release| {
            release.gpu_architectures.contains(&architecture)
                && release.cuda <= package.cuda
                && rules::known_gap(catalog, gpu, release).is_ok()
                && rules::machine_code(catalog, driver, gpu, release, PtxReading::Lenient).is_ok()
        })
    });

    let mut findings = vec![driven];
    if let Some(toolkit) = native.or(minor) {
        findings.push(rules::driver_runs_cuda(driver, architecture, toolkit, &[])?.1);
    }
    findings.extend(package.map(rules::forward_finding));
    Ok(Levels {
        native: native_level,
        native_release: native.map(|toolkit| toolkit.release.clone()),
        minor: minor_level,
        forward: product
            .filter(|product| product.forward == ForwardSupport::Yes)
            .and_then(|_| package.map(|package| package.cuda).max(minor_level)),
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
    driver: &DriverVersion,
    gpu: &KnownGpu<'_>,
    architecture: Architecture,
    reading: PtxReading,
) -> impl Iterator<Item = &'a TensorflowRelease> {
    catalog.tensorflow_releases().filter(move |release| {
        release.gpu_architectures.contains(&architecture)
            && catalog
                .cuda_releases(release.cuda)
                .all(|toolkit| rules::driver_runs_cuda(driver, architecture, toolkit, &[]).is_ok())
            && rules::known_gap(catalog, gpu, release).is_ok()
            && rules::machine_code(catalog, driver, gpu, release, reading).is_ok()
    })
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
