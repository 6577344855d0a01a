//! Work that waits for the disk or the processor, away from the threads that must not wait.

use tokio::task::spawn_blocking;

/// Runs it to its end, also when nobody waits for that any more.
pub async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match spawn_blocking(work).await {
        Ok(done) => done,
        Err(died) if died.is_panic() => std::panic::resume_unwind(died.into_panic()),
        // Blocking work is only dropped with the runtime, and then nobody waits for this.
        Err(_) => std::future::pending().await,
    }
}
