//! Events: the Xids that the driver reports.
//!
//! A set remembers how many Xids of each registered GPU it has told. One that is appended in the GPU file is the next
//! event.

use std::collections::BTreeMap;
use std::ffi::{c_int, c_uint, c_ulonglong};
use std::sync::Mutex;
use std::sync::PoisonError;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::abi::{DeviceHandle, EventData, EventDataV2, Refusal, code, put};
use crate::session::{try_with_machine, with_gpu};

/// `nvmlEventTypeXidCriticalError`.
const XID: c_ulonglong = 8;

/// How often a waiting call looks at the file.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// `nvmlEventSet_t`: GPU index → Xids already told.
pub struct EventSet(Mutex<BTreeMap<usize, usize>>);

/// # Safety
/// `set` is null or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlEventSetCreate(set: *mut *mut EventSet) -> c_int {
    code(try_with_machine(|_| {
        let created = Box::into_raw(Box::new(EventSet(Mutex::default())));
        // SAFETY: the caller's promise.
        unsafe { put(set, created) }
    }))
}

/// # Safety
/// `set` came from [`nvmlEventSetCreate`] and is not used afterwards.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlEventSetFree(set: *mut EventSet) -> c_int {
    if set.is_null() {
        return Refusal::InvalidArgument as c_int;
    }
    // SAFETY: made by `Box::into_raw` in `nvmlEventSetCreate`, given back once.
    drop(unsafe { Box::from_raw(set) });
    0
}

/// # Safety
/// `types` is null or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetSupportedEventTypes(
    device: DeviceHandle,
    types: *mut c_ulonglong,
) -> c_int {
    // SAFETY: the caller's promise.
    with_gpu(device, |_, _| unsafe { put(types, XID) })
}

/// # Safety
/// `set` is null or came from [`nvmlEventSetCreate`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceRegisterEvents(
    device: DeviceHandle,
    types: c_ulonglong,
    set: *mut EventSet,
) -> c_int {
    with_gpu(device, |gpu, index| {
        if types & !XID != 0 {
            return Err(Refusal::NotSupported);
        }
        // SAFETY: the caller's promise.
        let set = unsafe { set.as_ref() }.ok_or(Refusal::InvalidArgument)?;
        let mut told = set.0.lock().unwrap_or_else(PoisonError::into_inner);
        told.insert(index, gpu.xids.len());
        Ok(())
    })
}

/// # Safety
/// `set` is null or came from [`nvmlEventSetCreate`]; `event` is null or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlEventSetWait(
    set: *mut EventSet,
    event: *mut EventData,
    timeout_ms: c_uint,
) -> c_int {
    // SAFETY: the caller's promise.
    code(unsafe { wait(set, timeout_ms) }.and_then(|next| unsafe { put(event, next) }))
}

/// # Safety
/// As for [`nvmlEventSetWait`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlEventSetWait_v2(
    set: *mut EventSet,
    event: *mut EventDataV2,
    timeout_ms: c_uint,
) -> c_int {
    // SAFETY: the caller's promise.
    let next = unsafe { wait(set, timeout_ms) };
    code(next.and_then(|next| {
        let next = EventDataV2 {
            event: next,
            gpu_instance_id: c_uint::MAX,
            compute_instance_id: c_uint::MAX,
        };
        // SAFETY: the caller's promise.
        unsafe { put(event, next) }
    }))
}

unsafe fn wait(set: *mut EventSet, timeout_ms: c_uint) -> Result<EventData, Refusal> {
    // SAFETY: the caller's promise.
    let set = unsafe { set.as_ref() }.ok_or(Refusal::InvalidArgument)?;
    let began = Instant::now();
    loop {
        if let Some(event) = set.next()? {
            return Ok(event);
        }
        if began.elapsed() >= Duration::from_millis(timeout_ms.into()) {
            return Err(Refusal::Timeout);
        }
        sleep(LOOK_EVERY);
    }
}

impl EventSet {
    fn next(&self) -> Result<Option<EventData>, Refusal> {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        try_with_machine(|machine| {
            for (index, told) in told.iter_mut() {
                let gpu = machine.gpus.get(*index).ok_or(Refusal::GpuIsLost)?;
                if let Some(xid) = gpu.xids.get(*told) {
                    *told += 1;
                    return Ok(Some(EventData {
                        device: DeviceHandle::of_index(*index),
                        event_type: XID,
                        event_data: *xid,
                    }));
                }
            }
            Ok(None)
        })
    }
}
