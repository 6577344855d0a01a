//! The coordinator's part in a transfer: neighbours, turns, and chunks that nobody else has.

use tfleet_proto::model::digest::Digest;
use tfleet_proto::model::swarm::{ChunkNumber, ChunkSet};
use tfleet_proto::wire;
use tfleet_proto::wire::artifacts_client::ArtifactsClient;
use tfleet_proto::wire::join_request::Said as ToCoordinator;
use tfleet_proto::wire::join_response::Said as FromCoordinator;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tonic::transport::Channel;

use super::super::interruption::{Interruption, SILENCE};

/// What the coordinator may be told before it reads.
const MESSAGES_WAITING: usize = 64;

/// The stream on which this host takes part.
#[derive(Debug)]
pub(super) struct Conversation {
    to_coordinator: mpsc::Sender<wire::JoinRequest>,
    incoming: Streaming<wire::JoinResponse>,
}

impl Conversation {
    /// Joins; others reach this host at `port`.
    pub async fn open(
        client: &mut ArtifactsClient<Channel>,
        artifact: &Digest,
        port: u16,
    ) -> Result<Self, Interruption> {
        let (to_coordinator, outgoing) = mpsc::channel(MESSAGES_WAITING);
        let conversation = client.join(ReceiverStream::new(outgoing));
        let joining = ToCoordinator::Joining(wire::Joining {
            artifact: artifact.to_string(),
            port: port.into(),
        });
        // The channel is new, so there is room.
        let _ = to_coordinator.try_send(message(joining));
        let incoming = timeout(SILENCE, conversation)
            .await
            .map_err(|_| Interruption::Silence)??
            .into_inner();
        Ok(Self {
            to_coordinator,
            incoming,
        })
    }

    /// What it says next; `None`: it has nothing more to say. Dropping the future loses nothing.
    pub async fn hear(&mut self) -> Result<Option<FromCoordinator>, Interruption> {
        loop {
            match self.incoming.message().await? {
                None => return Ok(None),
                Some(wire::JoinResponse { said: Some(said) }) => return Ok(Some(said)),
                // Of a newer coordinator.
                Some(wire::JoinResponse { said: None }) => {}
            }
        }
    }

    pub fn ask_any(&self) -> bool {
        self.say(ToCoordinator::AskAny(wire::AskAny {}))
    }

    pub fn want(&self, wanted: Option<&ChunkSet>) -> bool {
        let wanted = wanted.map(ChunkSet::to_bytes).unwrap_or_default();
        self.say(ToCoordinator::Wanted(wanted))
    }

    pub fn ask(&self, chunk: ChunkNumber) -> bool {
        self.say(ToCoordinator::Ask(chunk.0))
    }

    pub fn cancel(&self, chunk: ChunkNumber) -> bool {
        self.say(ToCoordinator::Cancel(chunk.0))
    }

    pub fn whole(&self) -> bool {
        self.say(ToCoordinator::Whole(wire::Whole {}))
    }

    /// False: it does not read, and is to be left.
    fn say(&self, said: ToCoordinator) -> bool {
        self.to_coordinator.try_send(message(said)).is_ok()
    }
}

fn message(said: ToCoordinator) -> wire::JoinRequest {
    wire::JoinRequest { said: Some(said) }
}
