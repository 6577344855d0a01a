//! What a `cuda-compat` package would give: the user-mode half of a newer driver, inside the image.

use super::{Finding, KnownGpu, Rule};
use crate::catalog::{Catalog, ForwardCompat, ForwardSupport, GpuProduct};
use crate::version::DriverVersion;

/// The compat package with the highest CUDA that runs on a driver, for a product that packages work on. The package is
/// itself a driver of its branch, so it must still drive the GPU, must not be older than the host's driver, and its
/// CUDA must know the GPU. NVIDIA documents no minor-version compatibility on top of it, so it gives exactly its own.
#[must_use]
pub fn forward_package<'a>(
    catalog: &'a Catalog,
    driver: &DriverVersion,
    gpu: &KnownGpu<'_>,
    product: &GpuProduct,
) -> Option<&'a ForwardCompat> {
    if product.forward != ForwardSupport::Yes {
        return None;
    }
    let branch = driver.branch();
    catalog.forward_compat.rows().rfind(|row| {
        let accepted =
            row.host_branches.contains(&branch) && !row.disputed_branches.contains(&branch);
        accepted
            && row.is_promised()
            && row
                .host_branch_min
                .get(&branch.to_string())
                .is_none_or(|least| driver >= least)
            && row.package_branch >= branch
            && gpu
                .row
                .last_driver_branch
                .is_none_or(|last| row.package_branch <= last)
            && gpu.row.is_known_to(row.cuda)
    })
}

/// The package as a fact.
#[must_use]
pub fn forward_finding(package: &ForwardCompat) -> Finding {
    let fact = format!(
        "{} in the image gives CUDA {}",
        package.package, package.cuda
    );
    Finding::new(Rule::ForwardCompat, fact, &package.source)
}
