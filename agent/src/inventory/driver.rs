//! The NVIDIA driver and its GPUs: NVML first, then nvidia-smi, the kernel module and the catalog for what is missing.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use nvml_wrapper::error::NvmlError;
use tfleet_compat::{Catalog, DriverVersion};
use tfleet_proto::model::failure::Failure;
use tfleet_proto::model::inventory::{Driver, Gpu, Source};
use tokio::sync::Semaphore;

use super::kernel_module::KernelModule;
use super::notes::Notes;
use super::nvml;
use super::smi::{self, SmiError};

/// A driver that has not answered by then is hung: each call takes milliseconds.
const SILENT_FOR: Duration = Duration::from_secs(60);
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
    /// Held by the thread that is inside NVML. One that hangs there cannot be ended, so that it must be the last.
    inside: Arc<Semaphore>,
}

/// What the blocking part brings.
struct Answers {
    kernel: KernelModule,
    nvml: Result<nvml::Seen, NvmlError>,
    /// Asked only if NVML refuses to work.
    library_version: Option<String>,
    notes: Notes,
}

impl DriverProbe {
    pub fn new(proc: PathBuf) -> Self {
        Self {
            library: nvml::LIBRARY.into(),
            proc,
            inside: Arc::new(Semaphore::new(1)),
        }
    }

    pub fn set_library(&mut self, library: PathBuf) {
        self.library = library.into_os_string();
    }

    pub fn set_proc(&mut self, proc: PathBuf) {
        self.proc = proc;
    }

    pub async fn look(&self, notes: &mut Notes) -> Seen {
        let Some(answers) = self.ask().await else {
            let message = "the NVIDIA driver does not answer";
            notes.warn(message);
            let fault = Failure::new("driver-hung", message)
                .with_remedy("see the kernel's log on the host for NVRM lines, and reboot it");
            return Seen {
                driver: Some(Driver {
                    fault: Some(fault),
                    ..driver(UNKNOWN)
                }),
                gpus: Vec::new(),
            };
        };
        notes.append(answers.notes);
        let mut seen = match answers.nvml {
            Ok(nvml) => {
                notes.append(nvml.notes);
                let driver = Driver {
                    cuda_version: nvml.cuda_version,
                    ..driver(&nvml.driver_version)
                };
                Seen {
                    driver: Some(driver),
                    gpus: nvml.gpus,
                }
            }
            Err(error) => {
                without_nvml(&error, answers.library_version, &answers.kernel, notes).await
            }
        };
        if let Some(driver) = &mut seen.driver {
            add_kernel_module(driver, answers.kernel.version, notes);
            add_cuda_level(driver, notes);
        }
        add_compute_capabilities(&mut seen.gpus, notes).await;
        seen
    }

    /// `None`: NVML hangs, now or since an earlier look.
    async fn ask(&self) -> Option<Answers> {
        let held = Arc::clone(&self.inside).try_acquire_owned().ok()?;
        let probe = self.clone();
        let work = tokio::task::spawn_blocking(move || {
            let _held = held;
            let mut notes = Notes::default();
            let kernel = KernelModule::look(&probe.proc, &mut notes);
            let nvml = nvml::look(&probe.library, &kernel);
            let library_version = match &nvml {
                Err(error) if is_installed(error) => nvml::library_version(&probe.library).ok(),
                _ => None,
            };
            Answers {
                kernel,
                nvml,
                library_version,
                notes,
            }
        });
        tokio::time::timeout(SILENT_FOR, work).await.ok()?.ok()
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
        let version = library_version.unwrap_or_else(|| UNKNOWN.to_owned());
        let fault = fault(error, &version, kernel);
        notes.warn(fault.message.clone());
        return Seen {
            driver: Some(Driver {
                fault: Some(fault),
                ..driver(&version)
            }),
            gpus: Vec::new(),
        };
    }
    let smi = match smi::look().await {
        Ok(seen) => seen,
        Err(SmiError::Missing | SmiError::NoDriver)
            if !is_installed(error) && kernel.version.is_none() =>
        {
            return Seen::default();
        }
        Err(smi) => {
            let version = library_version
                .or_else(|| kernel.version.clone())
                .unwrap_or_else(|| UNKNOWN.to_owned());
            let fault = Failure::new(
                "nvml-failed",
                format!("NVML does not work ({error}), and {smi}"),
            )
            .with_remedy(format!(
                "install the driver's libraries, so that {} can be loaded",
                nvml::LIBRARY
            ));
            notes.warn(fault.message.clone());
            return Seen {
                driver: Some(Driver {
                    fault: Some(fault),
                    ..driver(&version)
                }),
                gpus: Vec::new(),
            };
        }
    };
    notes.warn(format!(
        "NVML does not work ({error}); nvidia-smi was asked instead"
    ));
    notes.append(smi.notes);
    let version = smi
        .driver_version
        .or_else(|| kernel.version.clone())
        .unwrap_or_else(|| UNKNOWN.to_owned());
    Seen {
        driver: Some(driver(&version)),
        gpus: smi.gpus,
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
async fn add_compute_capabilities(gpus: &mut [Gpu], notes: &mut Notes) {
    if gpus.iter().all(|gpu| gpu.compute_capability.is_some()) {
        return;
    }
    // A refusal leaves the catalog, whose own silence is said below.
    let by_smi = smi::compute_capabilities().await.unwrap_or_default();
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

fn fault(error: &NvmlError, library: &str, kernel: &KernelModule) -> Failure {
    match (error, &kernel.version) {
        (NvmlError::LibRmVersionMismatch, module) => {
            mismatch(library, module.as_deref().unwrap_or(UNKNOWN))
        }
        (error, _) => Failure::new(
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
