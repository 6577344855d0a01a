//! `Inventory` and what it holds.

use super::Refusal;
use super::field::{
    enumeration, enumeration_pairs, list, optional, optional_enumeration, optional_text,
    parsed_list, required, strings, text, timestamp, wire_list, wire_timestamp,
};
use crate::model::inventory::{
    Driver, Engine, EngineImage, FieldSource, Gpu, GpuMode, GpuProcess, ImageStore, Inventory,
    Machine, RuntimeMode, Source,
};
use crate::wire;

enumeration_pairs!(wire::ImageStore, ImageStore, GraphDriver <=> GraphDriver, Containerd <=> Containerd);
enumeration_pairs!(
    wire::GpuMode,
    GpuMode,
    VolumePlugin <=> VolumePlugin,
    Runtime <=> Runtime,
    DeviceRequest <=> DeviceRequest,
    Cdi <=> Cdi,
);
enumeration_pairs!(
    wire::RuntimeMode,
    RuntimeMode,
    Legacy <=> Legacy,
    Csv <=> Csv,
    Cdi <=> Cdi,
    JitCdi <=> JitCdi,
);
enumeration_pairs!(
    wire::Source,
    Source,
    Nvml <=> Nvml,
    NvmlOlder <=> NvmlOlder,
    NvidiaSmi <=> NvidiaSmi,
    Proc <=> Proc,
    Catalog <=> Catalog,
    Engine <=> Engine,
    OsRelease <=> OsRelease,
    Statvfs <=> Statvfs,
);

impl TryFrom<wire::Inventory> for Inventory {
    type Error = Refusal;

    fn try_from(inventory: wire::Inventory) -> Result<Self, Refusal> {
        let gpu_mode = |(index, mode): (usize, &i32)| {
            enumeration::<wire::GpuMode, _>(&format!("gpu_modes[{index}]"), *mode)
        };
        Ok(Self {
            observed_at: timestamp("observed_at", inventory.observed_at)?,
            machine: required("machine", inventory.machine)?,
            driver: optional("driver", inventory.driver)?,
            gpus: list("gpus", inventory.gpus)?,
            engine: required("engine", inventory.engine)?,
            gpu_modes: inventory
                .gpu_modes
                .iter()
                .enumerate()
                .map(gpu_mode)
                .collect::<Result<_, _>>()?,
            runtime_mode: optional_enumeration::<wire::RuntimeMode, _>(
                "runtime_mode",
                inventory.runtime_mode,
            )?,
            images: list("images", inventory.images)?,
            labels: inventory.labels,
            warnings: inventory.warnings,
            sources: list("sources", inventory.sources)?,
        })
    }
}

impl From<Inventory> for wire::Inventory {
    fn from(inventory: Inventory) -> Self {
        Self {
            observed_at: Some(wire_timestamp(inventory.observed_at)),
            machine: Some(inventory.machine.into()),
            driver: inventory.driver.map(Into::into),
            gpus: wire_list(inventory.gpus),
            engine: Some(inventory.engine.into()),
            gpu_modes: inventory
                .gpu_modes
                .into_iter()
                .map(|mode| wire::GpuMode::from(mode).into())
                .collect(),
            runtime_mode: inventory
                .runtime_mode
                .map_or(0, |mode| wire::RuntimeMode::from(mode).into()),
            images: wire_list(inventory.images),
            labels: inventory.labels,
            warnings: inventory.warnings,
            sources: wire_list(inventory.sources),
        }
    }
}

impl TryFrom<wire::Machine> for Machine {
    type Error = Refusal;

    fn try_from(machine: wire::Machine) -> Result<Self, Refusal> {
        Ok(Self {
            architecture: text("architecture", machine.architecture)?,
            distribution: optional_text(machine.distribution),
            kernel_release: optional_text(machine.kernel_release),
            cpu_model: optional_text(machine.cpu_model),
            cpu_count: machine.cpu_count,
            cpu_flags: machine.cpu_flags,
            memory_bytes: machine.memory_bytes,
        })
    }
}

impl From<Machine> for wire::Machine {
    fn from(machine: Machine) -> Self {
        Self {
            architecture: machine.architecture,
            distribution: machine.distribution.unwrap_or_default(),
            kernel_release: machine.kernel_release.unwrap_or_default(),
            cpu_model: machine.cpu_model.unwrap_or_default(),
            cpu_count: machine.cpu_count,
            cpu_flags: machine.cpu_flags,
            memory_bytes: machine.memory_bytes,
        }
    }
}

impl TryFrom<wire::Driver> for Driver {
    type Error = Refusal;

    fn try_from(driver: wire::Driver) -> Result<Self, Refusal> {
        Ok(Self {
            version: text("version", driver.version)?,
            kernel_module_version: optional_text(driver.kernel_module_version),
            cuda_version: optional_text(driver.cuda_version),
            fault: optional("fault", driver.fault)?,
        })
    }
}

