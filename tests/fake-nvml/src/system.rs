//! Calls about the library and the machine.

use std::ffi::{c_char, c_int, c_uint};

use crate::abi::{Answer, Refusal, code, put, put_text};
use crate::session::{initialise, shut_down, with_library, with_machine};

#[unsafe(no_mangle)]
pub extern "C" fn nvmlInit() -> c_int {
    code(initialise())
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlInit_v2() -> c_int {
    code(initialise())
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlInitWithFlags(_flags: c_uint) -> c_int {
    code(initialise())
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlShutdown() -> c_int {
    code(shut_down())
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlErrorString(result: c_int) -> *const c_char {
    let text = match result {
        0 => c"Success",
        1 => c"Uninitialized",
        2 => c"Invalid Argument",
        3 => c"Not Supported",
        6 => c"Not Found",
        7 => c"Insufficient Size",
        9 => c"Driver Not Loaded",
        10 => c"Timeout",
        15 => c"GPU is lost",
        16 => c"GPU requires reset",
        18 => c"Driver/library version mismatch",
        _ => c"Unknown Error",
    };
    text.as_ptr()
}

/// # Safety
/// `version` is null or valid for writes of `length` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlSystemGetDriverVersion(version: *mut c_char, length: c_uint) -> c_int {
    with_machine(|machine| {
        let driver = machine
            .driver_version
            .as_deref()
            .ok_or(Refusal::DriverNotLoaded)?;
        // SAFETY: the caller's promise.
        unsafe { put_text(version, length, driver) }
    })
}

/// # Safety
/// `version` is null or valid for writes of `length` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlSystemGetNVMLVersion(version: *mut c_char, length: c_uint) -> c_int {
    with_library(|machine| {
        let driver = machine
            .driver_version
            .as_deref()
            .ok_or(Refusal::DriverNotLoaded)?;
        // NVML's own version is the CUDA major it belongs to, then the driver's version.
        let major = match &machine.cuda_version {
            Some(cuda) => cuda.major,
            None => 8,
        };
        // SAFETY: the caller's promise.
        unsafe { put_text(version, length, &format!("{major}.{driver}")) }
    })
}

/// # Safety
/// `version` is null or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlSystemGetCudaDriverVersion(version: *mut c_int) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { cuda_driver_version(version) }
}

/// # Safety
/// `version` is null or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlSystemGetCudaDriverVersion_v2(version: *mut c_int) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { cuda_driver_version(version) }
}

/// # Safety
/// `name` is null or valid for writes of `length` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlSystemGetProcessName(
    pid: c_uint,
    name: *mut c_char,
    length: c_uint,
) -> c_int {
    with_machine(|_| {
        let command =
            std::fs::read(format!("/proc/{pid}/cmdline")).map_err(|_| Refusal::NotFound)?;
        let program = command.split(|byte| *byte == 0).next().unwrap_or_default();
        // SAFETY: the caller's promise.
        unsafe { put_text(name, length, &String::from_utf8_lossy(program)) }
    })
}

/// CUDA 11.4 is told as 11040.
unsafe fn cuda_driver_version(version: *mut c_int) -> c_int {
    with_machine(|machine| -> Answer {
        let cuda = machine.cuda_version.ok_or(Refusal::NotFound)?;
        let version_number = (cuda.major * 1000 + cuda.minor * 10) as c_int;
        // SAFETY: the caller's promise.
        unsafe { put(version, version_number) }
    })
}
