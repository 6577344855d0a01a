//! One host's part in a transfer: its stream.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tfleet_proto::model::artifact::Chunk;
use tfleet_proto::model::swarm::{ChunkNumber, ChunkSet, Neighbourhood, Peer};
use tfleet_proto::wire;
use tfleet_proto::wire::join_request::Said as FromHost;
use tfleet_proto::wire::join_response::Said as ToHost;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use tonic::{Status, Streaming};
use tracing::debug;

use super::super::{Step, frame_part, parts};
use super::{Transfer, Transfers};
use crate::artifact::Artifacts;

/// A host that does not answer an offer for so long keeps its place from others no longer.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// A host that takes nothing for so long is left.
const STUCK: Duration = Duration::from_secs(60);
/// A chunk that takes so long does not keep a slot from others.
const LATE: Duration = Duration::from_secs(5);
/// A host that hears nothing for longer takes us for gone.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// A host that is told so much and reads none of it is not served.
const ANSWERS_WAITING: usize = 64;

pub(crate) type Outgoing = mpsc::Sender<Result<wire::JoinResponse, Status>>;

/// Dropping it is leaving.
#[derive(Debug)]
pub(crate) struct Attendance {
    transfers: Transfers,
    pub(super) transfer: Arc<Transfer>,
    pub(super) peer: Peer,
    pub(super) steps: mpsc::Receiver<Step>,
    pub(super) neighbourhood: watch::Receiver<Option<Neighbourhood>>,
    pub(super) replaced: CancellationToken,
}

impl Attendance {
    pub(super) fn new(
        transfers: Transfers,
        transfer: Arc<Transfer>,
        peer: Peer,
        steps: mpsc::Receiver<Step>,
        neighbourhood: watch::Receiver<Option<Neighbourhood>>,
        replaced: CancellationToken,
    ) -> Self {
        Self {
            transfers,
            transfer,
            peer,
            steps,
            neighbourhood,
            replaced,
        }
    }

    /// Serves the host until it leaves, is replaced, or the transfer is over.
    pub async fn serve(
        mut self,
        mut incoming: Streaming<wire::JoinRequest>,
        outgoing: Outgoing,
        store: Artifacts,
        stop: CancellationToken,
    ) {
        let mut waiting: Vec<ToHost> = Vec::new();
        let mut offered: Option<Instant> = None;
        let mut keep_alive_at = Instant::now() + KEEP_ALIVE;
        loop {
            let deadline = offered.unwrap_or_else(Instant::now);
            tokio::select! {
                // `message` keeps what it has read of the next message in the stream, so dropping it loses nothing.
                heard = incoming.message() => match heard {
                    Ok(Some(heard)) => {
                        let answer = self.hear(heard, &mut offered, &outgoing, &store);
                        match answer {
                            Ok(answer) if waiting.len() < ANSWERS_WAITING => waiting.extend(answer),
                            Ok(_) => return,
                            Err(refused) => {
                                let _ = outgoing.try_send(Err(refused));
                                return;
                            }
                        }
                    }
                    Ok(None) => return,
                    Err(status) => {
                        debug!(%status, "a host's part in a transfer broke off");
                        return;
                    }
                },
                Some(step) = self.steps.recv() => match step {
                    Step::Offer(_) => {
                        offered = Some(Instant::now() + ANSWER_WITHIN);
                        waiting.push(ToHost::Offer(wire::Offer {}));
                    }
                    Step::Send(_, chunk) => self.send(chunk, &outgoing, &store),
                },
                // `changed` marks as seen only when it returns.
                Ok(()) = self.neighbourhood.changed() => {
                    let told = self.neighbourhood.borrow_and_update().clone().unwrap_or_default();
                    waiting.retain(|said| !matches!(said, ToHost::Neighbourhood(_)));
                    waiting.push(ToHost::Neighbourhood(told.into()));
                }
                // A place is reserved only when this returns; what it is for is taken then.
                place = outgoing.reserve(), if !waiting.is_empty() => {
                    let Ok(place) = place else { return };
                    place.send(Ok(message(waiting.remove(0))));
                }
                () = sleep_until(keep_alive_at), if waiting.is_empty() => {
                    keep_alive_at = Instant::now() + KEEP_ALIVE;
                    waiting.push(ToHost::KeepAlive(wire::KeepAlive {}));
                }
                () = sleep_until(deadline), if offered.is_some() => {
                    offered = None;
                    self.transfer.choose(self.peer, &ChunkSet::empty(0));
                }
                () = self.transfer.over.cancelled() => return,
                () = self.replaced.cancelled() => {
                    let _ = outgoing.try_send(Err(Status::aborted("another stream of this host for this artifact began, or it took nothing")));
                    return;
                }
                () = stop.cancelled() => {
                    let _ = outgoing.try_send(Err(Status::unavailable("the coordinator is stopping")));
                    return;
                }
            }
        }
    }

