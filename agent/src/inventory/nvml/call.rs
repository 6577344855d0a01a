//! Asking NVML by its newest call for a value, and by older ones where a driver's library lacks it.

use nvml_wrapper::error::NvmlError;
use tfleet_proto::model::inventory::Source;

/// One version of a call.
pub(super) type Call<'a, T> = &'a dyn Fn() -> Result<T, NvmlError>;

/// The answer of the first call that this library has, newest first. `None`: it has none of them, or the GPU does not
/// have the value.
pub(super) fn newest<T>(calls: &[Call<'_, T>]) -> Result<Option<(T, Source)>, NvmlError> {
    for (age, call) in calls.iter().enumerate() {
        match call() {
            Ok(value) => {
                return Ok(Some((
                    value,
                    if age == 0 {
                        Source::Nvml
                    } else {
                        Source::NvmlOlder
                    },
                )));
            }
            Err(error) if is_older_library(&error) => {}
            Err(NvmlError::NotSupported) => return Ok(None),
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

/// Whether an older call may do what this one could not. A code that the wrapper does not know stands for one of the
/// newer refusals, such as that of a structure's version.
fn is_older_library(error: &NvmlError) -> bool {
    matches!(
        error,
        NvmlError::FailedToLoadSymbol(_)
            | NvmlError::FunctionNotFound
            | NvmlError::UnexpectedVariant(_)
    )
}
