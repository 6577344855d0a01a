//! The NVIDIA driver and its GPUs: NVML first, then nvidia-smi, the kernel module and the catalog for what is missing.

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use nvml_wrapper::error::NvmlError;
use tfleet_compat::{Catalog, DriverVersion};
use tfleet_proto::model::failure::Failure;
use tfleet_proto::model::inventory::{Driver, Gpu, Source};

use super::kernel_module::KernelModule;
use super::lone_thread::LoneThread;
use super::notes::Notes;
use super::nvml;
use super::silent_gpu::{add_unlisted, behind, unlisted};
use super::smi::{self, SmiError};

/// A driver that says nothing for so long is hung: a call takes milliseconds, waking a GPU takes seconds.
const SILENT_FOR: Duration = Duration::from_secs(60);
/// The kernel module answers from memory, unless it holds the very lock that a hung driver waits for.
const MODULE_SILENT_FOR: Duration = Duration::from_secs(10);
/// Stands for the version of a library that cannot be asked.
const UNKNOWN: &str = "unknown";

/// What can be said about driver and GPUs.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub driver: Option<Driver>,
    pub gpus: Vec<Gpu>,
}

/// Where the driver is looked for.
#[derive(Debug, Clone)]
pub(super) struct DriverProbe {
    library: OsString,
    proc: PathBuf,
    inside_nvml: LoneThread,
    inside_proc: LoneThread,
}

/// What NVML brings.
struct Answers {
    nvml: Result<nvml::Seen, NvmlError>,
    /// Asked only if NVML refuses to work.
    library_version: Option<String>,
}

impl DriverProbe {
    pub fn new(proc: PathBuf) -> Self {
        Self {
            library: nvml::LIBRARY.into(),
            proc,
            inside_nvml: LoneThread::new(SILENT_FOR),
            inside_proc: LoneThread::new(MODULE_SILENT_FOR),
        }
    }

    pub fn set_library(&mut self, library: PathBuf) {
        self.library = library.into_os_string();
    }

    pub fn set_proc(&mut self, proc: PathBuf) {
        self.proc = proc;
    }

    pub async fn look(&self, notes: &mut Notes) -> Seen {
        // Before NVML, since it must be known also when that hangs.
        let kernel = self.kernel_module(notes).await;
        let mut seen = match self.ask(kernel.clone()).await {
            None => {
                let fault = Failure::new("driver-hung", "the NVIDIA driver does not answer")
                    .with_remedy("see the kernel's log on the host for NVRM lines, and reboot it");
                faulty(fault, None, &kernel, notes)
            }
            Some(Answers { nvml: Ok(nvml), .. }) => with_nvml(nvml, &kernel, notes),
            Some(Answers {
                nvml: Err(error),
                library_version,
            }) => without_nvml(&error, library_version, &kernel, notes).await,
        };
        if let Some(driver) = &mut seen.driver {
            add_kernel_module(driver, kernel.version, notes);
            add_cuda_level(driver, notes);
        }
        add_compute_capabilities(&mut seen, notes).await;
        seen
    }

    async fn kernel_module(&self, notes: &mut Notes) -> KernelModule {
        let proc = self.proc.clone();
        let work = self.inside_proc.run(move |_| {
            let mut notes = Notes::default();
            (KernelModule::look(&proc, &mut notes), notes)
        });
        let Some((kernel, read)) = work.await else {
            notes.warn("the NVIDIA kernel module does not answer");
            return KernelModule::default();
        };
        notes.append(read);
        kernel
    }

    /// `None`: NVML hangs, now or since an earlier look.
    async fn ask(&self, kernel: KernelModule) -> Option<Answers> {
        let library = self.library.clone();
        let work = self.inside_nvml.run(move |steps| {
            let nvml = nvml::look(&library, &kernel, steps);
            let library_version = match &nvml {
                Err(error) if is_installed(error) => nvml::library_version(&library).ok(),
                _ => None,
            };
            Answers {
                nvml,
                library_version,
            }
        });
        work.await
    }
}

fn with_nvml(nvml: nvml::Seen, kernel: &KernelModule, notes: &mut Notes) -> Seen {
    notes.append(nvml.notes);
    let mut gpus = nvml.gpus;
    add_left_out("NVML", &mut gpus, kernel, notes);
    Seen {
        driver: Some(Driver {
            cuda_version: nvml.cuda_version,
            ..driver(&nvml.driver_version)
        }),
        gpus,
    }
}

/// Adds the GPUs that `who` left out, each with a warning.
fn add_left_out(who: &str, gpus: &mut Vec<Gpu>, kernel: &KernelModule, notes: &mut Notes) {
    let listed = gpus.len();
    add_unlisted(gpus, kernel, |gpu| unlisted(who, gpu), notes);
    for fault in gpus[listed..].iter().filter_map(|gpu| gpu.fault.as_ref()) {
        notes.warn(fault.to_string());
    }
}

/// A driver that does not work, with the GPUs that its kernel module knows.
fn faulty(
    fault: Failure,
    library_version: Option<String>,
    kernel: &KernelModule,
    notes: &mut Notes,
) -> Seen {
    notes.warn(fault.message.clone());
    let mut gpus = Vec::new();
    add_unlisted(&mut gpus, kernel, |gpu| behind(&fault, gpu), notes);
    let version = match (library_version, &kernel.version) {
        (Some(version), _) => {
            notes.source("driver.version", Source::Nvml);
            version
        }
        (None, Some(version)) => {
            notes.source("driver.version", Source::Proc);
            version.clone()
        }
        (None, None) => UNKNOWN.to_owned(),
    };
    Seen {
        driver: Some(Driver {
            fault: Some(fault),
            ..driver(&version)
        }),
        gpus,
    }
}

