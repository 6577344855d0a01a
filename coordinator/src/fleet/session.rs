//! A host's seat in the fleet: at most one session holds it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use jiff::Timestamp;
use tfleet_proto::model::name::HostName;
use tfleet_proto::wire;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::Fleet;
use crate::store::StoreError;

/// Operations that may wait for an agent to hear of them.
const STARTS_WAITING: usize = 64;

pub(super) struct Seat {
    number: u64,
    ended: CancellationToken,
    pub(super) starts: mpsc::Sender<wire::StartOperation>,
}

/// Held by a running session. Dropping it says that the host is gone.
pub struct SessionSeat {
    fleet: Fleet,
    host: HostName,
    number: u64,
    /// Cancelled when another session of the same host takes the seat, or the host is removed.
    pub ended: CancellationToken,
    pub starts: mpsc::Receiver<wire::StartOperation>,
}

/// Why a seat could not be taken.
#[derive(Debug, thiserror::Error)]
pub enum SessionEnd {
    #[error("{0} is not enrolled")]
    NotEnrolled(HostName),
    #[error(transparent)]
    Store(#[from] StoreError),
}

static NEXT_NUMBER: AtomicU64 = AtomicU64::new(1);

impl Fleet {
    /// Takes the host's seat; a session that holds it ends.
    pub async fn sit_down(
        &self,
        host: &HostName,
        agent_version: &str,
        address: SocketAddr,
    ) -> Result<SessionSeat, SessionEnd> {
        let (sender, starts) = mpsc::channel(STARTS_WAITING);
        let number = NEXT_NUMBER.fetch_add(1, Ordering::Relaxed);
        let ended = CancellationToken::new();
        let now = Timestamp::now();
        let mut found = false;
        self.update(host, |entry| {
            found = true;
            if let Some(before) = entry.seat.replace(Seat {
                number,
                ended: ended.clone(),
                starts: sender,
            }) {
                before.end();
            }
            let view = Arc::make_mut(&mut entry.view);
            view.connected = true;
            view.last_seen_at = Some(now);
            view.agent_version = Some(agent_version.to_owned());
            view.address = Some(address.ip().to_string());
        });
        if !found {
            return Err(SessionEnd::NotEnrolled(host.clone()));
        }
        let seat = SessionSeat {
            fleet: self.clone(),
            host: host.clone(),
            number,
            ended,
            starts,
        };
        let address = address.ip().to_string();
        self.inner
            .store
            .host_seen(host.clone(), now, agent_version.to_owned(), address)
            .await?;
        Ok(seat)
    }

    /// Where to tell a host to start an operation; none: it is not connected.
    pub(super) fn starts_of(&self, host: &HostName) -> Option<mpsc::Sender<wire::StartOperation>> {
        self.read()
            .hosts
            .get(host)
            .and_then(|entry| entry.seat.as_ref())
            .map(|seat| seat.starts.clone())
    }
}

impl Seat {
    pub(super) fn end(&self) {
        self.ended.cancel();
    }
}

impl Drop for SessionSeat {
    fn drop(&mut self) {
        let number = self.number;
        self.fleet.update(&self.host, |entry| {
            // A newer session may hold the seat by now.
            if entry
                .seat
                .as_ref()
                .is_some_and(|seat| seat.number == number)
            {
                entry.seat = None;
                let view = Arc::make_mut(&mut entry.view);
                view.connected = false;
                view.last_seen_at = Some(Timestamp::now());
            }
        });
    }
}
