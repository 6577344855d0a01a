//! One artifact's chunks that this host has and gives to those who may ask.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tfleet_proto::model::artifact::Chunk;
use tfleet_proto::model::digest::Digest;
use tfleet_proto::model::swarm::{ChunkNumber, ChunkSet, Peer};
use tfleet_proto::wire;
use tfleet_proto::wire::exchange_response::Said;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::Status;

use super::Frames;
use crate::swarm::{Answer, Uploads};

/// Chunks that are sent at once.
const SLOTS: usize = 8;
/// Hosts that may wait for a slot, and chunks for which each may.
const WAITING: (usize, usize) = (64, 8);
/// Small, so that even over a slow line something is heard of this host all the time.
const PART_BYTES: usize = 64 << 10;
/// Read at once.
const READ_BYTES: u64 = 256 << 10;
/// A host that takes nothing for so long gives its slot up.
const STUCK: Duration = Duration::from_secs(10);

pub(super) type Outgoing = mpsc::Sender<Result<wire::ExchangeResponse, Status>>;

/// Who may have it, what is here of it, and what is being sent.
#[derive(Debug)]
pub struct Share {
    chunks: Arc<[Chunk]>,
    frames: Arc<dyn Frames>,
    state: Mutex<State>,
    /// How many chunks are here.
    gained: watch::Sender<usize>,
    ended: CancellationToken,
    tasks: TaskTracker,
}

#[derive(Debug)]
struct State {
    /// Chunks in the order of their coming.
    log: Vec<ChunkNumber>,
    /// Those of them that were not verified in this life.
    unproven: BTreeSet<ChunkNumber>,
    /// By the digests of their keys.
    askers: BTreeMap<Digest, Peer>,
    uploads: Uploads,
    connections: BTreeMap<Peer, Connection>,
    /// The number of the next connection.
    next: u64,
}

#[derive(Debug)]
struct Connection {
    number: u64,
    /// The asker's: numbers of peers may come to mean others.
    key: Digest,
    outgoing: Outgoing,
    replaced: CancellationToken,
    sending: BTreeMap<ChunkNumber, CancellationToken>,
}

impl Share {
    pub(super) fn new(chunks: Arc<[Chunk]>, frames: Arc<dyn Frames>, tasks: TaskTracker) -> Self {
        Self {
            chunks,
            frames,
            state: Mutex::new(State {
                log: Vec::new(),
                unproven: BTreeSet::new(),
                askers: BTreeMap::new(),
                uploads: Uploads::new(SLOTS, WAITING.0, WAITING.1),
                connections: BTreeMap::new(),
                next: 0,
            }),
            gained: watch::Sender::new(0),
            ended: CancellationToken::new(),
            tasks,
        }
    }

    /// A chunk seems to be here since an earlier life of this agent: it is verified before it is sent.
    pub fn keeps(&self, chunk: ChunkNumber) {
        self.state().unproven.insert(chunk);
        self.gained(chunk);
    }

    /// A chunk is here, verified and on disk.
    pub fn gained(&self, chunk: ChunkNumber) {
        let mut state = self.state();
        state.log.push(chunk);
        self.gained.send_replace(state.log.len());
    }

    /// Whom to serve from now on, by the digests of their keys. Connections of others end.
    pub fn set_askers(self: &Arc<Self>, askers: BTreeMap<Digest, Peer>) {
        let mut state = self.state();
        let connections = state.connections.iter();
        let unnamed = connections.filter(|(peer, one)| askers.get(&one.key) != Some(*peer));
        let unnamed: Vec<Peer> = unnamed.map(|(peer, _)| *peer).collect();
        for peer in unnamed {
            if let Some(connection) = state.connections.remove(&peer) {
                connection.end();
                state.uploads.lost(peer);
            }
        }
        state.askers = askers;
        self.upload(&mut state);
    }

    /// Ends every connection.
    pub(super) fn end(&self) {
        self.ended.cancel();
    }

    /// When nothing is served any more.
    pub fn ended(&self) -> &CancellationToken {
        &self.ended
    }

    /// Takes the connection of the host with this key, if it may ask; an earlier one ends. Gives its number as a peer and
    /// the connection's, and what says when this one shall end.
    pub(super) fn connect(
        self: &Arc<Self>,
        key: &Digest,
        outgoing: Outgoing,
    ) -> Option<(Peer, u64, CancellationToken)> {
        let replaced = CancellationToken::new();
        let mut state = self.state();
        let peer = *state.askers.get(key)?;
        state.uploads.lost(peer);
        let number = state.next;
        state.next += 1;
        let connection = Connection {
            number,
            key: *key,
            outgoing,
            replaced: replaced.clone(),
            sending: BTreeMap::new(),
        };
        if let Some(before) = state.connections.insert(peer, connection) {
            before.end();
            self.upload(&mut state);
        }
        Some((peer, number, replaced))
    }

