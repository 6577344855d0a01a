//! The service `tfleet.v1.Peers`: one conversation with a host that wants chunks.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::Stream;
use tfleet_proto::model::digest::Digest;
use tfleet_proto::model::swarm::{ChunkNumber, Peer};
use tfleet_proto::wire;
use tfleet_proto::wire::exchange_request::Said as FromAsker;
use tfleet_proto::wire::exchange_response::Said as ToAsker;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};
use tracing::debug;

use super::Peers;
use super::listener::Asker;
use super::share::{Outgoing, Share, message};

const FIRST_MESSAGE_WITHIN: Duration = Duration::from_secs(10);
/// Parts on their way to one asker.
const MESSAGES_WAITING: usize = 4;
/// Who asks for so much and reads nothing is not served.
const ANSWERS_WAITING: usize = 64;
/// What comes meanwhile is told together.
const GATHER: Duration = Duration::from_millis(10);
/// Below half of the time after which an asker takes us for gone ([`crate::swarm::Settings::silence`]).
const KEEP_ALIVE: Duration = Duration::from_millis(250);

#[derive(Debug)]
pub(super) struct PeersService {
    peers: Peers,
}

/// A conversation; dropping it gives up what it holds of the share.
struct Conversation {
    share: Arc<Share>,
    peer: Peer,
    number: u64,
    replaced: CancellationToken,
    outgoing: Outgoing,
}

impl PeersService {
    pub fn new(peers: Peers) -> Self {
        Self { peers }
    }
}

#[tonic::async_trait]
impl wire::peers_server::Peers for PeersService {
    type ExchangeStream =
        Pin<Box<dyn Stream<Item = Result<wire::ExchangeResponse, Status>> + Send>>;

    async fn exchange(
        &self,
        request: Request<Streaming<wire::ExchangeRequest>>,
    ) -> Result<Response<Self::ExchangeStream>, Status> {
        let (_, extensions, mut incoming) = request.into_parts();
        let Some(Asker(key)) = extensions.get::<Asker>() else {
            return Err(Status::internal("a request came past the listener"));
        };
        let first = timeout(FIRST_MESSAGE_WITHIN, incoming.message())
            .await
            .map_err(|_| Status::deadline_exceeded("nothing was said"))??;
        let Some(FromAsker::Artifact(artifact)) = first.and_then(|first| first.said) else {
            return Err(Status::invalid_argument(
                "the first message must be artifact",
            ));
        };
        let artifact: Digest = artifact
            .parse()
            .map_err(|error| Status::invalid_argument(format!("artifact: {error}")))?;
        // Whether it is here is for those alone who may have it.
        let refused = || Status::permission_denied("the coordinator did not name you here");
        let share = self.peers.find(&artifact).ok_or_else(refused)?;
        let (outgoing, answers) = mpsc::channel(MESSAGES_WAITING);
        let connected = share.connect(key, outgoing.clone());
        let (peer, number, replaced) = connected.ok_or_else(refused)?;
        let conversation = Conversation {
            share,
            peer,
            number,
            replaced,
            outgoing,
        };
        self.peers.tasks().spawn(conversation.hold(incoming));
        Ok(Response::new(Box::pin(ReceiverStream::new(answers))))
    }
}

impl Conversation {
    async fn hold(self, mut incoming: Streaming<wire::ExchangeRequest>) {
        let mut gains = self.share.gains();
        let (has, mut seen) = self.share.has();
        let mut waiting = vec![ToAsker::Has(has)];
        let mut keep_alive_at = Instant::now() + KEEP_ALIVE;
        loop {
            tokio::select! {
                // `message` keeps what it has read of the next message in the stream, so dropping it loses nothing.
                heard = incoming.message() => match heard {
                    Ok(Some(heard)) => {
                        if waiting.len() > ANSWERS_WAITING {
                            return;
                        }
                        if let Some(busy) = self.hear(heard) {
                            waiting.push(ToAsker::Busy(busy.0));
                        }
                    }
                    Ok(None) => return,
                    Err(status) => {
                        debug!(%status, "another host's connection broke");
                        return;
                    }
                },
                () = sleep_until(keep_alive_at), if waiting.is_empty() => {
                    waiting.push(ToAsker::KeepAlive(wire::KeepAlive {}));
                }
                // `changed` marks as seen only when it returns.
                Ok(()) = gains.changed(), if waiting.is_empty() => {
                    tokio::time::sleep(GATHER).await;
                    gains.mark_unchanged();
                    let (numbers, now) = self.share.since(seen);
                    seen = now;
                    if !numbers.is_empty() {
                        waiting.push(ToAsker::Gained(wire::Chunks { numbers }));
                    }
                }
                // A place is reserved only when this returns; what it is for is taken then.
                place = self.outgoing.reserve(), if !waiting.is_empty() => {
                    let Ok(place) = place else { return };
                    place.send(Ok(message(waiting.remove(0))));
                    keep_alive_at = Instant::now() + KEEP_ALIVE;
                }
                () = self.outgoing.closed() => return,
                () = self.replaced.cancelled() => return,
                () = self.share.ended().cancelled() => return,
            }
        }
    }

    /// The chunk that it asks for in vain.
    fn hear(&self, heard: wire::ExchangeRequest) -> Option<ChunkNumber> {
        match heard.said {
            Some(FromAsker::Ask(number)) => {
                let chunk = ChunkNumber(number);
                (!self.share.ask(self.peer, chunk)).then_some(chunk)
            }
            Some(FromAsker::Cancel(number)) => {
                self.share.cancel(self.peer, ChunkNumber(number));
                None
            }
            Some(FromAsker::Artifact(_)) | None => None,
        }
    }
}

impl Drop for Conversation {
    fn drop(&mut self) {
        self.share.disconnect(self.peer, self.number);
    }
}
