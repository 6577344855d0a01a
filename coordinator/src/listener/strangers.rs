//! Peers that nobody knows: in the middle of a handshake, or through it without a certificate. Only so many are here at a
//! time, and the one that came first makes room.
//!
//! A peer that means it is through with either within moments. So silent sockets, however many, drop each other and take
//! file descriptors from nobody else.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::process::{Resource, getrlimit};
use tokio_util::sync::CancellationToken;

const SHAKING_HANDS: usize = 1024;
const WITHOUT_CERTIFICATE: usize = 256;

#[derive(Clone)]
pub struct Strangers {
    limit: usize,
    /// Oldest first.
    present: Arc<Mutex<VecDeque<CancellationToken>>>,
}

/// Held while a peer is here that nobody knows.
pub struct Stranger {
    strangers: Strangers,
    sent_away: CancellationToken,
}

impl Strangers {
    /// In the middle of a handshake: at most a quarter of the process's file descriptors, since there are two listeners,
    /// files and other connections.
    pub fn shaking_hands() -> Self {
        Self::at_most(SHAKING_HANDS.min(descriptors() / 4))
    }

    /// Through the handshake without a certificate: at most an eighth.
    pub fn without_certificate() -> Self {
        Self::at_most(WITHOUT_CERTIFICATE.min(descriptors() / 8))
    }

    pub(super) fn at_most(limit: usize) -> Self {
        Self {
            limit: limit.max(1),
            present: Arc::default(),
        }
    }

    pub fn enter(&self) -> Stranger {
        let sent_away = CancellationToken::new();
        let mut present = self.lock();
        if present.len() >= self.limit
            && let Some(oldest) = present.pop_front()
        {
            oldest.cancel();
        }
        present.push_back(sent_away.clone());
        Stranger {
            strangers: self.clone(),
            sent_away,
        }
    }

    /// Sends the older half away. Says how many those were.
    pub fn make_room(&self) -> usize {
        let mut present = self.lock();
        let half = present.len().div_ceil(2);
        present.drain(..half).for_each(|oldest| oldest.cancel());
        half
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<CancellationToken>> {
        self.present.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stranger {
    /// Returns when others needed the room.
    pub async fn sent_away(&self) {
        self.sent_away.cancelled().await;
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        self.sent_away.cancel();
        self.strangers
            .lock()
            .retain(|present| !present.is_cancelled());
    }
}

fn descriptors() -> usize {
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    usize::try_from(limit).unwrap_or(usize::MAX)
}
