//! The session with the coordinator: held open, opened again when it breaks, and never the reason for anything to stop.

mod acceptor;
mod pauses;
mod session;
mod version;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use tfleet_proto::channel::{Address, ConnectError};
use tfleet_proto::model::inventory::Inventory;
use tfleet_proto::model::status::HostStatus;
use tfleet_proto::wire::StartOperation;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tonic::transport::Channel;
use tracing::{error, warn};

use crate::identity::Credentials;

pub use acceptor::Acceptor;
use pauses::Pauses;

pub use version::VersionError;

/// The agent's side of the session.
#[derive(Debug)]
pub struct Link {
    coordinator: Address,
    acceptor: Acceptor,
    ends: Ends,
}

/// The ends of the channels to the agent's other parts.
#[derive(Debug)]
pub struct Ends {
    pub credentials: watch::Receiver<Arc<Credentials>>,
    /// `None` until the host was first looked at.
    pub inventory: watch::Receiver<Option<Arc<Inventory>>>,
    pub status: watch::Receiver<Arc<HostStatus>>,
    /// The channel of the present session; `None` while there is none.
    pub channel: watch::Sender<Option<Channel>>,
    pub operations: mpsc::Sender<StartOperation>,
}

/// Why a session ended that was to go on.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    #[error("cannot reach the coordinator; {}", .0.remedy())]
    Connect(#[from] ConnectError),
    #[error("the coordinator refused the session: {}", .0.message())]
    Refused(tonic::Status),
    #[error("the session broke: {}", .0.message())]
    Broken(tonic::Status),
    #[error("the coordinator ended the session")]
    Ended,
    #[error("the coordinator did not answer within {} s", .0.as_secs())]
    Silent(Duration),
    #[error("the coordinator's first message was no welcome")]
    NoWelcome,
    #[error(transparent)]
    Version(#[from] VersionError),
}

/// Why a session ended as it should.
enum End {
    /// There is a new certificate; the next session shows it.
    Renewed,
}

impl Link {
    pub fn new(coordinator: Address, acceptor: Acceptor, ends: Ends) -> Self {
        Self {
            coordinator,
            acceptor,
            ends,
        }
    }

    /// Holds sessions until it is dropped.
    pub async fn run(mut self) -> Infallible {
        loop {
            let mut pauses = Pauses::default();
            loop {
                let mut welcomed: Option<Instant> = None;
                let outcome = self.hold_session(&mut welcomed).await;
                self.ends.channel.send_replace(None);
                let error = match outcome {
                    Ok(End::Renewed) => break,
                    Err(error) => error,
                };
                let pause = pauses.next(welcomed.map(|at| at.elapsed()));
                say(&error, pause);
                tokio::select! {
                    // Both only wait; whichever is dropped loses nothing.
                    () = tokio::time::sleep(pause) => {}
                    _ = self.ends.credentials.changed() => break,
                }
            }
        }
    }
}

/// What a person must mend is an error, what passes by itself a warning.
fn say(link_error: &LinkError, pause: Duration) {
    let reason: &dyn std::error::Error = link_error;
    match link_error {
        LinkError::Refused(_) | LinkError::Version(_) => {
            error!(error = reason, retry_in = ?pause, "no session with the coordinator");
        }
        LinkError::Connect(
            ConnectError::Unreachable { .. }
            | ConnectError::Silent { .. }
            | ConnectError::Closed { .. },
        )
        | LinkError::Broken(_)
        | LinkError::Ended
        | LinkError::Silent(_) => {
            warn!(error = reason, retry_in = ?pause, "no session with the coordinator; what runs goes on");
        }
        LinkError::Connect(_) | LinkError::NoWelcome => {
            error!(error = reason, retry_in = ?pause, "no session with the coordinator");
        }
    }
}
