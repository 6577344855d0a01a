//! The prestart hook: whether this machine serves what the container asks for.

use std::path::{Path, PathBuf};

use serde_json::Value;
use tfleet_fake_gpu::{GpuFileError, Machine};

use crate::bundle::{self, BundleError};
use crate::request::Request;
use crate::requirement::{Requirement, RequirementError, Subject};

/// In the words of `nvidia-container-cli`, which begin with the class of the error.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    #[error("initialization error: nvml error: driver not loaded")]
    DriverNotLoaded,
    #[error("initialization error: nvml error: driver/library version mismatch")]
    Mismatch,
    #[error("detection error: nvml error: gpu is lost")]
    Lost,
    #[error("device error: {0}: unknown device")]
    UnknownDevice(String),
    #[error("requirement error: {0}")]
    Requirement(#[from] RequirementError),
    #[error("input error: {0}")]
    State(#[from] serde_json::Error),
    #[error("input error: {0}")]
    Bundle(#[from] BundleError),
    #[error("initialization error: {0}")]
    GpuFile(#[from] GpuFileError),
}

/// `state` is the container's state, as OCI's runtime specification has it.
pub fn check(state: &str, gpu_file: &Path) -> Result<(), Refusal> {
    let state: Value = serde_json::from_str(state)?;
    let folder = PathBuf::from(state["bundle"].as_str().unwrap_or("."));
    let config = bundle::read(&folder)?;
    match bundle::request(&config) {
        Some(request) => serve(&request, &Machine::read(gpu_file)?),
        None => Ok(()),
    }
}

/// In the order of the real one: driver, GPUs, the devices asked for, requirements.
fn serve(request: &Request, machine: &Machine) -> Result<(), Refusal> {
    let Some(driver) = &machine.driver_version else {
        return Err(Refusal::DriverNotLoaded);
    };
    if machine.is_mismatched() {
        return Err(Refusal::Mismatch);
    }
    if machine.gpus.iter().any(|gpu| gpu.lost) {
        return Err(Refusal::Lost);
    }
    let selected = request
        .devices
        .select(machine)
        .map_err(Refusal::UnknownDevice)?;
    let cuda = machine
        .cuda_version
        .map_or_else(|| "0.0".to_owned(), |cuda| cuda.to_string());
    for requirement in &request.requirements {
        let requirement = Requirement::parse(requirement)?;
        let mut gpus: Vec<_> = selected.iter().map(|(_, gpu)| Some(*gpu)).collect();
        if gpus.is_empty() {
            gpus.push(None);
        }
        for gpu in gpus {
            requirement.check(Subject {
                cuda: &cuda,
                driver,
                gpu,
            })?;
        }
    }
    Ok(())
}