    fn hear(
        &self,
        heard: wire::JoinRequest,
        offered: &mut Option<Instant>,
        outgoing: &Outgoing,
        store: &Artifacts,
    ) -> Result<Option<ToHost>, Status> {
        let peer = self.peer;
        match heard.said {
            Some(FromHost::AskAny(_)) => self.transfer.ask_any(peer),
            Some(FromHost::Ask(number)) => self.transfer.ask(peer, ChunkNumber(number)),
            Some(FromHost::Cancel(number)) => self.transfer.cancel(peer, ChunkNumber(number)),
            Some(FromHost::Whole(_)) => self.transfers.whole(&self.transfer, peer),
            Some(FromHost::Wanted(wanted)) => {
                // An answer that came too late has no place to fill.
                let chunk = offered.take().and_then(|_| {
                    let wanted = ChunkSet::from_bytes(&wanted, self.transfer.chunks.len() as u32);
                    self.transfer.choose(peer, &wanted)
                });
                match chunk {
                    Some(chunk) => self.send(chunk, outgoing, store),
                    None => return Ok(Some(ToHost::Nothing(wire::Nothing {}))),
                }
            }
            Some(FromHost::Joining(_)) => {
                return Err(Status::invalid_argument(
                    "joining is the first message and no other",
                ));
            }
            None => debug!("a host said something that this version does not know"),
        }
        Ok(None)
    }

    /// Sends a chunk beside the conversation; it holds its slot until it is sent or cancelled.
    fn send(&self, number: ChunkNumber, outgoing: &Outgoing, store: &Artifacts) {
        let Some(chunk) = self.transfer.chunks.get(number.0 as usize).copied() else {
            return;
        };
        let cancelled = self.transfer.begin(self.peer, number);
        let (transfer, peer) = (self.transfer.clone(), self.peer);
        let (outgoing, store) = (outgoing.clone(), store.clone());
        let sending = Sending {
            number,
            chunk,
            outgoing,
            store,
            cancelled,
            transfer,
            peer,
        };
        self.transfers.tasks.spawn(sending.run());
    }
}

/// One chunk on its way. What reads it is not interrupted, so that asking and cancelling in turn piles up no reads.
struct Sending {
    number: ChunkNumber,
    chunk: Chunk,
    outgoing: Outgoing,
    store: Artifacts,
    cancelled: CancellationToken,
    transfer: Arc<Transfer>,
    peer: Peer,
}

impl Sending {
    async fn run(self) {
        let mut sent = pin!(self.send());
        let sent = tokio::select! {
            // Goes on below where it is late.
            sent = &mut sent => sent,
            () = sleep(LATE) => {
                self.transfer.late(self.peer, self.number);
                sent.await
            }
        };
        if let Err(status) = sent {
            debug!(%status, "a chunk was not sent");
            self.say(ToHost::Damaged(self.number.0)).await;
        }
        self.transfer.ended(self.peer, self.number);
    }

    /// Until it is sent, nobody wants it, or nobody takes it.
    async fn send(&self) -> Result<(), Status> {
        if !self.say(ToHost::Begins(self.number.0)).await {
            return Ok(());
        }
        for part in parts(self.number.0, self.chunk) {
            let frame_part = frame_part(self.store.clone(), part).await?;
            let said = ToHost::Part(wire::ChunkPart {
                chunk: self.number.0,
                frame_part,
                last_part: part.is_last(),
            });
            if !self.say(said).await {
                return Ok(());
            }
        }
        Ok(())
    }

    /// False: no more is wanted, or taken.
    async fn say(&self, said: ToHost) -> bool {
        tokio::select! {
            // A message that is not sent is not wanted.
            sent = self.outgoing.send(Ok(message(said))) => sent.is_ok(),
            () = self.cancelled.cancelled() => false,
            () = sleep(STUCK) => {
                self.transfer.evict(self.peer);
                false
            }
        }
    }
}

fn message(said: ToHost) -> wire::JoinResponse {
    wire::JoinResponse { said: Some(said) }
}

impl Drop for Attendance {
    fn drop(&mut self) {
        self.transfers.leave(&self.transfer, self.peer);
    }
}
