//! NVML's C types and return codes, as documented in NVIDIA's `nvml.h`, and how an answer is written to a caller.

use std::ffi::{c_char, c_int, c_uint, c_ulonglong, c_void};

/// `nvmlReturn_t`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Refusal {
    Uninitialized = 1,
    InvalidArgument = 2,
    NotSupported = 3,
    NotFound = 6,
    InsufficientSize = 7,
    DriverNotLoaded = 9,
    Timeout = 10,
    GpuIsLost = 15,
    ResetRequired = 16,
    LibRmVersionMismatch = 18,
    Unknown = 999,
}

pub type Answer = Result<(), Refusal>;

/// What a C caller gets for `answer`.
pub fn code(answer: Answer) -> c_int {
    match answer {
        Ok(()) => 0,
        Err(refusal) => refusal as c_int,
    }
}

/// `nvmlDevice_t`: an opaque pointer. Ours is the GPU's index plus one and is never followed.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub struct DeviceHandle(*mut c_void);

impl DeviceHandle {
    pub fn of_index(index: usize) -> Self {
        Self(std::ptr::without_provenance_mut(index + 1))
    }

    pub fn index(self) -> Result<usize, Refusal> {
        self.0.addr().checked_sub(1).ok_or(Refusal::InvalidArgument)
    }
}

/// `nvmlMemory_t`: bytes.
#[repr(C)]
pub struct Memory {
    pub total: c_ulonglong,
    pub free: c_ulonglong,
    pub used: c_ulonglong,
}

/// `nvmlMemory_v2_t`: bytes. `version` is set by the caller.
#[repr(C)]
pub struct MemoryV2 {
    pub version: c_uint,
    pub total: c_ulonglong,
    pub reserved: c_ulonglong,
    pub free: c_ulonglong,
    pub used: c_ulonglong,
}

impl MemoryV2 {
    /// `NVML_STRUCT_VERSION(Memory, 2)`: the size in the low bytes, the version in the highest.
    pub const VERSION: c_uint = size_of::<Self>() as c_uint | (2 << 24);
}

/// `nvmlPciInfo_t`, third version. The earlier ones are its beginning: see [`PciInfoV2`].
#[repr(C)]
pub struct PciInfo {
    pub head: PciInfoV2,
    pub bus_id: [c_char; 32],
}

/// `nvmlPciInfo_t` as `nvmlDeviceGetPciInfo_v2` had it: four reserved words where the long bus id now begins.
#[repr(C)]
pub struct PciInfoV2 {
    pub bus_id_legacy: [c_char; 16],
    pub domain: c_uint,
    pub bus: c_uint,
    pub device: c_uint,
    pub pci_device_id: c_uint,
    pub pci_subsystem_id: c_uint,
}

/// `nvmlUtilization_t`: per cent.
#[repr(C)]
pub struct Utilization {
    pub gpu: c_uint,
    pub memory: c_uint,
}

/// `nvmlProcessInfo_v1_t`: what `nvmlDeviceGetComputeRunningProcesses` without a suffix writes.
#[repr(C)]
pub struct ProcessInfoV1 {
    pub pid: c_uint,
    pub used_gpu_memory: c_ulonglong,
}

/// `nvmlProcessInfo_v2_t`: what the `_v2` and `_v3` calls write.
#[repr(C)]
pub struct ProcessInfoV2 {
    pub pid: c_uint,
    pub used_gpu_memory: c_ulonglong,
    pub gpu_instance_id: c_uint,
    pub compute_instance_id: c_uint,
}

/// `nvmlEventData_t` of `nvmlEventSetWait`.
#[repr(C)]
pub struct EventData {
    pub device: DeviceHandle,
    pub event_type: c_ulonglong,
    pub event_data: c_ulonglong,
}

/// `nvmlEventData_t` of `nvmlEventSetWait_v2`.
#[repr(C)]
pub struct EventDataV2 {
    pub event: EventData,
    pub gpu_instance_id: c_uint,
    pub compute_instance_id: c_uint,
}

/// Writes `value` where the caller asked for it.
///
/// # Safety
/// `out` is null or valid for a write of `T`.
pub unsafe fn put<T>(out: *mut T, value: T) -> Answer {
    if out.is_null() {
        return Err(Refusal::InvalidArgument);
    }
    // SAFETY: not null, and valid by the caller's promise.
    unsafe { out.write(value) };
    Ok(())
}

/// Writes `text` with its terminating zero into a buffer of `length` bytes.
///
/// # Safety
/// `out` is null or valid for writes of `length` bytes.
pub unsafe fn put_text(out: *mut c_char, length: c_uint, text: &str) -> Answer {
    if out.is_null() {
        return Err(Refusal::InvalidArgument);
    }
    if text.len() >= length as usize {
        return Err(Refusal::InsufficientSize);
    }
    // SAFETY: the text and its zero fit in `length`, which is valid by the caller's promise.
    unsafe {
        out.cast::<u8>()
            .copy_from_nonoverlapping(text.as_ptr(), text.len());
        out.add(text.len()).write(0);
    }
    Ok(())
}

/// Reads a C string that the caller passed.
///
/// # Safety
/// `text` is null or points to a zero-terminated string.
pub unsafe fn text<'a>(text: *const c_char) -> Result<&'a str, Refusal> {
    if text.is_null() {
        return Err(Refusal::InvalidArgument);
    }
    // SAFETY: not null, and terminated by the caller's promise.
    unsafe { std::ffi::CStr::from_ptr(text) }
        .to_str()
        .map_err(|_| Refusal::InvalidArgument)
}

/// A fixed array of C characters holding as much of `text` as fits, always terminated.
pub fn fixed<const N: usize>(text: &str) -> [c_char; N] {
    let mut out = [0; N];
    for (slot, byte) in out[..N - 1].iter_mut().zip(text.bytes()) {
        *slot = byte as c_char;
    }
    out
}