impl From<Driver> for wire::Driver {
    fn from(driver: Driver) -> Self {
        Self {
            version: driver.version,
            kernel_module_version: driver.kernel_module_version.unwrap_or_default(),
            cuda_version: driver.cuda_version.unwrap_or_default(),
            fault: driver.fault.map(Into::into),
        }
    }
}

impl TryFrom<wire::Gpu> for Gpu {
    type Error = Refusal;

    fn try_from(gpu: wire::Gpu) -> Result<Self, Refusal> {
        Ok(Self {
            uuid: text("uuid", gpu.uuid)?,
            index: gpu.index,
            name: text("name", gpu.name)?,
            compute_capability: optional_text(gpu.compute_capability),
            memory_bytes: gpu.memory_bytes,
            memory_used_bytes: gpu.memory_used_bytes,
            mig_enabled: gpu.mig_enabled,
            ecc_enabled: gpu.ecc_enabled,
            temperature_celsius: gpu.temperature_celsius,
            utilisation_percent: gpu.utilisation_percent,
            processes: gpu.processes.into_iter().map(GpuProcess::from).collect(),
            pci_bus_id: optional_text(gpu.pci_bus_id),
            fault: optional("fault", gpu.fault)?,
        })
    }
}

impl From<Gpu> for wire::Gpu {
    fn from(gpu: Gpu) -> Self {
        Self {
            uuid: gpu.uuid,
            index: gpu.index,
            name: gpu.name,
            compute_capability: gpu.compute_capability.unwrap_or_default(),
            memory_bytes: gpu.memory_bytes,
            memory_used_bytes: gpu.memory_used_bytes,
            mig_enabled: gpu.mig_enabled,
            ecc_enabled: gpu.ecc_enabled,
            temperature_celsius: gpu.temperature_celsius,
            utilisation_percent: gpu.utilisation_percent,
            processes: wire_list(gpu.processes),
            pci_bus_id: gpu.pci_bus_id.unwrap_or_default(),
            fault: gpu.fault.map(Into::into),
        }
    }
}

impl From<wire::GpuProcess> for GpuProcess {
    fn from(process: wire::GpuProcess) -> Self {
        Self {
            pid: process.pid,
            memory_used_bytes: process.memory_used_bytes,
        }
    }
}

impl From<GpuProcess> for wire::GpuProcess {
    fn from(process: GpuProcess) -> Self {
        Self {
            pid: process.pid,
            memory_used_bytes: process.memory_used_bytes,
        }
    }
}

impl TryFrom<wire::Engine> for Engine {
    type Error = Refusal;

    fn try_from(engine: wire::Engine) -> Result<Self, Refusal> {
        Ok(Self {
            endpoint: text("endpoint", engine.endpoint)?,
            version: optional_text(engine.version),
            api_version: optional_text(engine.api_version),
            storage_driver: optional_text(engine.storage_driver),
            image_store: optional_enumeration::<wire::ImageStore, _>(
                "image_store",
                engine.image_store,
            )?,
            runtimes: engine.runtimes,
            data_root: optional_text(engine.data_root),
            data_root_free_bytes: engine.data_root_free_bytes,
            fault: optional("fault", engine.fault)?,
        })
    }
}

impl From<Engine> for wire::Engine {
    fn from(engine: Engine) -> Self {
        Self {
            endpoint: engine.endpoint,
            version: engine.version.unwrap_or_default(),
            api_version: engine.api_version.unwrap_or_default(),
            storage_driver: engine.storage_driver.unwrap_or_default(),
            image_store: engine
                .image_store
                .map(wire::ImageStore::from)
                .unwrap_or_default()
                .into(),
            runtimes: engine.runtimes,
            data_root: engine.data_root.unwrap_or_default(),
            data_root_free_bytes: engine.data_root_free_bytes,
            fault: engine.fault.map(Into::into),
        }
    }
}

impl TryFrom<wire::EngineImage> for EngineImage {
    type Error = Refusal;

    fn try_from(image: wire::EngineImage) -> Result<Self, Refusal> {
        Ok(Self {
            engine_id: text("engine_id", image.engine_id)?,
            tags: image.tags,
            diff_ids: parsed_list("diff_ids", &image.diff_ids)?,
            size_bytes: image.size_bytes,
        })
    }
}

impl From<EngineImage> for wire::EngineImage {
    fn from(image: EngineImage) -> Self {
        Self {
            engine_id: image.engine_id,
            tags: image.tags,
            diff_ids: strings(&image.diff_ids),
            size_bytes: image.size_bytes,
        }
    }
}

impl TryFrom<wire::FieldSource> for FieldSource {
    type Error = Refusal;

    fn try_from(source: wire::FieldSource) -> Result<Self, Refusal> {
        Ok(Self {
            field: text("field", source.field)?,
            source: enumeration::<wire::Source, _>("source", source.source)?,
        })
    }
}

impl From<FieldSource> for wire::FieldSource {
    fn from(source: FieldSource) -> Self {
        Self {
            field: source.field,
            source: wire::Source::from(source.source).into(),
        }
    }
}
