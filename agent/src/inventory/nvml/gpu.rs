//! One GPU by NVML. A GPU that is lost fails alone, and only what one GPU lacks is left out of it.

use std::fmt;

use nvml_wrapper::enum_wrappers::device::TemperatureSensor;
use nvml_wrapper::enums::device::UsedGpuMemory;
use nvml_wrapper::error::NvmlError;
use nvml_wrapper::{Device, Nvml};
use tfleet_proto::model::failure::Failure;
use tfleet_proto::model::inventory::{Gpu, GpuProcess, Source};

use super::call::{Call, newest};
use super::older;
use crate::inventory::kernel_module::KernelModule;
use crate::inventory::lone_thread::Steps;
use crate::inventory::notes::Notes;
use crate::inventory::silent_gpu::silent_gpu;

pub(super) struct Memory {
    pub total_bytes: u64,
    pub used_bytes: u64,
}

pub(super) struct PciAddress {
    pub domain: u32,
    pub bus: u32,
    pub device: u32,
}

/// As NVML's third version writes it: "00000000:00:1E.0".
impl fmt::Display for PciAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{:08X}:{:02X}:{:02X}.0",
            self.domain, self.bus, self.device
        )
    }
}

/// Looks at every GPU. One that does not answer is among those that the kernel module knows besides the answering ones;
/// its index does not lead to it, since NVML promises no order.
pub(super) fn look(
    nvml: &Nvml,
    kernel: &KernelModule,
    steps: &Steps,
    notes: &mut Notes,
) -> Result<Vec<Gpu>, NvmlError> {
    let readings: Vec<_> = (0..nvml.device_count()?)
        .map(|index| (index, Reading::of(nvml, index, steps)))
        .collect();
    let answering: Vec<Gpu> = readings
        .iter()
        .filter_map(|(_, reading)| reading.as_ref().ok())
        .map(|(gpu, _)| gpu.clone())
        .collect();
    let mut others = kernel
        .gpus
        .iter()
        .filter(|known| !answering.iter().any(|gpu| known.is(gpu)));
    let mut gpus = Vec::with_capacity(readings.len());
    for (index, reading) in readings {
        gpus.push(match reading {
            Ok((gpu, read)) => {
                notes.append(read);
                gpu
            }
            // A library that cannot name its GPUs is no use; nvidia-smi may be.
            Err(error @ (NvmlError::FailedToLoadSymbol(_) | NvmlError::FunctionNotFound)) => {
                return Err(error);
            }
            Err(error) => {
                let fault = fault(index, &error);
                notes.warn(fault.message.clone());
                silent_gpu(index, others.next(), fault, notes)
            }
        });
    }
    Ok(gpus)
}

/// A GPU that is being read. What was noted is thrown away if it is lost meanwhile.
struct Reading<'a> {
    uuid: String,
    notes: Notes,
    steps: &'a Steps,
}

