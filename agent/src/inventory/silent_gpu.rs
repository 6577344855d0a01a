//! GPUs that do not answer, or cannot be asked, as the kernel module names them. Left out, they would make a GPU host
//! look like one that has none.

use tfleet_proto::model::failure::Failure;
use tfleet_proto::model::inventory::{Gpu, Source};

use super::kernel_module::{KernelGpu, KernelModule};
use super::notes::Notes;

/// Stands for the name of a GPU that nothing names.
const UNKNOWN: &str = "unknown";

/// What is left of a GPU that does not answer; `kernel` is the kernel module's word on it.
pub(super) fn silent_gpu(
    index: u32,
    kernel: Option<&KernelGpu>,
    fault: Failure,
    notes: &mut Notes,
) -> Gpu {
    let pci_bus_id = kernel.map(KernelGpu::pci_bus_id);
    let KernelGpu {
        name, uuid: known, ..
    } = kernel.cloned().unwrap_or_default();
    // Without a UUID it still needs a name of its own; no UUID looks like this.
    let uuid = known.clone().unwrap_or_else(|| format!("index-{index}"));
    let told = [
        ("uuid", known.is_some()),
        ("name", name.is_some()),
        ("pci_bus_id", pci_bus_id.is_some()),
    ];
    for (field, _) in told.into_iter().filter(|(_, is_told)| *is_told) {
        notes.source(format!("gpus[{uuid}].{field}"), Source::Proc);
    }
    Gpu {
        uuid,
        index,
        name: name.unwrap_or_else(|| UNKNOWN.to_owned()),
        compute_capability: None,
        memory_bytes: None,
        memory_used_bytes: None,
        mig_enabled: None,
        ecc_enabled: None,
        temperature_celsius: None,
        utilisation_percent: None,
        processes: Vec::new(),
        pci_bus_id,
        fault: Some(fault),
    }
}

/// Adds those of the kernel module's GPUs that are not among `gpus`, each with the fault that `fault` makes for it.
/// NVML has no index for them, so that they get those that follow.
pub(super) fn add_unlisted(
    gpus: &mut Vec<Gpu>,
    kernel: &KernelModule,
    fault: impl Fn(&KernelGpu) -> Failure,
    notes: &mut Notes,
) {
    let unlisted: Vec<&KernelGpu> = kernel
        .gpus
        .iter()
        .filter(|known| !gpus.iter().any(|gpu| known.is(gpu)))
        .collect();
    let next = gpus.iter().map(|gpu| gpu.index + 1).max().unwrap_or(0);
    for (index, known) in (next..).zip(unlisted) {
        let gpu = silent_gpu(index, Some(known), fault(known), notes);
        gpus.push(gpu);
    }
}

/// The fault of a GPU that the driver's own tools leave out. `who` is "NVML" or "nvidia-smi".
pub(super) fn unlisted(who: &str, gpu: &KernelGpu) -> Failure {
    Failure::new(
        "gpu-unlisted",
        format!(
            "the kernel module has a GPU at {} that {who} does not list",
            gpu.pci_address
        ),
    )
    .with_remedy(
        "see the kernel's log on the host for NVRM lines, and reboot it if they tell of a failure",
    )
}

/// The fault of a GPU whose driver has `fault`.
pub(super) fn behind(fault: &Failure, gpu: &KernelGpu) -> Failure {
    let silent = Failure::new(
        "gpu-silent",
        format!(
            "the GPU at {} cannot be asked: {}",
            gpu.pci_address, fault.message
        ),
    );
    match &fault.remedy {
        Some(remedy) => silent.with_remedy(remedy.clone()),
        None => silent,
    }
}
