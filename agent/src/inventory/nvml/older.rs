//! NVML's calls that newer ones replaced. The wrapper knows the newest of each alone, which a driver of its time lacks:
//! even 470 has no memory size by it.

use nvml_wrapper::error::{NvmlError, nvml_sym, nvml_try, nvml_try_count};
use nvml_wrapper::{Device, Nvml};
use nvml_wrapper_sys::bindings::{
    NvmlLib, nvmlDevice_t, nvmlMemory_t, nvmlPciInfo_t, nvmlProcessInfo_v1_t, nvmlProcessInfo_v2_t,
    nvmlReturn_t,
};
use tfleet_proto::model::inventory::GpuProcess;

use super::gpu::{Memory, PciAddress};

/// What NVML writes where it does not know a process's memory.
const UNKNOWN_BYTES: u64 = u64::MAX;
/// Between the question for the number of processes and that for the processes, more may start.
const SPARE_PROCESSES: u32 = 8;

/// CUDA 11.4 is 11040.
pub(super) fn cuda_version(nvml: &Nvml) -> Result<i32, NvmlError> {
    let call = nvml_sym(nvml.lib().nvmlSystemGetCudaDriverVersion.as_ref())?;
    let mut version = 0;
    // SAFETY: NVML is initialised, and the call writes one int.
    nvml_try(unsafe { call(&raw mut version) })?;
    Ok(version)
}

pub(super) fn memory(nvml: &Nvml, device: &Device<'_>) -> Result<Memory, NvmlError> {
    let call = nvml_sym(nvml.lib().nvmlDeviceGetMemoryInfo.as_ref())?;
    let mut memory = nvmlMemory_t {
        total: 0,
        free: 0,
        used: 0,
    };
    // SAFETY: the handle lives as long as `nvml`, and the structure is the one that this version fills.
    nvml_try(unsafe { call(device.handle(), &raw mut memory) })?;
    Ok(Memory {
        total_bytes: memory.total,
        used_bytes: memory.used,
    })
}

pub(super) fn pci_address(nvml: &Nvml, device: &Device<'_>) -> Result<PciAddress, NvmlError> {
    let call = nvml_sym(nvml.lib().nvmlDeviceGetPciInfo_v2.as_ref())?;
    let mut info = nvmlPciInfo_t {
        busIdLegacy: [0; 16],
        domain: 0,
        bus: 0,
        device: 0,
        pciDeviceId: 0,
        pciSubSystemId: 0,
        busId: [0; 32],
    };
    // SAFETY: as above. The second version fills a beginning of the third's structure.
    nvml_try(unsafe { call(device.handle(), &raw mut info) })?;
    Ok(PciAddress {
        domain: info.domain,
        bus: info.bus,
        device: info.device,
    })
}

pub(super) fn processes_v2(nvml: &Nvml, device: &Device<'_>) -> Result<Vec<GpuProcess>, NvmlError> {
    let call = nvml_sym(nvml.lib().nvmlDeviceGetComputeRunningProcesses_v2.as_ref())?;
    let blank = nvmlProcessInfo_v2_t {
        pid: 0,
        usedGpuMemory: 0,
        gpuInstanceId: 0,
        computeInstanceId: 0,
    };
    let found = list(*call, device, blank)?;
    Ok(found
        .into_iter()
        .map(|process| told(process.pid, process.usedGpuMemory))
        .collect())
}

/// The first layout lacks the MIG instances, so that its elements are shorter.
pub(super) fn processes_v1(nvml: &Nvml, device: &Device<'_>) -> Result<Vec<GpuProcess>, NvmlError> {
    let call = nvml_sym(nvml.lib().nvmlDeviceGetComputeRunningProcesses.as_ref())?;
    let found = list(
        *call,
        device,
        nvmlProcessInfo_v1_t {
            pid: 0,
            usedGpuMemory: 0,
        },
    )?;
    Ok(found
        .into_iter()
        .map(|process| told(process.pid, process.usedGpuMemory))
        .collect())
}

type ListCall<T> = unsafe extern "C" fn(nvmlDevice_t, *mut u32, *mut T) -> nvmlReturn_t;

/// Asks for the number first, then for so many. `call` must be the one whose elements are `T`.
fn list<T: Clone>(call: ListCall<T>, device: &Device<'_>, blank: T) -> Result<Vec<T>, NvmlError> {
    let mut count = 0;
    // SAFETY: a null array with a count of zero asks for the number alone.
    nvml_try_count(unsafe { call(device.handle(), &raw mut count, std::ptr::null_mut()) })?;
    if count == 0 {
        return Ok(Vec::new());
    }
    count += SPARE_PROCESSES;
    let mut found = vec![blank; count as usize];
    // SAFETY: the array has `count` elements of the layout that this version writes.
    nvml_try(unsafe { call(device.handle(), &raw mut count, found.as_mut_ptr()) })?;
    found.truncate(count as usize);
    Ok(found)
}

fn told(pid: u32, used_bytes: u64) -> GpuProcess {
    GpuProcess {
        pid,
        memory_used_bytes: (used_bytes != UNKNOWN_BYTES).then_some(used_bytes),
    }
}

/// The library's own version without initialisation, which a library that does not fit the kernel module refuses.
/// NVML writes the CUDA major version and the driver's: "11.470.256.02".
pub(super) fn library_version(library: &NvmlLib) -> Result<String, NvmlError> {
    let call = nvml_sym(library.nvmlSystemGetNVMLVersion.as_ref())?;
    let mut text = [0_u8; 80];
    // SAFETY: the buffer has the length that is passed; NVIDIA's documentation demands no initialisation for this call.
    nvml_try(unsafe { call(text.as_mut_ptr().cast(), text.len() as u32) })?;
    let end = text
        .iter()
        .position(|byte| *byte == 0)
        .unwrap_or(text.len());
    Ok(std::str::from_utf8(&text[..end])?.to_owned())
}
