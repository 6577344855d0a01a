//! What the image itself requires, which the runtime evaluates before it starts a container.

use super::cuda::upgrade_to;
use super::{
    Finding, KnownGpu, Refusal, Rule, cuda_supports_gpu, driver_present, driver_runs_cuda,
    gpu_known,
};
use crate::catalog::{Catalog, CudaToolkit};
use crate::gate::{ImageGate, Unsatisfied};
use crate::host::{Gpu, HostFacts, RuntimeMode};
use crate::require::{Property, Subject, Unmet};
use crate::verdict::Compatibility;
use crate::version::{ComputeCapability, CudaVersion, DriverVersion};

const GATE: &str = "https://github.com/NVIDIA/libnvidia-container/blob/main/src/cli/dsl.c";
const MODES: &str =
    "https://github.com/NVIDIA/nvidia-container-toolkit/blob/main/internal/modifier/csv.go";
const SWITCH: &str = "https://github.com/NVIDIA/nvidia-container-toolkit/blob/main/internal/config/image/cuda_image.go";

/// An image may require a driver, a CUDA level, a brand or a compute capability of the host (`NVIDIA_REQUIRE_*`); the
/// runtime refuses it for each visible GPU that does not meet all of it. It is stricter than CUDA itself, and not
/// monotonic: 4090s on R535 pass `cuda>=12.4` by an exception that R545 has not got. In the cdi and jit-cdi modes nobody
/// asks. The csv mode of Jetson evaluates with other code, which knows no driver and no brand; it counts as legacy.
///
/// A container toolkit older than 1.9 does not know the newer brands (such as `quadrortx`) and calls them `unknown`, which
/// the images list too (<https://github.com/NVIDIA/nvidia-container-toolkit/issues/24>); here a brand is what the driver says.
///
/// # Errors
/// If the host does not meet the requirement, or has no driver that could be asked.
pub fn image_requirement(
    catalog: &Catalog,
    host: &HostFacts,
    gate: &ImageGate,
) -> Result<Finding, Refusal> {
    let passed = |fact: String, source| Ok(Finding::new(Rule::ImageRequirement, fact, source));
    let asked = gate.requirements();
    if !host.runtime_mode.asks_the_image() {
        let mode = match host.runtime_mode {
            RuntimeMode::JitCdi => "jit-cdi",
            _ => "cdi",
        };
        return passed(
            format!("the runtime works in {mode} mode, which does not ask what an image requires"),
            MODES,
        );
    }
    if gate.is_switched_off() {
        return passed(
            "the image switches its requirements off (NVIDIA_DISABLE_REQUIRE)".to_owned(),
            SWITCH,
        );
    }
    if asked.is_empty() {
        return passed("the image requires nothing of the host".to_owned(), SWITCH);
    }
    let driver = match &host.driver_version {
        Some(driver) => driver,
        None => driver_present(host)?,
    };
    let level = reported(catalog, driver);
    match unsatisfied_requirement(catalog, host, gate) {
        Some(unsatisfied) => Err(refuse(catalog, host, driver, gate, &unsatisfied)),
        None => passed(
            format!(
                "driver {driver} (CUDA {level}) meets {}",
                asked
                    .iter()
                    .map(|asked| asked.variable.as_str())
                    .collect::<Vec<_>>()
                    .join(", ")
            ),
            GATE,
        ),
    }
}

/// The requirement that the host does not meet, where the runtime would ask; none also for a host without a driver, where
/// it does not come to it.
#[must_use]
pub fn unsatisfied_requirement<'a>(
    catalog: &Catalog,
    host: &HostFacts,
    gate: &'a ImageGate,
) -> Option<Unsatisfied<'a>> {
    let driver = host.driver_version.as_ref()?;
    if !host.runtime_mode.asks_the_image() {
        return None;
    }
    evaluate(catalog, host, driver, gate)
}

