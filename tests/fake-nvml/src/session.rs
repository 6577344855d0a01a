//! Between `nvmlInit` and `nvmlShutdown`: whether NVML is initialised, and which GPU a handle means.

use std::path::PathBuf;
use std::sync::{LazyLock, Mutex, PoisonError};

use crate::abi::{Answer, DeviceHandle, Refusal, code};
use tfleet_fake_gpu::{Followed, Gpu, Machine};

struct Session {
    /// NVML counts its initialisations: as many shutdowns end it.
    initialisations: u32,
    /// None when the environment names no file: no driver, then.
    file: Option<Followed>,
}

static SESSION: LazyLock<Mutex<Session>> = LazyLock::new(|| {
    Mutex::new(Session {
        initialisations: 0,
        file: std::env::var_os("TFLEET_FAKE_GPU_FILE")
            .map(|path| Followed::new(PathBuf::from(path))),
    })
});

pub fn initialise() -> Answer {
    let mut session = lock();
    if session.machine()?.is_mismatched() {
        return Err(Refusal::LibRmVersionMismatch);
    }
    session.initialisations += 1;
    Ok(())
}

pub fn shut_down() -> Answer {
    let mut session = lock();
    session.initialisations = session
        .initialisations
        .checked_sub(1)
        .ok_or(Refusal::Uninitialized)?;
    Ok(())
}

/// Answers a call that asks about the machine.
pub fn with_machine(ask: impl FnOnce(&Machine) -> Answer) -> i32 {
    code(try_with_machine(ask))
}

/// Answers a call that asks about the library alone, which needs no initialisation: it is how nvidia-smi can name the
/// library's version when library and kernel module differ. (NVML API reference: nvmlSystemGetNVMLVersion has no
/// NVML_ERROR_UNINITIALIZED among its results.)
pub fn with_library(ask: impl FnOnce(&Machine) -> Answer) -> i32 {
    code(lock().machine().and_then(ask))
}

/// Answers a call that asks about one GPU. One that fell off the bus answers nothing else.
pub fn with_gpu(handle: DeviceHandle, ask: impl FnOnce(&Gpu, usize) -> Answer) -> i32 {
    code(try_with_machine(|machine| {
        let index = handle.index()?;
        let gpu = machine.gpus.get(index).ok_or(Refusal::GpuIsLost)?;
        if gpu.lost {
            return Err(Refusal::GpuIsLost);
        }
        if gpu.reset_required {
            return Err(Refusal::ResetRequired);
        }
        ask(gpu, index)
    }))
}

pub fn try_with_machine<T>(ask: impl FnOnce(&Machine) -> Result<T, Refusal>) -> Result<T, Refusal> {
    let mut session = lock();
    if session.initialisations == 0 {
        return Err(Refusal::Uninitialized);
    }
    ask(session.machine()?)
}

impl Session {
    fn machine(&mut self) -> Result<&Machine, Refusal> {
        let file = self.file.as_mut().ok_or(Refusal::DriverNotLoaded)?;
        // A file that cannot be understood has no better code.
        let machine = file.current().map_err(|_| Refusal::Unknown)?;
        if machine.driver_version.is_none() {
            return Err(Refusal::DriverNotLoaded);
        }
        Ok(machine)
    }
}

fn lock() -> std::sync::MutexGuard<'static, Session> {
    // A panic in another call leaves nothing half-written here: every field is set in one step.
    SESSION.lock().unwrap_or_else(PoisonError::into_inner)
}