    /// The connection is gone, and what its asker waits for with it.
    pub(super) fn disconnect(self: &Arc<Self>, peer: Peer, number: u64) {
        let mut state = self.state();
        let is_ours = |connection: &Connection| connection.number == number;
        if state.connections.get(&peer).is_some_and(is_ours)
            && let Some(connection) = state.connections.remove(&peer)
        {
            connection.end();
            state.uploads.lost(peer);
            self.upload(&mut state);
        }
    }

    /// All chunks that are here, as a set, and how many there are.
    pub(super) fn has(&self) -> (Vec<u8>, usize) {
        let state = self.state();
        let mut set = ChunkSet::empty(self.chunks.len() as u32);
        for chunk in &state.log {
            set.insert(*chunk);
        }
        (set.to_bytes(), state.log.len())
    }

    /// The chunks that came after the first `seen`, and how many there are now.
    pub(super) fn since(&self, seen: usize) -> (Vec<u32>, usize) {
        let state = self.state();
        let new = state.log.iter().skip(seen).map(|chunk| chunk.0).collect();
        (new, state.log.len())
    }

    /// Wakes when chunks come.
    pub(super) fn gains(&self) -> watch::Receiver<usize> {
        self.gained.subscribe()
    }

    /// False: the chunk will not be sent now.
    pub(super) fn ask(self: &Arc<Self>, peer: Peer, chunk: ChunkNumber) -> bool {
        let mut state = self.state();
        if chunk.0 as usize >= self.chunks.len() || state.uploads.ask(peer, chunk) == Answer::Busy {
            return false;
        }
        self.upload(&mut state);
        true
    }

    pub(super) fn cancel(self: &Arc<Self>, peer: Peer, chunk: ChunkNumber) {
        let mut state = self.state();
        let connection = state.connections.get(&peer);
        match connection.and_then(|connection| connection.sending.get(&chunk)) {
            // Its task gives the slot back.
            Some(sending) => sending.cancel(),
            None => state.uploads.ended(peer, chunk),
        }
    }

    /// Fills free slots.
    fn upload(self: &Arc<Self>, state: &mut State) {
        while let Some((peer, number)) = state.uploads.start() {
            let Some(connection) = state.connections.get_mut(&peer) else {
                state.uploads.lost(peer);
                continue;
            };
            let cancelled = CancellationToken::new();
            connection.sending.insert(number, cancelled.clone());
            let (share, outgoing) = (self.clone(), connection.outgoing.clone());
            let connection = connection.number;
            self.tasks.spawn(async move {
                // Ends with the connection, which then takes nothing. What reads the disk is not interrupted, so that
                // asking and cancelling in turn piles up no reads.
                share.send(number, &outgoing, &cancelled).await;
                share.sent(peer, connection, number);
            });
        }
    }

    async fn send(&self, number: ChunkNumber, outgoing: &Outgoing, cancelled: &CancellationToken) {
        let chunk = self.chunks[number.0 as usize];
        let say = async |said| {
            let sent = timeout(STUCK, outgoing.send(Ok(message(said))));
            matches!(cancelled.run_until_cancelled(sent).await, Some(Ok(Ok(()))))
        };
        if !self.prove(number, chunk).await {
            say(Said::Busy(number.0)).await;
            return;
        }
        let mut offset = 0;
        while offset < chunk.frame_bytes {
            let length = (chunk.frame_bytes - offset).min(READ_BYTES);
            let frames = self.frames.clone();
            let read = move || frames.read(&chunk, offset, length as usize);
            let Ok(Some(mut bytes)) = tokio::task::spawn_blocking(read).await else {
                say(Said::Busy(number.0)).await;
                return;
            };
            offset += length;
            while !bytes.is_empty() {
                let frame_part = bytes.split_to(bytes.len().min(PART_BYTES));
                let last_part = bytes.is_empty() && offset == chunk.frame_bytes;
                let part = wire::ChunkPart {
                    chunk: number.0,
                    frame_part,
                    last_part,
                };
                if !say(Said::Part(part)).await {
                    return;
                }
            }
        }
    }

    /// Whether the chunk is what it should be. What was verified in this life is believed: whoever gets it verifies it.
    async fn prove(&self, number: ChunkNumber, chunk: Chunk) -> bool {
        if !self.state().unproven.contains(&number) {
            return true;
        }
        let frames = self.frames.clone();
        let verified = tokio::task::spawn_blocking(move || frames.verify(&chunk)).await;
        let is_right = verified.unwrap_or(false);
        if is_right {
            self.state().unproven.remove(&number);
        }
        is_right
    }

    fn sent(self: &Arc<Self>, peer: Peer, connection: u64, chunk: ChunkNumber) {
        let mut state = self.state();
        let Some(current) = state.connections.get_mut(&peer) else {
            return;
        };
        if current.number == connection {
            current.sending.remove(&chunk);
            state.uploads.ended(peer, chunk);
            self.upload(&mut state);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Connection {
    fn end(self) {
        self.replaced.cancel();
        self.sending.values().for_each(CancellationToken::cancel);
    }
}

pub(super) fn message(said: Said) -> wire::ExchangeResponse {
    wire::ExchangeResponse { said: Some(said) }
}
