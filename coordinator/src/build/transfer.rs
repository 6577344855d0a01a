//! An image archive that arrives piece by piece, into the store: one pass, no second copy on disk.

use tokio::sync::watch;

use super::BuildError;
use super::disk::{Need, stored_bytes_estimate};
use super::engine::BuilderEngine;
use super::pipe::{self, PipeReader};
use crate::artifact::{Artifacts, Origin, Received, Secrets, receive};

/// Progress is told this often; every write would be a hundred thousand times.
const TELL_BYTES: u64 = 8 << 20;

/// What it takes to bring an image of `image_bytes` from the engine into the store.
///
/// # Errors
/// If the engine does not say what it is.
pub async fn needs(
    engine: &BuilderEngine,
    artifacts: &Artifacts,
    image_bytes: u64,
) -> Result<Vec<Need>, BuildError> {
    let stored_bytes = stored_bytes_estimate(image_bytes);
    let mut needs = vec![Need::new(artifacts.root(), stored_bytes)];
    // An old engine makes a copy of the image before it sends the first byte.
    let root = engine.data_root().await?;
    needs.extend(root.map(|root| Need::new(&root, image_bytes)));
    Ok(needs)
}

/// Reads `reference` out of the engine into the store. `progress` is told the bytes of layers stored so far.
///
/// # Errors
/// If the engine fails, or what it gives is refused.
pub async fn store(
    engine: &BuilderEngine,
    reference: &str,
    artifacts: &Artifacts,
    origin: Origin,
    secrets: Secrets,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<Received, BuildError> {
    let (pieces, reader) = pipe::to_reader();
    let stored = take(reader, artifacts, origin, secrets, progress);
    let (stored, saved) = tokio::join!(stored, engine.save(reference, pieces));
    // An engine that fails cuts the archive short: its own error says more than that.
    saved?;
    stored
}

/// Takes what `reader` gives into the store, on a blocking thread.
///
/// # Errors
/// If it is refused or cannot be stored.
pub async fn take(
    reader: PipeReader,
    artifacts: &Artifacts,
    origin: Origin,
    secrets: Secrets,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<Received, BuildError> {
    let store = artifacts.clone();
    let (stored_bytes, mut changes) = watch::channel(0);
    let stored = tokio::task::spawn_blocking(move || {
        receive(reader, &store, origin, &secrets, &|bytes| {
            stored_bytes.send_if_modified(|last| {
                let due = bytes >= *last + TELL_BYTES;
                if due {
                    *last = bytes;
                }
                due
            });
        })
    });
    let tell = async {
        while changes.changed().await.is_ok() {
            progress(*changes.borrow_and_update());
        }
    };
    let (stored, ()) = tokio::join!(stored, tell);
    Ok(stored.map_err(|_| BuildError::Cancelled)??)
}
