//! The conversation with one neighbour, from whom chunks are fetched.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use tempfile::NamedTempFile;
use tfleet_proto::channel::{self, Address, Trust};
use tfleet_proto::model::artifact::Chunk;
use tfleet_proto::model::digest::Digest;
use tfleet_proto::model::swarm::{ChunkNumber, ChunkSet, Neighbour, Peer};
use tfleet_proto::wire;
use tfleet_proto::wire::exchange_request::Said as ToPeer;
use tfleet_proto::wire::exchange_response::Said as FromPeer;
use tfleet_proto::wire::peers_client::PeersClient;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tracing::debug;

use super::{Frames, Incoming, Peers};

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// A part has 64 KiB, and the set of all chunks of a large image less.
const LARGEST_ANSWER_BYTES: usize = 1 << 20;
/// A neighbour says something several times a second.
const SILENCE: Duration = Duration::from_secs(10);

/// What is fetched: its chunks in order, and where they come to. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Artifact {
    pub digest: Digest,
    pub chunks: Arc<[Chunk]>,
    pub frames: Arc<dyn Frames>,
}

/// What a neighbour is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request {
    Ask(ChunkNumber),
    Cancel(ChunkNumber),
}

/// What a neighbour said, or what became of it.
#[derive(Debug)]
pub enum Event {
    /// A new connection; this is all that it has.
    Has(ChunkSet),
    Gained(Vec<ChunkNumber>),
    /// Something came: so many bytes of chunks.
    Heard(u64),
    /// A whole frame, not verified.
    Frame(ChunkNumber, NamedTempFile),
    Busy(ChunkNumber),
    /// The connection is gone, and with it what was asked for.
    Lost,
}

/// One event, on which line to which neighbour.
#[derive(Debug)]
pub struct Said {
    pub peer: Peer,
    pub line: u64,
    pub event: Event,
}

/// Hears what one neighbour says on one line.
#[derive(Debug)]
pub struct Ear {
    peer: Peer,
    line: u64,
    events: mpsc::Sender<Said>,
}

impl Ear {
    pub fn new(peer: Peer, line: u64, events: mpsc::Sender<Said>) -> Self {
        Self { peer, line, events }
    }

    async fn hears(&self, event: Event) -> Result<(), mpsc::error::SendError<Said>> {
        let Self { peer, line, .. } = *self;
        self.events.send(Said { peer, line, event }).await
    }
}

/// Connects again and again, and tells what happens, until it is dropped.
pub async fn converse(
    peers: Peers,
    artifact: Artifact,
    neighbour: Neighbour,
    mut requests: mpsc::Receiver<Request>,
    ear: Ear,
) -> Infallible {
    let mut pauses = pauses();
    loop {
        let mut connected = false;
        let end = talk(
            &peers,
            &artifact,
            &neighbour,
            &mut requests,
            &ear,
            &mut connected,
        )
        .await;
        if let Err(error) = end {
            debug!(host = %neighbour.host, error, "no connection to a neighbour");
        }
        // Nobody listens any more: we are about to be dropped.
        let _ = ear.hears(Event::Lost).await;
        if connected {
            pauses = self::pauses();
        }
        tokio::time::sleep(pauses.next().unwrap_or(LONGEST_PAUSE)).await;
    }
}

async fn talk(
    peers: &Peers,
    artifact: &Artifact,
    neighbour: &Neighbour,
    requests: &mut mpsc::Receiver<Request>,
    ear: &Ear,
    connected: &mut bool,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let trust = Trust::Host {
        identity: peers.identity(),
        key: neighbour.key,
    };
    let address: Address = neighbour.address.as_deref().unwrap_or_default().parse()?;
    let channel = channel::connect(&address, trust).await?;
    let (to_peer, outgoing) = mpsc::channel(16);
    let first = ToPeer::Artifact(artifact.digest.to_string());
    to_peer.send(message(first)).await?;
    let mut client = PeersClient::new(channel).max_decoding_message_size(LARGEST_ANSWER_BYTES);
    let mut incoming = timeout(SILENCE, client.exchange(ReceiverStream::new(outgoing)))
        .await??
        .into_inner();
    // What was asked of an earlier connection was given up with it.
    while requests.try_recv().is_ok() {}
    let chunks = &artifact.chunks;
    let mut coming = Incoming::new(artifact.frames.clone());
    loop {
        let said = tokio::select! {
            // `message` keeps what it has read of the next message in the stream, so dropping it loses nothing.
            said = timeout(SILENCE, incoming.message()) => said??.ok_or("the neighbour ended it")?.said,
            Some(request) = requests.recv() => {
                let said = match request {
                    Request::Ask(chunk) => {
                        coming.expect(chunk);
                        ToPeer::Ask(chunk.0)
                    }
                    Request::Cancel(chunk) => {
                        coming.forget(chunk);
                        ToPeer::Cancel(chunk.0)
                    }
                };
                to_peer.send(message(said)).await?;
                continue;
            }
        };
        let bytes = match &said {
            Some(FromPeer::Part(part)) => part.frame_part.len() as u64,
            _ => 0,
        };
        // Before it goes to a disk that may be busy.
        ear.hears(Event::Heard(bytes)).await?;
        let event = match said {
            Some(FromPeer::Has(set)) => {
                *connected = true;
                Some(Event::Has(ChunkSet::from_bytes(&set, chunks.len() as u32)))
            }
            Some(FromPeer::Gained(gained)) => {
                let known = gained.numbers.into_iter().take(chunks.len());
                let known = known.filter(|number| (*number as usize) < chunks.len());
                Some(Event::Gained(known.map(ChunkNumber).collect()))
            }
            Some(FromPeer::Busy(number)) => {
                coming.forget(ChunkNumber(number));
                Some(Event::Busy(ChunkNumber(number)))
            }
            Some(FromPeer::Part(part)) => {
                let frame = coming.take(part, chunks).await?;
                frame.map(|(chunk, frame)| Event::Frame(chunk, frame))
            }
            Some(FromPeer::KeepAlive(_)) | None => None,
        };
        if let Some(event) = event {
            ear.hears(event).await?;
        }
    }
}

fn message(said: ToPeer) -> wire::ExchangeRequest {
    wire::ExchangeRequest { said: Some(said) }
}

fn pauses() -> backon::ExponentialBackoff {
    ExponentialBuilder::default()
        .with_min_delay(FIRST_PAUSE)
        .with_max_delay(LONGEST_PAUSE)
        .without_max_times()
        .with_jitter()
        .build()
}
