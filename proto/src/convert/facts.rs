//! From an inventory to what the compatibility rules ask about.
//!
//! The coordinator plans with it and the agent checks with it before it creates a container, so that both judge a host
//! alike.

use std::collections::BTreeSet;

use tfleet_compat::{
    DriverHealth, DriverVersion, Gpu, GpuHealth, GpuMode, HostFacts, HostName, RuntimeMode,
    VersionError,
};

use crate::model::inventory::{self, Inventory};

/// What the rules ask about.
///
/// # Errors
/// On an architecture that the rules know nothing about.
pub fn facts(name: impl Into<HostName>, inventory: &Inventory) -> Result<HostFacts, VersionError> {
    let driver = inventory.driver.as_ref();
    let flags: BTreeSet<String> = inventory.machine.cpu_flags.iter().cloned().collect();
    let engine_answers = inventory.engine.fault.is_none();
    let mut facts = HostFacts::new(name);
    facts.architecture = inventory.machine.architecture.parse()?;
    facts.driver_version = driver.and_then(|driver| driver.version.parse().ok());
    facts.driver_health = driver.map(driver_health).unwrap_or_default();
    facts.cpu_flags = (!flags.is_empty()).then_some(flags);
    facts.gpus = inventory.gpus.iter().map(gpu).collect();
    // An engine that does not answer has no ways to tell, which is not the same as having none.
    facts.gpu_modes =
        engine_answers.then(|| inventory.gpu_modes.iter().copied().map(mode).collect());
    facts.runtime_mode = inventory.runtime_mode.map(runtime_mode).unwrap_or_default();
    facts.labels.clone_from(&inventory.labels);
    Ok(facts)
}

/// A host whose driver has any fault is meant to compute on GPUs: taking it for a healthy one without GPUs would give it
/// the CPU's image, and nobody would hear of the fault.
fn driver_health(driver: &inventory::Driver) -> DriverHealth {
    let library: Option<DriverVersion> = driver.version.parse().ok();
    match (&driver.kernel_module_version, &driver.fault) {
        // Only two versions that are known can differ: a library that cannot be asked has "unknown" for a version.
        (Some(module), _) if *module != driver.version && library.is_some() => {
            DriverHealth::Mismatch {
                kernel_module: module.parse().ok(),
            }
        }
        (_, Some(fault)) => DriverHealth::Failed {
            reason: fault.message.clone(),
            remedy: fault.remedy.clone(),
        },
        (_, None) => DriverHealth::Working,
    }
}

fn gpu(gpu: &inventory::Gpu) -> Gpu {
    let mut facts = Gpu::named(&gpu.name);
    facts.compute_capability = gpu
        .compute_capability
        .as_ref()
        .and_then(|capability| capability.parse().ok());
    facts.memory_bytes = gpu.memory_bytes;
    facts.health = match &gpu.fault {
        Some(fault) => GpuHealth::Failed {
            reason: fault.message.clone(),
            remedy: fault.remedy.clone(),
        },
        None => GpuHealth::Working,
    };
    facts
}

fn mode(mode: inventory::GpuMode) -> GpuMode {
    match mode {
        inventory::GpuMode::VolumePlugin => GpuMode::Plugin,
        inventory::GpuMode::Runtime => GpuMode::Runtime,
        inventory::GpuMode::DeviceRequest => GpuMode::DeviceRequest,
        inventory::GpuMode::Cdi => GpuMode::Cdi,
    }
}

fn runtime_mode(mode: inventory::RuntimeMode) -> RuntimeMode {
    match mode {
        inventory::RuntimeMode::Legacy => RuntimeMode::Legacy,
        inventory::RuntimeMode::Csv => RuntimeMode::Csv,
        inventory::RuntimeMode::Cdi => RuntimeMode::Cdi,
        inventory::RuntimeMode::JitCdi => RuntimeMode::JitCdi,
    }
}

#[cfg(test)]
mod tests;
