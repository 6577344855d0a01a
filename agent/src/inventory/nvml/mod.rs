//! NVML, the driver's own library: driver, CUDA level and GPUs. All of it blocks.

mod call;
mod gpu;
mod older;

use std::ffi::OsStr;

use nvml_wrapper::Nvml;
use nvml_wrapper::error::NvmlError;
use nvml_wrapper_sys::bindings::NvmlLib;
use tfleet_proto::model::inventory::{Gpu, Source};

use super::kernel_module::KernelModule;
use super::lone_thread::Steps;
use super::notes::Notes;

/// The only name that is there on every distribution; the link without the number comes with development packages.
pub(super) const LIBRARY: &str = "libnvidia-ml.so.1";

/// What NVML says.
#[derive(Debug)]
pub(super) struct Seen {
    pub driver_version: String,
    /// "11.4". `None` up to 384, whose library had no call for it.
    pub cuda_version: Option<String>,
    pub gpus: Vec<Gpu>,
    pub notes: Notes,
}

/// Looks once. NVML is initialised anew each time: a library that stays open goes on telling the version that it was
/// opened with, so that a driver that is upgraded or reloaded under a running agent would not be noticed, and it keeps
/// the old module from being unloaded.
///
/// Initialised without flags, since the call that takes them is missing on 340.
pub(super) fn look(
    library: &OsStr,
    kernel: &KernelModule,
    steps: &Steps,
) -> Result<Seen, NvmlError> {
    let nvml = Nvml::builder().lib_path(library).init()?;
    steps.step();
    let seen = ask(&nvml, kernel, steps);
    if nvml.lib().nvmlShutdown.is_err() {
        // The wrapper would panic for want of that call.
        std::mem::forget(nvml);
    }
    seen
}

fn ask(nvml: &Nvml, kernel: &KernelModule, steps: &Steps) -> Result<Seen, NvmlError> {
    let mut notes = Notes::default();
    let driver_version = nvml.sys_driver_version()?;
    notes.source("driver.version", Source::Nvml);
    let cuda_version = match call::newest(&[&|| nvml.sys_cuda_driver_version(), &|| {
        older::cuda_version(nvml)
    }]) {
        Ok(Some((version, source))) => {
            notes.source("driver.cuda_version", source);
            Some(format!("{}.{}", version / 1000, version % 1000 / 10))
        }
        Ok(None) => None,
        Err(error) => {
            notes.warn(format!(
                "NVML does not tell the newest CUDA that the driver supports: {error}"
            ));
            None
        }
    };
    let gpus = gpu::look(nvml, kernel, steps, &mut notes)?;
    Ok(Seen {
        driver_version,
        cuda_version,
        gpus,
        notes,
    })
}

/// The driver version that a library belongs to, where it cannot be initialised.
pub(super) fn library_version(library: &OsStr) -> Result<String, NvmlError> {
    // SAFETY: the library is the driver's own, which the agent opens at each look.
    let library = unsafe { NvmlLib::new(library) }?;
    let version = older::library_version(&library)?;
    // The first number is CUDA's.
    Ok(version
        .split_once('.')
        .map_or(version.clone(), |(_, driver)| driver.to_owned()))
}
