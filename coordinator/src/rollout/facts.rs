//! An inventory, as far as compatibility goes.

use std::collections::BTreeSet;

use tfleet_compat::{Architecture, DriverHealth, Gpu, GpuHealth, GpuMode, HostFacts};
use tfleet_proto::model::inventory::{self, Inventory};
use tfleet_proto::model::name::HostName;

/// What the rules ask about. `architecture` is the inventory's, which the rules may not know.
pub(super) fn facts(
    name: &HostName,
    inventory: &Inventory,
    architecture: Architecture,
) -> HostFacts {
    let driver = inventory.driver.as_ref();
    let flags: BTreeSet<String> = inventory.machine.cpu_flags.iter().cloned().collect();
    let engine_answers = inventory.engine.fault.is_none();
    let mut facts = HostFacts::new(name.as_str());
    facts.driver_version = driver.and_then(|driver| driver.version.parse().ok());
    facts.driver_health = driver.map(driver_health).unwrap_or_default();
    facts.architecture = architecture;
    facts.cpu_flags = (!flags.is_empty()).then_some(flags);
    facts.gpus = inventory.gpus.iter().map(gpu).collect();
    facts.gpu_modes =
        engine_answers.then(|| inventory.gpu_modes.iter().copied().map(mode).collect());
    facts.labels.clone_from(&inventory.labels);
    facts
}

fn driver_health(driver: &inventory::Driver) -> DriverHealth {
    match &driver.kernel_module_version {
        Some(module) if *module != driver.version => DriverHealth::Mismatch {
            kernel_module: module.parse().ok(),
        },
        None if driver.fault.is_some() => DriverHealth::NotLoaded,
        _ => DriverHealth::Working,
    }
}

fn gpu(gpu: &inventory::Gpu) -> Gpu {
    let mut facts = Gpu::named(&gpu.name);
    facts.compute_capability = gpu
        .compute_capability
        .as_ref()
        .and_then(|capability| capability.parse().ok());
    facts.memory_bytes = gpu.memory_bytes;
    facts.health = match gpu.fault {
        Some(_) => GpuHealth::Lost,
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
