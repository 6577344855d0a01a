//! The processes on a GPU, in the three layouts that NVML has had for them.

use std::ffi::{c_int, c_uint};

use crate::abi::{DeviceHandle, ProcessInfoV1, ProcessInfoV2, Refusal};
use crate::session::with_gpu;
use tfleet_fake_gpu::Process;

/// What NVML writes for "no MIG instance".
const NO_INSTANCE: c_uint = c_uint::MAX;

/// # Safety
/// As for [`list`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetComputeRunningProcesses(
    device: DeviceHandle,
    count: *mut c_uint,
    infos: *mut ProcessInfoV1,
) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { list(device, count, infos, first_layout) }
}

/// # Safety
/// As for [`list`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetComputeRunningProcesses_v2(
    device: DeviceHandle,
    count: *mut c_uint,
    infos: *mut ProcessInfoV2,
) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { list(device, count, infos, second_layout) }
}

/// # Safety
/// As for [`list`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetComputeRunningProcesses_v3(
    device: DeviceHandle,
    count: *mut c_uint,
    infos: *mut ProcessInfoV2,
) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { list(device, count, infos, second_layout) }
}

/// # Safety
/// `count` is null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetGraphicsRunningProcesses(
    device: DeviceHandle,
    count: *mut c_uint,
    _infos: *mut ProcessInfoV1,
) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { none(device, count) }
}

/// # Safety
/// `count` is null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetGraphicsRunningProcesses_v2(
    device: DeviceHandle,
    count: *mut c_uint,
    _infos: *mut ProcessInfoV2,
) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { none(device, count) }
}

/// # Safety
/// `count` is null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetGraphicsRunningProcesses_v3(
    device: DeviceHandle,
    count: *mut c_uint,
    _infos: *mut ProcessInfoV2,
) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { none(device, count) }
}

fn first_layout(process: &Process) -> ProcessInfoV1 {
    ProcessInfoV1 {
        pid: process.pid,
        used_gpu_memory: process.memory_mib << 20,
    }
}

fn second_layout(process: &Process) -> ProcessInfoV2 {
    ProcessInfoV2 {
        pid: process.pid,
        used_gpu_memory: process.memory_mib << 20,
        gpu_instance_id: NO_INSTANCE,
        compute_instance_id: NO_INSTANCE,
    }
}

/// Writes as many as exist, if the array holds that many; says how many it would need otherwise.
///
/// # Safety
/// `count` is null or valid; `infos` is null (a question for the number) or an array of `*count`.
unsafe fn list<T>(
    device: DeviceHandle,
    count: *mut c_uint,
    infos: *mut T,
    layout: fn(&Process) -> T,
) -> c_int {
    with_gpu(device, |gpu, _| {
        if count.is_null() {
            return Err(Refusal::InvalidArgument);
        }
        // SAFETY: not null, and valid by the caller's promise.
        let room = unsafe { count.replace(gpu.processes.len() as c_uint) } as usize;
        if gpu.processes.is_empty() {
            return Ok(());
        }
        if infos.is_null() || room < gpu.processes.len() {
            return Err(Refusal::InsufficientSize);
        }
        for (slot, process) in gpu.processes.iter().enumerate() {
            // SAFETY: `slot` is below `room`, the array's length by the caller's promise.
            unsafe { infos.add(slot).write(layout(process)) };
        }
        Ok(())
    })
}

unsafe fn none(device: DeviceHandle, count: *mut c_uint) -> c_int {
    // SAFETY: the caller's promise.
    with_gpu(device, |_, _| unsafe { crate::abi::put(count, 0) })
}
