//! What a GPU is: the calls whose answer does not change while it works.

use std::ffi::{c_char, c_int, c_uint};

use crate::abi::{DeviceHandle, PciInfo, PciInfoV2, Refusal, code, fixed, put, put_text, text};
use crate::session::{try_with_machine, with_gpu, with_machine};
use tfleet_fake_gpu::{Gpu, Machine};

/// Exports calls of the form `(device, out) -> code`, each with the answer for one GPU.
macro_rules! answers {
    ($($symbol:ident -> $out:ty: |$gpu:pat_param, $index:pat_param| $answer:expr;)*) => {$(
        /// # Safety
        /// `out` is null or valid for a write.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $symbol(device: $crate::abi::DeviceHandle, out: *mut $out) -> std::ffi::c_int {
            $crate::session::with_gpu(device, |$gpu, $index| {
                let answer: Result<$out, $crate::abi::Refusal> = $answer;
                // SAFETY: the caller's promise.
                unsafe { $crate::abi::put(out, answer?) }
            })
        }
    )*};
}
pub(crate) use answers;

/// Exports calls of the form `(device, text, length) -> code`.
macro_rules! texts {
    ($($symbol:ident: |$gpu:pat_param, $index:pat_param| $answer:expr;)*) => {$(
        /// # Safety
        /// `out` is null or valid for writes of `length` bytes.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $symbol(device: DeviceHandle, out: *mut c_char, length: c_uint) -> c_int {
            with_gpu(device, |$gpu, $index| {
                let answer: Result<String, Refusal> = $answer;
                // SAFETY: the caller's promise.
                unsafe { put_text(out, length, &answer?) }
            })
        }
    )*};
}

/// Exports calls of the form `(out) -> code` that count the GPUs.
macro_rules! counts {
    ($($symbol:ident)*) => {$(
        /// # Safety
        /// `count` is null or valid for a write.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $symbol(count: *mut c_uint) -> c_int {
            // SAFETY: the caller's promise.
            with_machine(|machine| unsafe { put(count, machine.gpus.len() as c_uint) })
        }
    )*};
}

/// Exports calls of the form `(key, out) -> code` that find a GPU.
macro_rules! lookups {
    ($($symbol:ident($key:ident: $type:ty): |$machine:pat_param| $found:expr;)*) => {$(
        /// # Safety
        /// A pointer key is null or points to a zero-terminated string; `device` is null or valid for a write.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $symbol($key: $type, device: *mut DeviceHandle) -> c_int {
            code(try_with_machine(|$machine| {
                let found: Result<DeviceHandle, Refusal> = $found;
                // SAFETY: the caller's promise.
                unsafe { put(device, found?) }
            }))
        }
    )*};
}

counts! { nvmlDeviceGetCount nvmlDeviceGetCount_v2 }

lookups! {
    nvmlDeviceGetHandleByIndex(index: c_uint): |machine| by_index(machine, index);
    nvmlDeviceGetHandleByIndex_v2(index: c_uint): |machine| by_index(machine, index);
    // SAFETY: the caller's promise, in these three.
    nvmlDeviceGetHandleByUUID(uuid: *const c_char): |machine| by_uuid(machine, unsafe { text(uuid) }?);
    nvmlDeviceGetHandleByPciBusId(id: *const c_char): |machine| by_bus_id(machine, unsafe { text(id) }?);
    nvmlDeviceGetHandleByPciBusId_v2(id: *const c_char): |machine| by_bus_id(machine, unsafe { text(id) }?);
}

texts! {
    nvmlDeviceGetName: |gpu, _| Ok(gpu.name.clone());
    nvmlDeviceGetUUID: |gpu, index| Ok(gpu.uuid(index));
    nvmlDeviceGetSerial: |_, index| Ok(format!("{:013}", 320_000_000 + index));
    nvmlDeviceGetVbiosVersion: |_, _| Ok("90.04.84.00.0C".to_owned());
}

answers! {
    nvmlDeviceGetIndex -> c_uint: |_, index| Ok(index as c_uint);
    nvmlDeviceGetMinorNumber -> c_uint: |_, index| Ok(index as c_uint);
    nvmlDeviceGetBrand -> c_uint: |gpu, _| Ok(brand(gpu));
    nvmlDeviceGetArchitecture -> c_uint: |gpu, _| Ok(architecture(gpu));
    nvmlDeviceGetPciInfo -> PciInfoV2: |gpu, index| Ok(pci_info(gpu, index)?.head);
    nvmlDeviceGetPciInfo_v2 -> PciInfoV2: |gpu, index| Ok(pci_info(gpu, index)?.head);
    nvmlDeviceGetPciInfo_v3 -> PciInfo: |gpu, index| pci_info(gpu, index);
    nvmlDeviceGetDisplayMode -> c_uint: |_, _| Ok(0);
    nvmlDeviceGetDisplayActive -> c_uint: |_, _| Ok(0);
    nvmlDeviceGetComputeMode -> c_uint: |_, _| Ok(0);
    nvmlDeviceGetPersistenceMode -> c_uint: |_, _| Ok(1);
    nvmlDeviceGetMaxMigDeviceCount -> c_uint: |gpu, _| Ok(if gpu.mig.is_some() { 7 } else { 0 });
    nvmlDeviceIsMigDeviceHandle -> c_uint: |_, _| Ok(0);
}

