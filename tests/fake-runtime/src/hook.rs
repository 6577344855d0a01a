//! The prestart hook: whether this machine serves what the container asks for.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tfleet_fake_gpu::{GpuFileError, Machine};

use crate::bundle::{self, BundleError};
use crate::request::Request;
use crate::requirement::{self, RequirementError, Subject};

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
    #[error("failed to get requirements: failed to get version: invalid CUDA version {0}")]
    UnreadableVersion(String),
    #[error("requirement error: {0}")]
    Requirement(#[from] RequirementError),
    #[error("input error: {0}")]
    State(#[from] serde_json::Error),
    #[error("input error: {0}")]
    Bundle(#[from] BundleError),
    #[error("mount error: {0}")]
    Mount(std::io::Error),
    #[error("initialization error: {0}")]
    GpuFile(#[from] GpuFileError),
}

/// The container's state, as far as it matters (OCI runtime specification).
pub struct State {
    pid: u64,
    config: Value,
    root: PathBuf,
}

impl State {
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        let state: Value = serde_json::from_str(text)?;
        let folder = PathBuf::from(state["bundle"].as_str().unwrap_or("."));
        let config = bundle::read(&folder)?;
        let root = folder.join(config["root"]["path"].as_str().unwrap_or("rootfs"));
        Ok(Self {
            pid: state["pid"].as_u64().unwrap_or_default(),
            config,
            root,
        })
    }
}

pub fn check(state: &State, gpu_file: &Path) -> Result<(), Refusal> {
    match bundle::request(&state.config) {
        Some(request) => serve(&request, &Machine::read(gpu_file)?),
        None => Ok(()),
    }
}

/// Puts stand-ins for the device files into a container that exists already, before its program starts.
pub fn mount_devices(state: &State, gpu_file: &Path) -> Result<(), Refusal> {
    let Some(request) = bundle::request(&state.config) else {
        return Ok(());
    };
    let machine = Machine::read(gpu_file)?;
    let selected = request
        .devices
        .select(&machine)
        .map_err(Refusal::UnknownDevice)?;
    let devices = selected.iter().map(|(index, _)| format!("nvidia{index}"));
    // In the container's mounts, but still with the root that the runtime itself has.
    let status = Command::new("nsenter")
        .args([
            "--target",
            &state.pid.to_string(),
            "--mount",
            "--root",
            "--",
            "sh",
            "-euc",
        ])
        .arg("cd \"$1\"; shift; for device; do : >\"dev/$device\"; done")
        .arg("devices")
        .arg(&state.root)
        .args(["nvidiactl".to_owned(), "nvidia-uvm".to_owned()])
        .args(devices)
        .status()
        .map_err(Refusal::Mount)?;
    if status.success() {
        return Ok(());
    }
    Err(Refusal::Mount(std::io::Error::other(status.to_string())))
}

/// In the order of the real one: what the container asks for, driver, GPUs, the devices asked for, requirements.
///
/// # Errors
/// What the real one refuses.
pub fn serve(request: &Request, machine: &Machine) -> Result<(), Refusal> {
    if let Some(version) = &request.unreadable_version {
        return Err(Refusal::UnreadableVersion(version.clone()));
    }
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
    let mut gpus: Vec<_> = selected.iter().map(|(_, gpu)| Some(*gpu)).collect();
    if gpus.is_empty() {
        gpus.push(None);
    }
    // Every requirement for one GPU before the next GPU (configure_command).
    for gpu in gpus {
        for requirement in &request.requirements {
            let subject = Subject {
                cuda: &cuda,
                driver,
                gpu,
            };
            requirement::check(requirement, subject)?;
        }
    }
    Ok(())
}