impl<'a> Reading<'a> {
    fn of(nvml: &Nvml, index: u32, steps: &'a Steps) -> Result<(Gpu, Notes), NvmlError> {
        // Wakes the GPU, where nothing keeps it awake.
        let device = &nvml.device_by_index(index)?;
        steps.step();
        let mut read = Self {
            uuid: device.uuid()?,
            notes: Notes::default(),
            steps,
        };
        let name = device.name()?;
        for field in ["uuid", "name"] {
            read.note(field, Source::Nvml);
        }
        let memory = read.value(
            &["memory_bytes", "memory_used_bytes"],
            &[&|| memory(device), &|| older::memory(nvml, device)],
        )?;
        let processes = read.value(
            &["processes"],
            &[
                &|| processes(device),
                &|| older::processes_v2(nvml, device),
                &|| older::processes_v1(nvml, device),
            ],
        )?;
        let gpu = Gpu {
            index,
            name,
            compute_capability: read
                .value(&["compute_capability"], &[&|| compute_capability(device)])?,
            memory_bytes: memory.as_ref().map(|memory| memory.total_bytes),
            memory_used_bytes: memory.as_ref().map(|memory| memory.used_bytes),
            mig_enabled: read
                .value(&["mig_enabled"], &[&|| Ok(device.mig_mode()?.current == 1)])?,
            ecc_enabled: read.value(
                &["ecc_enabled"],
                &[&|| Ok(device.is_ecc_enabled()?.currently_enabled)],
            )?,
            temperature_celsius: read.value(
                &["temperature_celsius"],
                &[&|| device.temperature(TemperatureSensor::Gpu)],
            )?,
            utilisation_percent: read.value(
                &["utilisation_percent"],
                &[&|| Ok(device.utilization_rates()?.gpu)],
            )?,
            processes: processes.unwrap_or_default(),
            pci_bus_id: read
                .value(
                    &["pci_bus_id"],
                    &[&|| pci_address(device), &|| {
                        older::pci_address(nvml, device)
                    }],
                )?
                .map(|address| address.to_string()),
            fault: None,
            uuid: read.uuid.clone(),
        };
        Ok((gpu, read.notes))
    }

    /// Reads one value that stands in these fields. Fails only with what makes the whole GPU useless.
    fn value<T>(&mut self, fields: &[&str], calls: &[Call<'_, T>]) -> Result<Option<T>, NvmlError> {
        let answer = newest(calls);
        self.steps.step();
        match answer {
            Ok(Some((value, source))) => {
                for field in fields {
                    self.note(field, source);
                }
                Ok(Some(value))
            }
            Ok(None) => Ok(None),
            Err(error @ (NvmlError::GpuLost | NvmlError::ResetRequired)) => Err(error),
            Err(error) => {
                self.notes.warn(format!(
                    "NVML does not tell {} of {}: {error}",
                    fields.join(" and "),
                    self.uuid
                ));
                Ok(None)
            }
        }
    }

    fn note(&mut self, field: &str, source: Source) {
        self.notes
            .source(format!("gpus[{}].{field}", self.uuid), source);
    }
}

fn fault(index: u32, error: &NvmlError) -> Failure {
    match error {
        NvmlError::GpuLost => Failure::new("gpu-lost", format!("GPU {index} has fallen off the bus"))
            .with_remedy("look for Xid 79 in the kernel's log, reboot the host, and have the board checked if it recurs"),
        NvmlError::ResetRequired => Failure::new("gpu-reset-required", format!("GPU {index} needs a reset"))
            .with_remedy(format!("stop what uses it and run `nvidia-smi --gpu-reset -i {index}`, or reboot the host")),
        error => Failure::new("gpu-silent", format!("GPU {index} does not answer: {error}"))
            .with_remedy("see `nvidia-smi` and the kernel's log on the host"),
    }
}

fn memory(device: &Device<'_>) -> Result<Memory, NvmlError> {
    let memory = device.memory_info()?;
    Ok(Memory {
        total_bytes: memory.total,
        used_bytes: memory.used,
    })
}

fn pci_address(device: &Device<'_>) -> Result<PciAddress, NvmlError> {
    let info = device.pci_info()?;
    Ok(PciAddress {
        domain: info.domain,
        bus: info.bus,
        device: info.device,
    })
}

fn compute_capability(device: &Device<'_>) -> Result<String, NvmlError> {
    let capability = device.cuda_compute_capability()?;
    Ok(format!("{}.{}", capability.major, capability.minor))
}

fn processes(device: &Device<'_>) -> Result<Vec<GpuProcess>, NvmlError> {
    let processes = device.running_compute_processes()?;
    Ok(processes
        .into_iter()
        .map(|process| GpuProcess {
            pid: process.pid,
            memory_used_bytes: match process.used_gpu_memory {
                UsedGpuMemory::Used(bytes) => Some(bytes),
                UsedGpuMemory::Unavailable => None,
            },
        })
        .collect())
}