fn evaluate<'a>(
    catalog: &Catalog,
    host: &HostFacts,
    driver: &DriverVersion,
    gate: &'a ImageGate,
) -> Option<Unsatisfied<'a>> {
    let machine = Subject {
        cuda: Some(reported(catalog, driver)),
        driver: Some(driver),
        ..Subject::default()
    };
    let gpus: Vec<Subject<'_>> = host
        .gpus
        .iter()
        .map(|gpu| Subject {
            arch: arch(catalog, gpu),
            brand: brand(catalog, gpu, driver),
            ..machine
        })
        .collect();
    gate.unsatisfied(&gpus, machine)
}

/// The CUDA level that a driver reports. One older than all that the catalog knows is below every requirement.
fn reported(catalog: &Catalog, driver: &DriverVersion) -> CudaVersion {
    catalog
        .cuda_level_of(driver)
        .unwrap_or(CudaVersion::new(0, 0))
}

fn arch(catalog: &Catalog, gpu: &Gpu) -> Option<ComputeCapability> {
    let by_name = || {
        catalog
            .gpu(&gpu.name)
            .ok()
            .map(|product| product.capability)
    };
    gpu.compute_capability.or_else(by_name)
}

/// NVML calls a product by another brand on newer drivers.
fn brand<'a>(catalog: &'a Catalog, gpu: &'a Gpu, driver: &DriverVersion) -> Option<&'a str> {
    let by_name = || {
        let product = catalog.gpu(&gpu.name).ok()?;
        Some(product.brand_on(Some(driver)))
    };
    gpu.brand.as_deref().or_else(by_name)
}

fn refuse(
    catalog: &Catalog,
    host: &HostFacts,
    driver: &DriverVersion,
    gate: &ImageGate,
    unsatisfied: &Unsatisfied<'_>,
) -> Refusal {
    let variable = &unsatisfied.asked.variable;
    let gpu = unsatisfied.gpu.and_then(|index| host.gpus.get(index));
    let of_gpu = gpu.map_or_else(String::new, |gpu| {
        let brand = brand(catalog, gpu, driver).unwrap_or("unknown");
        format!(" for {} (brand {brand})", gpu.name)
    });
    let level = reported(catalog, driver);
    let reason = match &unsatisfied.unmet {
        Unmet::Condition { alternative } => format!(
            "driver {driver} reports CUDA {level}, which does not meet {alternative:?} of the image's {variable}{of_gpu}, nor \
             one of its other alternatives"
        ),
        Unmet::Malformed(error) => format!(
            "the image's {variable} is malformed, and the runtime refuses it as an {}: {error}",
            unsatisfied.unmet
        ),
    };
    if let Unmet::Malformed(_) = unsatisfied.unmet {
        let remedy = format!("mend {variable} in the image, or set NVIDIA_DISABLE_REQUIRE=1");
        return Refusal::new(Rule::ImageRequirement, reason, remedy, GATE);
    }
    let known: Vec<KnownGpu<'_>> = host
        .gpus
        .iter()
        .filter_map(|gpu| gpu_known(catalog, gpu).ok())
        .collect();
    let cure = Cure::find(catalog, host, driver, gate, &known);
    let mut remedies: Vec<String> = Vec::new();
    remedies.extend(cure.as_ref().map(|cure| cure.advice(&known)));
    if gate.cuda().is_some_and(|asked| asked > level) {
        remedies.push(format!("use an image for CUDA {level} or older"));
    }
    if let Some(served) = served_anyway(catalog, host, driver, gate, &known) {
        remedies.push(format!(
            "set NVIDIA_DISABLE_REQUIRE=1 or give GPUs in cdi mode, since {served}"
        ));
    }
    if remedies.is_empty() {
        remedies
            .push("use another image: no driver for this GPU meets what it requires".to_owned());
    }
    let refusal = Refusal::new(Rule::ImageRequirement, reason, remedies.join("; or "), GATE);
    match cure {
        Some(cure) => refusal.needing(cure.oldest),
        None => refusal,
    }
}

/// A newer driver that meets the requirement.
struct Cure {
    /// The oldest that does.
    oldest: DriverVersion,
    /// From this one on all do, as far as is known; none: the newest known does not.
    lasting: Option<DriverVersion>,
    /// The branches before that which do too, because the image lists them.
    listed: Vec<u32>,
}

