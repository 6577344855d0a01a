//! Blocking work in which a thread may hang for ever: a driver's library, a file of the driver, a remote disk.
//!
//! Such a thread cannot be ended. So there is at most one, and whoever waits for it gives up when it stops getting on,
//! not when it takes long: without persistence mode each GPU is woken anew, which takes seconds for each.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;

/// One thread at a time for one kind of work. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct LoneThread {
    /// Held by the thread as long as it lives.
    inside: Arc<Semaphore>,
    silent_for: Duration,
}

/// By which the work shows that it gets on.
#[derive(Debug, Clone)]
pub(super) struct Steps(watch::Sender<()>);

impl LoneThread {
    /// Work without a step for `silent_for` counts as hung.
    pub fn new(silent_for: Duration) -> Self {
        Self {
            inside: Arc::new(Semaphore::new(1)),
            silent_for,
        }
    }

    /// `None`: the work hangs, now or since an earlier call, or the agent stops.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Steps) -> T + Send + 'static,
    ) -> Option<T> {
        let held = Arc::clone(&self.inside).try_acquire_owned().ok()?;
        let (steps, mut seen) = watch::channel(());
        let mut work = tokio::task::spawn_blocking(move || {
            let _held = held;
            work(&Steps(steps))
        });
        loop {
            tokio::select! {
                done = &mut work => return done.ok(),
                step = timeout(self.silent_for, seen.changed()) => match step {
                    Ok(Ok(())) => {}
                    // The work is over.
                    Ok(Err(_)) => return work.await.ok(),
                    Err(_) => return None,
                },
            }
        }
    }

    /// Takes the thread as one that hangs does, until the permit is dropped.
    #[cfg(test)]
    pub fn hang(&self) -> tokio::sync::OwnedSemaphorePermit {
        Arc::clone(&self.inside).try_acquire_owned().unwrap()
    }
}

impl Steps {
    pub fn step(&self) {
        self.0.send_replace(());
    }
}

#[cfg(test)]
mod tests;
