//! TensorFlow's own kernels to GPU.

use serde::{Deserialize, Serialize};

use super::cuda::upgrade_to;
use super::{Finding, KnownGpu, Refusal, Rule};
use crate::catalog::{Catalog, TensorflowRelease};
use crate::recipe::CompatPackage;
use crate::version::{ComputeCapability, CudaVersion, DriverVersion};

/// What intermediate code (PTX) is worth.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PtxReading {
    /// Only what the host's driver can compile: one whose own CUDA is at least that of the compiler which wrote it.
    /// Minor-version compatibility does not cover this (CUDA_ERROR_UNSUPPORTED_PTX_VERSION, 222).
    #[default]
    Strict,
    /// All of it, as if the driver could.
    Lenient,
}

const BINARY_RULES: &str =
    "https://docs.nvidia.com/deploy/cuda-compatibility/minor-version-compatibility.html";

/// On some GPUs the official wheels do not run, whatever code they carry.
///
/// # Errors
/// If that is known of this GPU and TensorFlow.
pub fn known_gap(
    catalog: &Catalog,
    gpu: &KnownGpu<'_>,
    release: &TensorflowRelease,
) -> Result<(), Refusal> {
    let gap = catalog
        .tensorflow_gaps
        .rows()
        .find(|gap| gap.capabilities.contains(&gpu.capability()) && release.minor <= gap.until);
    let Some(gap) = gap else { return Ok(()) };
    let remedy = match gap.alternatives.as_slice() {
        [] => "wait for a TensorFlow newer than the catalog, or take an image that others built for it (tfleet image add)"
            .to_owned(),
        alternatives => format!(
            "no wheel from the index serves it; instead: {}",
            alternatives.join(", or ")
        ),
    };
    Err(Refusal::new(
        Rule::KnownGap,
        format!("{gpu}: {}", gap.fact),
        remedy,
        &gap.source,
    ))
}

/// Machine code for X.y runs on X.z with z ≥ y. Intermediate code for X.y can be compiled for any GPU from X.y on, by a
/// driver that knows it.
///
/// # Errors
/// If no code in the wheel runs on the GPU, or only code that this driver cannot compile.
pub fn machine_code(
    catalog: &Catalog,
    driver: &DriverVersion,
    gpu: &KnownGpu<'_>,
    release: &TensorflowRelease,
    reading: PtxReading,
    compat: Option<&CompatPackage>,
) -> Result<Finding, Refusal> {
    let compiler = Compiler {
        catalog,
        driver,
        compat,
    };
    let capability = gpu.capability();
    if let Some(compiles) = &release.driver_compiles
        && compiles.capabilities.contains(&capability)
        && reading == PtxReading::Strict
    {
        let fact = format!(
            "some kernels of TensorFlow {} have no machine code for {gpu}",
            release.minor
        );
        return compiler.compiles(gpu, compiles.cuda, &fact, &release.source);
    }
    let machine = release
        .sass
        .iter()
        .filter(|code| runs_on(**code, capability))
        .max();
    if let Some(code) = machine {
        let fact = format!(
            "TensorFlow {} has machine code {} for {gpu}",
            release.minor,
            spelled("sm", *code)
        );
        return Ok(Finding::new(Rule::MachineCode, fact, &release.source));
    }
    let intermediate = release.ptx.iter().filter(|code| **code <= capability).max();
    match intermediate {
        Some(code) => {
            let fact = format!(
                "TensorFlow {} has no machine code for {gpu}, only {} of CUDA {}",
                release.minor,
                spelled("compute", *code),
                release.cuda
            );
            match reading {
                PtxReading::Lenient => Ok(Finding::new(Rule::MachineCode, fact, &release.source)),
                PtxReading::Strict => compiler.compiles(gpu, release.cuda, &fact, &release.source),
            }
        }
        None => Err(no_code(gpu, release)),
    }
}

/// What turns intermediate code into machine code on the host: the driver, or the compat package's half of a newer one.
struct Compiler<'a> {
    catalog: &'a Catalog,
    driver: &'a DriverVersion,
    compat: Option<&'a CompatPackage>,
}

impl Compiler<'_> {
    /// Whether it can compile what a toolkit of level `cuda` wrote.
    fn compiles(
        &self,
        gpu: &KnownGpu<'_>,
        cuda: CudaVersion,
        fact: &str,
        source: &str,
    ) -> Result<Finding, Refusal> {
        let Self {
            catalog, driver, ..
        } = self;
        let native = || {
            let toolkit = catalog.newest_native(driver)?;
            Some(toolkit.release.level())
        };
        let (own, name) = match self.compat {
            Some(compat) => (Some(compat.cuda), compat.package.clone()),
            None => (native(), format!("driver {driver}")),
        };
        if let Some(own) = own.filter(|own| *own >= cuda) {
            return Ok(Finding::new(
                Rule::MachineCode,
                format!("{fact}; {name} (CUDA {own}) compiles it"),
                source,
            ));
        }
        let own = own.map_or_else(|| "an older CUDA".to_owned(), |own| format!("CUDA {own}"));
        let reason =
            format!("{fact}; {name} ({own}) cannot compile that: it takes a driver of CUDA {cuda}");
        let needed = catalog
            .cuda_releases(cuda)
            .find_map(|toolkit| toolkit.driver.as_ref());
        Err(match needed {
            Some(needed)
                if gpu
                    .row
                    .last_driver_branch
                    .is_none_or(|last| needed.branch() <= last) =>
            {
                let remedy = upgrade_to(needed, std::slice::from_ref(gpu));
                Refusal::new(Rule::MachineCode, reason, remedy, BINARY_RULES)
                    .needing(needed.clone())
            }
            _ => Refusal::new(
                Rule::MachineCode,
                reason,
                "choose another TensorFlow",
                BINARY_RULES,
            ),
        })
    }
}

fn no_code(gpu: &KnownGpu<'_>, release: &TensorflowRelease) -> Refusal {
    let listed = release
        .sass
        .iter()
        .map(|code| spelled("sm", *code))
        .collect::<Vec<_>>()
        .join(", ");
    let remedy = if release.sass.iter().all(|code| gpu.capability() < *code) {
        "choose an older TensorFlow: this one has dropped the GPU"
    } else {
        "choose another TensorFlow: this one has no code for the GPU"
    };
    let reason = format!(
        "TensorFlow {} has no code for {gpu}: it has {listed}",
        release.minor
    );
    Refusal::new(Rule::MachineCode, reason, remedy, &release.source)
}

/// Whether machine code for one compute capability runs on a GPU of another.
fn runs_on(code: ComputeCapability, gpu: ComputeCapability) -> bool {
    code.major() == gpu.major() && code.minor() <= gpu.minor()
}

/// `sm_75`, `compute_90`.
fn spelled(kind: &str, code: ComputeCapability) -> String {
    format!("{kind}_{}{}", code.major(), code.minor())
}