/// Whether the library is there and refuses by itself.
fn is_installed(error: &NvmlError) -> bool {
    !matches!(error, NvmlError::LibloadingError(_))
}

/// What is left where NVML does not work.
async fn without_nvml(
    error: &NvmlError,
    library_version: Option<String>,
    kernel: &KernelModule,
    notes: &mut Notes,
) -> Seen {
    if let NvmlError::DriverNotLoaded | NvmlError::LibRmVersionMismatch = error {
        // nvidia-smi would say the same: it uses the library.
        let fault = refusal(error, library_version.as_deref(), kernel);
        return faulty(fault, library_version, kernel, notes);
    }
    by_smi(smi::look().await, error, library_version, kernel, notes)
}

/// What nvidia-smi says, or what its silence leaves.
fn by_smi(
    answer: Result<smi::Seen, SmiError>,
    error: &NvmlError,
    library_version: Option<String>,
    kernel: &KernelModule,
    notes: &mut Notes,
) -> Seen {
    let smi = match answer {
        Ok(smi) => smi,
        Err(SmiError::Missing | SmiError::NoDriver)
            if !is_installed(error) && !kernel.is_loaded() =>
        {
            return Seen::default();
        }
        Err(smi) => {
            let fault = Failure::new(
                "nvml-failed",
                format!("NVML does not work ({error}), and {smi}"),
            )
            .with_remedy(format!(
                "install the driver's libraries, so that {} can be loaded",
                nvml::LIBRARY
            ));
            return faulty(fault, library_version, kernel, notes);
        }
    };
    notes.warn(format!(
        "NVML does not work ({error}); nvidia-smi was asked instead"
    ));
    notes.append(smi.notes);
    let mut gpus = smi.gpus;
    add_left_out("nvidia-smi", &mut gpus, kernel, notes);
    let version = smi
        .driver_version
        .or_else(|| kernel.version.clone())
        .unwrap_or_else(|| UNKNOWN.to_owned());
    Seen {
        driver: Some(driver(&version)),
        gpus,
    }
}

fn add_kernel_module(driver: &mut Driver, version: Option<String>, notes: &mut Notes) {
    let Some(module) = version else { return };
    notes.source("driver.kernel_module_version", Source::Proc);
    if driver.fault.is_none() && module != driver.version {
        let fault = mismatch(&driver.version, &module);
        notes.warn(fault.message.clone());
        driver.fault = Some(fault);
    }
    driver.kernel_module_version = Some(module);
}

fn add_cuda_level(driver: &mut Driver, notes: &mut Notes) {
    if driver.cuda_version.is_some() {
        return;
    }
    let Ok(version) = driver.version.parse::<DriverVersion>() else {
        return;
    };
    driver.cuda_version = Catalog::builtin()
        .cuda_level_of(&version)
        .map(|level| level.to_string());
    if driver.cuda_version.is_some() {
        notes.source("driver.cuda_version", Source::Catalog);
    }
}

/// Asks nvidia-smi, then the catalog, for what NVML has no call for on 340, or could not say of a lost GPU.
async fn add_compute_capabilities(seen: &mut Seen, notes: &mut Notes) {
    let gpus = &mut seen.gpus;
    if gpus.iter().all(|gpu| gpu.compute_capability.is_some()) {
        return;
    }
    let is_faulty = seen
        .driver
        .as_ref()
        .is_some_and(|driver| driver.fault.is_some());
    let by_smi = match is_faulty {
        // It would fail as NVML did, or hang with it.
        true => HashMap::new(),
        // A refusal leaves the catalog, whose own silence is said below.
        false => smi::compute_capabilities().await.unwrap_or_default(),
    };
    for gpu in gpus
        .iter_mut()
        .filter(|gpu| gpu.compute_capability.is_none())
    {
        let (capability, source) = match (by_smi.get(&gpu.uuid), Catalog::builtin().gpu(&gpu.name))
        {
            (Some(capability), _) => (capability.clone(), Source::NvidiaSmi),
            (None, Ok(product)) => (product.capability.to_string(), Source::Catalog),
            (None, Err(unknown)) => {
                notes.warn(format!(
                    "the compute capability of GPU {} is not known: {unknown}",
                    gpu.index
                ));
                continue;
            }
        };
        gpu.compute_capability = Some(capability);
        notes.source(format!("gpus[{}].compute_capability", gpu.uuid), source);
    }
}

fn driver(version: &str) -> Driver {
    Driver {
        version: version.to_owned(),
        kernel_module_version: None,
        cuda_version: None,
        fault: None,
    }
}

fn refusal(error: &NvmlError, library: Option<&str>, kernel: &KernelModule) -> Failure {
    match error {
        NvmlError::LibRmVersionMismatch => mismatch(
            library.unwrap_or(UNKNOWN),
            kernel.version.as_deref().unwrap_or(UNKNOWN),
        ),
        error => Failure::new(
            "driver-not-loaded",
            format!("the NVIDIA driver is installed and not loaded: {error}"),
        )
        .with_remedy("run `modprobe nvidia`; if it fails, the kernel's log says why"),
    }
}

fn mismatch(library: &str, module: &str) -> Failure {
    Failure::new(
        "driver-mismatch",
        format!("the driver's library has version {library} and the loaded kernel module {module}"),
    )
    .with_remedy("reboot, or reload the nvidia modules")
}

#[cfg(test)]
mod tests;
