//! One session, from hello to its end.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tfleet_proto::channel::{self, Trust};
use tfleet_proto::convert::wire_timestamp;
use tfleet_proto::model::failure::Failure;
use tfleet_proto::wire;
use tfleet_proto::wire::agent_message::Message as FromAgent;
use tfleet_proto::wire::coordinator_message::Message as FromCoordinator;
use tfleet_proto::wire::session_client::SessionClient;
use tfleet_proto::wire::{AgentMessage, CoordinatorMessage, Hello, StartOperation};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tracing::{info, warn};

use super::{End, Link, LinkError, version};

/// A coordinator that says nothing to our hello for so long is not one.
const SILENCE: Duration = Duration::from_secs(30);
/// The coordinator hears of changes at most so often, for as long as they go on …
const BETWEEN_MESSAGES: Duration = Duration::from_millis(250);
/// … and of the first few at once, after a quiet while: somebody waits for what a command brings about.
const AT_ONCE: u32 = 4;
/// A desired state that could not be kept is tried again this often.
const KEEP_AGAIN: Duration = Duration::from_secs(10);
/// A host with hundreds of containers has a desired state of some hundred KiB.
const LARGEST_MESSAGE_BYTES: usize = 16 << 20;

/// What the coordinator has not yet heard.
struct Unsaid {
    inventory: bool,
    status: bool,
    /// When the next message would be sent if all were spread evenly.
    spread: Instant,
}

impl Unsaid {
    /// When the next message may be sent.
    fn not_before(&self) -> Instant {
        let ahead = BETWEEN_MESSAGES * (AT_ONCE - 1);
        self.spread.checked_sub(ahead).unwrap_or(self.spread)
    }

    fn was_sent(&mut self, now: Instant) {
        self.spread = self.spread.max(now) + BETWEEN_MESSAGES;
    }
}

impl Link {
    /// Opens a session and serves it to its end. `welcomed` is set to when the coordinator accepted us.
    pub(super) async fn hold_session(
        &mut self,
        welcomed: &mut Option<Instant>,
    ) -> Result<End, LinkError> {
        let credentials = Arc::clone(&self.ends.credentials.borrow_and_update());
        let identity = Trust::Identity(credentials.client_identity());
        let channel = channel::connect(&self.coordinator, identity).await?;
        let mut client =
            SessionClient::new(channel.clone()).max_decoding_message_size(LARGEST_MESSAGE_BYTES);

        let (to_coordinator, outgoing) = mpsc::channel(2);
        // The receiver is in our hand, so there is room for the first message.
        let _ = to_coordinator.try_send(AgentMessage {
            message: Some(FromAgent::Hello(self.hello())),
        });
        let mut incoming = timeout(SILENCE, client.open(ReceiverStream::new(outgoing)))
            .await
            .map_err(|_| LinkError::Silent(SILENCE))?
            .map_err(LinkError::Refused)?
            .into_inner();
        let welcome = timeout(SILENCE, welcome(&mut incoming))
            .await
            .map_err(|_| LinkError::Silent(SILENCE))??;
        version::check(env!("CARGO_PKG_VERSION"), &welcome.coordinator_version)?;
        info!(host = %welcome.host, coordinator = %welcome.coordinator_version, "session open");
        *welcomed = Some(Instant::now());
        self.ends.channel.send_replace(Some(channel));
        self.converse(&to_coordinator, &mut incoming).await
    }

