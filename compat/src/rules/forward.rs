//! What a `cuda-compat` package gives: the user-mode half of a newer driver, inside the image.

use super::{Finding, KnownGpu, Refusal, Rule};
use crate::catalog::{Catalog, CudaToolkit, ForwardCompat, ForwardSupport};
use crate::recipe::CompatPackage;
use crate::version::DriverVersion;

const GUIDE: &str = "https://docs.nvidia.com/deploy/cuda-compatibility/forward-compatibility.html";

/// The compat packages that run on a driver, that with the highest CUDA last; none for a product that packages do not work
/// on.
pub fn forward_packages<'a>(
    catalog: &'a Catalog,
    driver: &DriverVersion,
    gpu: &KnownGpu<'_>,
) -> impl DoubleEndedIterator<Item = &'a ForwardCompat> {
    let works = gpu.forward == ForwardSupport::Yes;
    catalog
        .forward_compat
        .rows()
        .filter(move |row| works && runs_on(row, driver) && drives(row, gpu))
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

/// A driver runs a toolkit through a compat package in the image if NVIDIA lists the driver's branch for that package, the
/// package's own CUDA reaches the toolkit, and every GPU is one that packages work on.
///
/// # Errors
/// If one of these does not hold.
pub fn forward_runs_cuda(
    catalog: &Catalog,
    driver: &DriverVersion,
    toolkit: &CudaToolkit,
    compat: &CompatPackage,
    gpus: &[KnownGpu<'_>],
) -> Result<Finding, Refusal> {
    let refuse = |reason: String, remedy: &str, source: &str| {
        Err(Refusal::new(Rule::ForwardCompat, reason, remedy, source))
    };
    let CompatPackage { package, cuda, .. } = compat;
    let level = toolkit.release.level();
    if *cuda < level {
        let reason = format!("{package} gives CUDA {cuda}, and the image's libraries are {level}");
        return refuse(reason, "take a newer compat package", GUIDE);
    }
    if let Some(gpu) = gpus.iter().find(|gpu| gpu.forward != ForwardSupport::Yes) {
        let reason = format!(
            "compat packages do not work on {gpu}: they are for data-centre GPUs (error 804)"
        );
        return refuse(reason, "upgrade the driver instead", GUIDE);
    }
    let rows: Vec<&ForwardCompat> = catalog
        .forward_compat
        .rows()
        .filter(|row| row.package == *package)
        .collect();
    let drives_all = |row: &ForwardCompat| gpus.iter().all(|gpu| drives(row, gpu));
    let running = || rows.iter().filter(|row| runs_on(row, driver));
    let Some(row) = running()
        .find(|row| drives_all(row))
        .or_else(|| running().next())
    else {
        let source = rows.first().map_or(GUIDE, |row| &row.source);
        let reason = match rows.iter().find_map(|row| least_within(row, driver)) {
            Some(least) => format!(
                "{package} runs on R{} from {least} on; this is {driver}",
                driver.branch()
            ),
            None => format!("NVIDIA does not list R{} for {package}", driver.branch()),
        };
        return refuse(
            reason,
            "upgrade the driver, or take another compat package",
            source,
        );
    };
    match gpus.iter().find(|gpu| !drives(row, gpu)) {
        Some(gpu) if !row.is_for(gpu.capability()) => refuse(
            format!("NVIDIA limits {package} to GPUs older or newer than {gpu}"),
            "take another compat package, or upgrade the driver",
            &row.source,
        ),
        Some(gpu) => refuse(
            format!(
                "{package} is half of a driver of R{}, which no longer drives {gpu}",
                row.package_branch
            ),
            "take an older compat package",
            &row.source,
        ),
        None => Ok(Finding::new(
            Rule::ForwardCompat,
            format!(
                "{package} in the image gives CUDA {cuda} on driver {driver}: R{} is listed for it",
                driver.branch()
            ),
            &row.source,
        )),
    }
}

/// Whether a document lists the driver for its package. A package older than the driver never is (error 803).
fn runs_on(row: &ForwardCompat, driver: &DriverVersion) -> bool {
    let branch = driver.branch();
    row.is_promised()
        && row.host_branches.contains(&branch)
        && !row.disputed_branches.contains(&branch)
        && row.package_branch >= branch
        && least_within(row, driver).is_none_or(|least| driver >= least)
}

/// The oldest driver of the same branch that a document asks for.
fn least_within<'a>(row: &'a ForwardCompat, driver: &DriverVersion) -> Option<&'a DriverVersion> {
    row.host_branch_min.get(&driver.branch().to_string())
}

/// The package is itself a driver of its branch, so it must still drive the GPU; and its document may limit it to some.
fn drives(row: &ForwardCompat, gpu: &KnownGpu<'_>) -> bool {
    let last = gpu.row.last_driver_branch;
    last.is_none_or(|last| row.package_branch <= last) && row.is_for(gpu.capability())
}
