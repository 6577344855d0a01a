//! Peers in the middle of a handshake: only so many, and the one that has been silent the longest makes room.
//!
//! A peer that means it is through within milliseconds. So silent sockets, however many, drop each other and take file
//! descriptors from nobody else.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::process::{Resource, getrlimit};
use tokio_util::sync::CancellationToken;

const AT_MOST: usize = 1024;

#[derive(Clone)]
pub struct Handshakes {
    limit: usize,
    /// Oldest first.
    pending: Arc<Mutex<VecDeque<CancellationToken>>>,
}

/// Held while a peer shakes hands.
pub struct Handshake {
    handshakes: Handshakes,
    given_up: CancellationToken,
}

impl Handshakes {
    /// At most a quarter of the process's file descriptors, since there are two listeners, files and other connections.
    pub fn new() -> Self {
        let descriptors = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        let quarter = usize::try_from(descriptors / 4).unwrap_or(AT_MOST);
        Self {
            limit: quarter.clamp(1, AT_MOST),
            pending: Arc::default(),
        }
    }

    pub fn begin(&self) -> Handshake {
        let given_up = CancellationToken::new();
        let mut pending = self.lock();
        if pending.len() >= self.limit
            && let Some(oldest) = pending.pop_front()
        {
            oldest.cancel();
        }
        pending.push_back(given_up.clone());
        Handshake {
            handshakes: self.clone(),
            given_up,
        }
    }

    /// Gives the older half up. Says how many those were.
    pub fn make_room(&self) -> usize {
        let mut pending = self.lock();
        let half = pending.len().div_ceil(2);
        pending.drain(..half).for_each(|oldest| oldest.cancel());
        half
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<CancellationToken>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Handshake {
    /// Returns when others needed the room.
    pub async fn given_up(&self) {
        self.given_up.cancelled().await;
    }
}

impl Drop for Handshake {
    fn drop(&mut self) {
        self.given_up.cancel();
        self.handshakes
            .lock()
            .retain(|pending| !pending.is_cancelled());
    }
}
