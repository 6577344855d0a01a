//! An image out of a builder's engine into the store: one pass, no second copy on disk.

use super::BuildError;
use super::engine::BuilderEngine;
use super::pipe;
use crate::artifact::{Artifacts, Origin, Received, Secrets, receive};

/// Reads `reference` out of the engine into the store. `progress` is told the bytes of layers stored so far.
///
/// # Errors
/// If the engine fails, or what it gives is refused.
pub async fn store(
    engine: &BuilderEngine,
    reference: &str,
    artifacts: &Artifacts,
    origin: Origin<'static>,
    secrets: Secrets,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<Received, BuildError> {
    let (pieces, reader) = pipe::to_reader();
    let store = artifacts.clone();
    let (stored_bytes, mut stored_changes) = tokio::sync::watch::channel(0);
    let stored = tokio::task::spawn_blocking(move || {
        receive(reader, &store, origin, &secrets, &|bytes| {
            stored_bytes.send_if_modified(|last| {
                // Every write would wake the listener a hundred thousand times.
                let due = bytes >= *last + (8 << 20);
                if due {
                    *last = bytes;
                }
                due
            });
        })
    });
    let watch = async {
        while stored_changes.changed().await.is_ok() {
            progress(*stored_changes.borrow_and_update());
        }
    };
    let (stored, saved, ()) = tokio::join!(stored, engine.save(reference, pieces), watch);
    // An engine that fails cuts the archive short: its own error says more than that.
    saved?;
    Ok(stored.map_err(|_| BuildError::Cancelled)??)
}
