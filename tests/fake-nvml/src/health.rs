//! How a GPU is: memory, temperature, load, errors.

use std::ffi::{c_int, c_uint, c_ulonglong};

use crate::abi::{DeviceHandle, Memory, MemoryV2, Refusal, Utilization, put};
use crate::device::answers;
use crate::session::with_gpu;
use tfleet_fake_gpu::Gpu;

answers! {
    nvmlDeviceGetMemoryInfo -> Memory: |gpu, _| Ok(memory(gpu));
    nvmlDeviceGetBAR1MemoryInfo -> Memory: |_, _| Ok(Memory { total: 256 << 20, free: 254 << 20, used: 2 << 20 });
    nvmlDeviceGetUtilizationRates -> Utilization: |gpu, _| utilization(gpu);
    nvmlDeviceGetPowerUsage -> c_uint: |gpu, _| gpu.power_mw.ok_or(Refusal::NotSupported);
    nvmlDeviceGetEnforcedPowerLimit -> c_uint: |_, _| Err(Refusal::NotSupported);
    nvmlDeviceGetPowerManagementLimit -> c_uint: |_, _| Err(Refusal::NotSupported);
    nvmlDeviceGetFanSpeed -> c_uint: |_, _| Err(Refusal::NotSupported);
    nvmlDeviceGetNumFans -> c_uint: |_, _| Ok(0);
    nvmlDeviceGetPerformanceState -> c_uint: |_, _| Ok(0);
    nvmlDeviceGetRetiredPagesPendingStatus -> c_uint: |_, _| Ok(0);
}

/// # Safety
/// `out` is null or points to a structure whose `version` the caller has set.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetMemoryInfo_v2(
    device: DeviceHandle,
    out: *mut MemoryV2,
) -> c_int {
    with_gpu(device, |gpu, _| {
        // SAFETY: the caller's promise.
        let asked = unsafe { out.as_mut() }.ok_or(Refusal::InvalidArgument)?;
        if asked.version != MemoryV2::VERSION {
            return Err(Refusal::InvalidArgument);
        }
        let Memory { total, free, used } = memory(gpu);
        *asked = MemoryV2 {
            version: MemoryV2::VERSION,
            total,
            reserved: 0,
            free,
            used,
        };
        Ok(())
    })
}

/// # Safety
/// `out` is null or valid for a write. `sensor` 0 is the GPU's own, the only one there is.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetTemperature(
    device: DeviceHandle,
    sensor: c_uint,
    out: *mut c_uint,
) -> c_int {
    with_gpu(device, |gpu, _| {
        if sensor != 0 {
            return Err(Refusal::InvalidArgument);
        }
        // SAFETY: the caller's promise.
        unsafe { put(out, gpu.temperature_c.ok_or(Refusal::NotSupported)?) }
    })
}

/// # Safety
/// `current` and `pending` are null or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetEccMode(
    device: DeviceHandle,
    current: *mut c_uint,
    pending: *mut c_uint,
) -> c_int {
    with_gpu(device, |gpu, _| {
        let mode = c_uint::from(gpu.ecc.ok_or(Refusal::NotSupported)?);
        // SAFETY: the caller's promise.
        unsafe {
            put(current, mode)?;
            put(pending, mode)
        }
    })
}

/// # Safety
/// `count` is null or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetTotalEccErrors(
    device: DeviceHandle,
    _error_type: c_uint,
    _counter: c_uint,
    count: *mut c_ulonglong,
) -> c_int {
    with_gpu(device, |gpu, _| match gpu.ecc {
        // SAFETY: the caller's promise.
        Some(true) => unsafe { put(count, 0) },
        Some(false) | None => Err(Refusal::NotSupported),
    })
}

/// # Safety
/// `count` is null or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetRetiredPages(
    device: DeviceHandle,
    _cause: c_uint,
    count: *mut c_uint,
    _addresses: *mut c_ulonglong,
) -> c_int {
    // SAFETY: the caller's promise.
    with_gpu(device, |_, _| unsafe { put(count, 0) })
}

/// # Safety
/// `count` is null or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetRetiredPages_v2(
    device: DeviceHandle,
    _cause: c_uint,
    count: *mut c_uint,
    _addresses: *mut c_ulonglong,
    _timestamps: *mut c_ulonglong,
) -> c_int {
    // SAFETY: the caller's promise.
    with_gpu(device, |_, _| unsafe { put(count, 0) })
}

fn memory(gpu: &Gpu) -> Memory {
    let total = gpu.memory_mib << 20;
    let used = gpu.used_mib() << 20;
    Memory {
        total,
        free: total - used,
        used,
    }
}

fn utilization(gpu: &Gpu) -> Result<Utilization, Refusal> {
    Ok(Utilization {
        gpu: gpu.utilisation_percent.ok_or(Refusal::NotSupported)?,
        memory: (100 * gpu.used_mib())
            .checked_div(gpu.memory_mib)
            .map_or(0, |percent| percent as c_uint),
    })
}