impl Cure {
    /// Looks at the drivers that toolkits came with, at those that the requirement names, and at every branch.
    fn find(
        catalog: &Catalog,
        host: &HostFacts,
        driver: &DriverVersion,
        gate: &ImageGate,
        gpus: &[KnownGpu<'_>],
    ) -> Option<Self> {
        let last = gpus
            .iter()
            .filter_map(|gpu| gpu.row.last_driver_branch)
            .min();
        let mut candidates: Vec<DriverVersion> = catalog
            .cuda
            .rows()
            .filter_map(|toolkit| toolkit.native_driver(host.architecture).cloned())
            .chain(named_drivers(gate))
            .filter(|candidate| candidate > driver)
            .filter(|candidate| last.is_none_or(|last| candidate.branch() <= last))
            .collect();
        // A branch that no toolkit came with stands for itself.
        let bare = catalog
            .driver_branches
            .rows()
            .map(|row| row.branch)
            .filter(|branch| *branch > driver.branch() && last.is_none_or(|last| *branch <= last))
            .filter(|branch| candidates.iter().all(|one| one.branch() != *branch))
            .filter_map(|branch| branch.to_string().parse().ok())
            .collect::<Vec<DriverVersion>>();
        candidates.extend(bare);
        candidates.sort();
        candidates.dedup();
        let meets = |candidate: &&DriverVersion| evaluate(catalog, host, candidate, gate).is_none();
        let oldest = candidates.iter().find(meets)?.clone();
        let failing = candidates.iter().rposition(|candidate| !meets(&candidate));
        let lasting = candidates
            .get(failing.map_or(0, |index| index + 1))
            .cloned();
        let mut listed: Vec<u32> = candidates
            .iter()
            .take(failing.map_or(0, |index| index + 1))
            .filter(meets)
            .map(DriverVersion::branch)
            .collect();
        listed.dedup();
        Some(Self {
            oldest,
            lasting,
            listed,
        })
    }

    fn advice(&self, gpus: &[KnownGpu<'_>]) -> String {
        let Some((first, others)) = self.listed.split_first() else {
            return upgrade_to(&self.oldest, gpus);
        };
        let mut advice = format!("upgrade the driver to R{first} (≥ {})", self.oldest);
        for branch in others {
            advice += &format!(" or R{branch}");
        }
        advice += ", which the image lists";
        if let Some(lasting) = &self.lasting {
            advice += &format!(", or to ≥ {lasting}");
        }
        advice
    }
}

/// Drivers that the requirement compares with, where they are more exact than a branch.
fn named_drivers(gate: &ImageGate) -> impl Iterator<Item = DriverVersion> {
    gate.requirements()
        .iter()
        .flat_map(|asked| asked.requirement.alternatives())
        .flat_map(|alternative| alternative.conditions())
        .filter(|condition| condition.property() == Property::Driver)
        .filter(|condition| condition.value().contains('.'))
        .filter_map(|condition| condition.value().parse().ok())
}

/// What runs the image's CUDA although its requirement is not met, in a sentence's part; none: the rules do not agree that
/// it runs.
fn served_anyway(
    catalog: &Catalog,
    host: &HostFacts,
    driver: &DriverVersion,
    gate: &ImageGate,
    gpus: &[KnownGpu<'_>],
) -> Option<String> {
    if gpus.is_empty() || gpus.len() < host.gpus.len() {
        return None;
    }
    let toolkit = toolkit_of(catalog, gate)?;
    for gpu in gpus {
        super::driver_supports_gpu(driver, gpu).ok()?;
        cuda_supports_gpu(gpu, toolkit).ok()?;
    }
    let (compatibility, finding) =
        driver_runs_cuda(driver, host.architecture, toolkit, gpus).ok()?;
    let how = match compatibility {
        Compatibility::Minor => "minor-version compatibility serves it",
        _ => "the driver runs its CUDA natively",
    };
    Some(format!("{how}: {}", finding.fact))
}

fn toolkit_of<'a>(catalog: &'a Catalog, gate: &ImageGate) -> Option<&'a CudaToolkit> {
    let exact = gate
        .cuda_release()
        .and_then(|release| catalog.cuda_release(release));
    exact.or_else(|| catalog.cuda_releases(gate.cuda()?).last())
}

#[cfg(test)]
mod tests;