/// # Safety
/// `major` and `minor` are null or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetCudaComputeCapability(
    device: DeviceHandle,
    major: *mut c_int,
    minor: *mut c_int,
) -> c_int {
    with_gpu(device, |gpu, _| {
        let capability = gpu.compute_capability;
        // SAFETY: the caller's promise.
        unsafe {
            put(major, capability.major as c_int)?;
            put(minor, capability.minor as c_int)
        }
    })
}

/// # Safety
/// `current` and `pending` are null or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetMigMode(
    device: DeviceHandle,
    current: *mut c_uint,
    pending: *mut c_uint,
) -> c_int {
    with_gpu(device, |gpu, _| {
        let mode = c_uint::from(gpu.mig.ok_or(Refusal::NotSupported)?);
        // SAFETY: the caller's promise.
        unsafe {
            put(current, mode)?;
            put(pending, mode)
        }
    })
}

/// A GPU in MIG mode that nobody has divided yet has no instances.
#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetMigDeviceHandleByIndex(
    device: DeviceHandle,
    _index: c_uint,
    _instance: *mut DeviceHandle,
) -> c_int {
    with_gpu(device, |gpu, _| match gpu.mig {
        Some(true) => Err(Refusal::NotFound),
        Some(false) | None => Err(Refusal::NotSupported),
    })
}

fn by_index(machine: &Machine, index: c_uint) -> Result<DeviceHandle, Refusal> {
    let index = index as usize;
    let gpu = machine.gpus.get(index).ok_or(Refusal::InvalidArgument)?;
    present(gpu, index)
}

fn by_uuid(machine: &Machine, uuid: &str) -> Result<DeviceHandle, Refusal> {
    find(machine, |gpu, index| gpu.uuid(index) == uuid)
}

fn by_bus_id(machine: &Machine, id: &str) -> Result<DeviceHandle, Refusal> {
    // The domain has eight digits in the new spelling, four in the old one, and may be left out.
    let id = id.to_ascii_uppercase();
    find(machine, |gpu, index| {
        gpu.pci_bus_id(index).to_ascii_uppercase().ends_with(&id)
    })
}

fn find(machine: &Machine, wanted: impl Fn(&Gpu, usize) -> bool) -> Result<DeviceHandle, Refusal> {
    let (index, gpu) = machine
        .gpus
        .iter()
        .enumerate()
        .find(|(index, gpu)| wanted(gpu, *index))
        .ok_or(Refusal::NotFound)?;
    present(gpu, index)
}

fn present(gpu: &Gpu, index: usize) -> Result<DeviceHandle, Refusal> {
    if gpu.lost {
        return Err(Refusal::GpuIsLost);
    }
    Ok(DeviceHandle::of_index(index))
}

/// `nvmlBrandType_t`.
fn brand(gpu: &Gpu) -> c_uint {
    match gpu.brand.as_deref() {
        Some("quadro") => 1,
        Some("tesla") => 2,
        Some("nvs") => 3,
        Some("grid") => 4,
        Some("geforce") => 5,
        Some("titan") => 6,
        Some("quadrortx") => 12,
        Some("nvidiartx") => 13,
        Some("nvidia") => 14,
        Some("geforcertx") => 15,
        Some("titanrtx") => 16,
        Some(_) | None => 0,
    }
}

/// `nvmlDeviceArchitecture_t`.
fn architecture(gpu: &Gpu) -> c_uint {
    match (gpu.compute_capability.major, gpu.compute_capability.minor) {
        (3, _) => 2,
        (5, _) => 3,
        (6, _) => 4,
        (7, 0 | 2) => 5,
        (7, _) => 6,
        (8, 9) => 8,
        (8, _) => 7,
        (9, _) => 9,
        (10..=12, _) => 10,
        _ => c_uint::MAX,
    }
}

/// `domain:bus:device.function`, all hexadecimal.
fn pci_info(gpu: &Gpu, index: usize) -> Result<PciInfo, Refusal> {
    let id = gpu.pci_bus_id(index);
    let number = |text: &str| c_uint::from_str_radix(text, 16).map_err(|_| Refusal::Unknown);
    let (domain, rest) = id.split_once(':').ok_or(Refusal::Unknown)?;
    let (bus, rest) = rest.split_once(':').ok_or(Refusal::Unknown)?;
    let (device, _function) = rest.split_once('.').ok_or(Refusal::Unknown)?;
    let legacy = format!("{:04X}:{bus}:{rest}", number(domain)?);
    Ok(PciInfo {
        head: PciInfoV2 {
            bus_id_legacy: fixed(&legacy),
            domain: number(domain)?,
            bus: number(bus)?,
            device: number(device)?,
            pci_device_id: 0x1eb8_10de,
            pci_subsystem_id: 0x12a2_10de,
        },
        bus_id: fixed(&id),
    })
}
