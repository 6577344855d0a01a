//! What a driver and a GPU can do together, without any recipe: the highest CUDA levels and TensorFlow releases.
//!
//! This answers for releases that no image can be made of here too, such as TensorFlow 1.12 on CUDA 9.0.

use serde::Serialize;

use crate::catalog::{Catalog, TensorflowRelease};
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
    let native = catalog.cuda.rows().rfind(|toolkit| {
        toolkit
            .native_driver(architecture)
            .is_some_and(|needed| driver >= needed)
            && gpu.row.is_known_to(toolkit.release.level())
    });
    let minor = catalog.cuda.rows().rfind(|toolkit| {
        toolkit
            .minor_floor
            .as_ref()
            .is_some_and(|floor| driver >= floor)
            && gpu.row.is_known_to(toolkit.release.level())
    });
    let runs = |release: &&TensorflowRelease, reading| {
        catalog
            .cuda_releases(release.cuda)
            .any(|toolkit| rules::driver_runs_cuda(driver, architecture, toolkit, &[]).is_ok())
            && rules::machine_code(catalog, driver, gpu, release, reading).is_ok()
    };
    let latest = |release: &TensorflowRelease| release.latest().cloned();
    let newest = catalog
        .tensorflow_releases()
        .find(|release| runs(release, PtxReading::Lenient));
    let supported: Vec<_> = catalog
        .tensorflow_releases()
        .filter(|release| runs(release, PtxReading::Strict))
        .filter_map(latest)
        .collect();
    let native_level = native.map(|toolkit| toolkit.release.level());
    Ok(Levels {
        native: native_level,
        native_release: native.map(|toolkit| toolkit.release.clone()),
        minor: minor
            .map(|toolkit| toolkit.release.level())
            .max(native_level),
        cudnn_below: newest.and_then(|release| cudnn_below(catalog, gpu, release)),
        tensorflow: TensorflowLevels {
            newest: newest.and_then(latest),
            newest_strict: supported.first().cloned(),
            supported,
        },
        findings: std::iter::once(driven)
            .chain(native.or(minor).and_then(|toolkit| {
                rules::driver_runs_cuda(driver, architecture, toolkit, &[])
                    .ok()
                    .map(|(_, finding)| finding)
            }))
            .collect(),
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

#[cfg(test)]
mod tests;
