//! The planner's own check, asked again on the host before a container is made: driver or GPUs may have changed since.

use std::collections::BTreeSet;

use tfleet_compat::{
    Architecture, Catalog, DriverHealth, Gpu, GpuHealth, GpuMode, HostFacts, Recipe, Rule,
    TensorflowVersion, Verdict, check as ask,
};
use tfleet_proto::model::desired::{ContainerSpec, GpuRequest};
use tfleet_proto::model::failure::Failure;
use tfleet_proto::model::inventory::{self, Inventory};
use tfleet_proto::model::name::VariantId;
use tracing::debug;

/// Asks the rules about the variant that `spec` runs. A variant that the catalog has no recipe for (an image that
/// others built) is let pass: the rules know nothing about it.
pub(super) fn check(
    catalog: &Catalog,
    inventory: &Inventory,
    spec: &ContainerSpec,
) -> Result<(), Failure> {
    let Some((facts, mut recipe)) = facts(inventory).and_then(|facts| {
        let recipe = recipe(catalog, &spec.variant, facts.architecture)?;
        Some((facts, recipe))
    }) else {
        debug!(variant = %spec.variant, "no recipe is known for the variant; compatibility is not checked");
        return Ok(());
    };
    if spec.gpus == GpuRequest::None {
        // Without GPUs the CUDA libraries lie idle.
        recipe.cuda = None;
    }
    match ask(catalog, &facts, &recipe) {
        Verdict::Accepted { .. } => Ok(()),
        Verdict::Refused { refusal, .. } => {
            let message = format!("{} cannot run on this host: {refusal}", spec.variant);
            Err(Failure::new("incompatible", message)
                .with_rule(name_of(refusal.rule))
                .with_remedy(refusal.remedy))
        }
    }
}

/// The recipe that has the variant's name.
fn recipe(catalog: &Catalog, variant: &VariantId, architecture: Architecture) -> Option<Recipe> {
    let version: TensorflowVersion = variant
        .as_str()
        .strip_prefix("tf")?
        .split('-')
        .next()?
        .parse()
        .ok()?;
    let release = catalog.tensorflow_release(version.minor())?;
    let recipes = [
        Recipe::for_gpu(catalog, release, &version, architecture),
        Recipe::for_cpu(catalog, release, &version, architecture),
    ];
    recipes
        .into_iter()
        .flatten()
        .find(|recipe| recipe.id.as_str() == variant.as_str())
}

/// What the rules ask about; `None` on an architecture that they know nothing about.
fn facts(inventory: &Inventory) -> Option<HostFacts> {
    let architecture = inventory.machine.architecture.parse().ok()?;
    let driver = inventory.driver.as_ref();
    let flags: BTreeSet<String> = inventory.machine.cpu_flags.iter().cloned().collect();
    let mut facts = HostFacts::new("this host");
    facts.driver_version = driver.and_then(|driver| driver.version.parse().ok());
    facts.driver_health = driver.map(driver_health).unwrap_or_default();
    facts.architecture = architecture;
    facts.cpu_flags = (!flags.is_empty()).then_some(flags);
    facts.gpus = inventory.gpus.iter().map(gpu).collect();
    // An engine that does not answer has no ways to tell, which is not the same as having none.
    facts.gpu_modes = inventory
        .engine
        .fault
        .is_none()
        .then(|| inventory.gpu_modes.iter().map(gpu_mode).collect());
    Some(facts)
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
    let mut facts = Gpu::named(gpu.name.as_str());
    facts.compute_capability = gpu
        .compute_capability
        .as_ref()
        .and_then(|capability| capability.parse().ok());
    facts.memory_bytes = gpu.memory_bytes;
    facts.health = if gpu.fault.is_some() {
        GpuHealth::Lost
    } else {
        GpuHealth::Working
    };
    facts
}

fn gpu_mode(mode: &inventory::GpuMode) -> GpuMode {
    match mode {
        inventory::GpuMode::VolumePlugin => GpuMode::Plugin,
        inventory::GpuMode::Runtime => GpuMode::Runtime,
        inventory::GpuMode::DeviceRequest => GpuMode::DeviceRequest,
        inventory::GpuMode::Cdi => GpuMode::Cdi,
    }
}

/// As the rule is written in plans: "driver-runs-cuda".
fn name_of(rule: Rule) -> String {
    match serde_json::to_value(rule) {
        Ok(serde_json::Value::String(name)) => name,
        _ => format!("{rule:?}"),
    }
}

#[cfg(test)]
mod tests;