    async fn converse(
        &mut self,
        to_coordinator: &mpsc::Sender<AgentMessage>,
        incoming: &mut Streaming<CoordinatorMessage>,
    ) -> Result<End, LinkError> {
        let mut fault: Option<Failure> = None;
        self.acceptor.begin_session();
        let mut keep_again_at = Instant::now();
        // Everything is said once at the start, whatever an earlier session said.
        let mut unsaid = Unsaid {
            inventory: true,
            status: true,
            spread: Instant::now(),
        };
        loop {
            let has_something = (unsaid.inventory && self.ends.inventory.borrow().is_some())
                || (unsaid.status && (fault.is_some() || self.has_looked()));
            let room = async {
                sleep_until(unsaid.not_before()).await;
                to_coordinator.reserve().await
            };
            tokio::select! {
                // `message` keeps what it has read of the next message in the stream, so dropping it loses nothing.
                message = incoming.message() => {
                    let message = message.map_err(LinkError::Broken)?.ok_or(LinkError::Ended)?;
                    self.hear(message, &mut fault).await;
                    unsaid.status = true;
                    keep_again_at = Instant::now() + KEEP_AGAIN;
                }
                // A time that has come stays so.
                () = sleep_until(keep_again_at), if self.acceptor.is_behind() => {
                    fault = self.acceptor.try_again().await;
                    unsaid.status = true;
                    keep_again_at = Instant::now() + KEEP_AGAIN;
                }
                // `changed` marks as seen only when it returns.
                Ok(()) = self.ends.inventory.changed() => unsaid.inventory = true,
                Ok(()) = self.ends.status.changed() => unsaid.status = true,
                Ok(()) = self.ends.credentials.changed() => return Ok(End::Renewed),
                // A place is reserved only when this returns; what it is for is decided then, so it is the newest.
                place = room, if has_something => {
                    let place = place.map_err(|_| LinkError::Ended)?;
                    place.send(AgentMessage { message: Some(self.newest(&mut unsaid, fault.as_ref())) });
                    unsaid.was_sent(Instant::now());
                }
            }
        }
    }

    async fn hear(&mut self, message: CoordinatorMessage, fault: &mut Option<Failure>) {
        match message.message {
            Some(FromCoordinator::Desired(offered)) => *fault = self.acceptor.hear(offered).await,
            Some(FromCoordinator::StartOperation(operation)) => self.pass_on(operation),
            Some(FromCoordinator::Welcome(_)) => warn!("the coordinator said welcome twice"),
            None => warn!("the coordinator sent a message that this version does not know"),
        }
    }

    /// An operation that finds no room is left alone: the operator's command ends when nobody attaches.
    fn pass_on(&self, operation: StartOperation) {
        let id = operation.operation_id.clone();
        if self.ends.operations.try_send(operation).is_err() {
            warn!(
                operation = id,
                "too many operations at once; this one is not begun"
            );
        }
    }

    /// Whether the status says what was seen. Before the first look after a start it says that nothing is here, which
    /// would look as if everything were gone.
    fn has_looked(&self) -> bool {
        let status = self.ends.status.borrow();
        self.acceptor.accepted().is_none()
            || status.observed_generation > 0
            || status.fault.is_some()
    }

    fn newest(&mut self, unsaid: &mut Unsaid, fault: Option<&Failure>) -> FromAgent {
        if unsaid.inventory
            && let Some(inventory) = self.ends.inventory.borrow_and_update().clone()
        {
            unsaid.inventory = false;
            return FromAgent::Inventory(wire::Inventory::from((*inventory).clone()));
        }
        unsaid.status = false;
        let mut status = (**self.ends.status.borrow_and_update()).clone();
        if let Some(accepted) = self.acceptor.accepted() {
            (status.incarnation, status.generation) = (accepted.incarnation, accepted.generation);
        }
        status.fault = fault.cloned().or(status.fault);
        FromAgent::Status(wire::HostStatus::from(status))
    }

    fn hello(&self) -> Hello {
        let accepted = self.acceptor.accepted();
        Hello {
            agent_version: env!("CARGO_PKG_VERSION").to_owned(),
            accepted_incarnation: accepted.as_ref().map_or(0, |state| state.incarnation),
            accepted_generation: accepted.as_ref().map_or(0, |state| state.generation),
            accepted_digest: accepted
                .map(|state| state.digest().to_string())
                .unwrap_or_default(),
            host_time: Some(wire_timestamp(Timestamp::now())),
        }
    }
}

async fn welcome(incoming: &mut Streaming<CoordinatorMessage>) -> Result<wire::Welcome, LinkError> {
    let first = incoming
        .message()
        .await
        .map_err(LinkError::Refused)?
        .ok_or(LinkError::Ended)?;
    match first.message {
        Some(FromCoordinator::Welcome(welcome)) => Ok(welcome),
        _ => Err(LinkError::NoWelcome),
    }
}
