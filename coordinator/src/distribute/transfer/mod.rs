//! Transfers of one artifact to many hosts at once, which fetch from each other what they can.
//!
//! A host takes part while its stream lives: its place, its neighbours and what it waits for end with it. Who sends what to
//! whom is decided in [`super::HandingOut`] and [`super::Neighbours`]; here is who they are.

mod attendance;
mod worth;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tfleet_proto::model::artifact::{ArtifactIndex, Chunk};
use tfleet_proto::model::digest::Digest;
use tfleet_proto::model::name::HostName;
use tfleet_proto::model::swarm::{ChunkNumber, ChunkSet, Distance, Neighbour, Neighbourhood, Peer};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::info;

use super::{Degree, HandingOut, Member, Neighbours, Step};

pub(super) use attendance::Attendance;

/// Chunks that are sent at once, to all hosts together.
const SLOTS: usize = 8;
/// Hosts that come together are told of each other together.
const GATHER: Duration = Duration::from_millis(100);

/// A host that takes part in a transfer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Participant {
    pub host: HostName,
    /// The digest of its public key, by which other hosts know it.
    pub key: Digest,
    /// Where it serves others, `HOST:PORT`; `None`: it does not.
    pub address: Option<String>,
    /// Its rack, or else its site, from its labels.
    pub place: String,
}

/// Every transfer that goes on. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Transfers {
    running: Arc<Mutex<BTreeMap<Digest, Arc<Transfer>>>>,
    tasks: TaskTracker,
}

/// One artifact on its way to those who take part.
#[derive(Debug)]
pub(super) struct Transfer {
    artifact: Digest,
    /// Of all layers in order; a chunk's number is its place here.
    chunks: Vec<Chunk>,
    state: Mutex<State>,
    /// Everybody who takes part has the artifact.
    over: CancellationToken,
}

#[derive(Debug)]
struct State {
    handing_out: HandingOut,
    seats: BTreeMap<Peer, Seat>,
    /// Places by name; members with equal numbers are near each other.
    places: BTreeMap<String, u32>,
    next: u32,
    /// Neighbours will be told soon.
    gathering: bool,
    /// Neighbours have been told; they stay until the end.
    shared: bool,
}

#[derive(Debug)]
struct Seat {
    participant: Participant,
    whole: bool,
    steps: mpsc::Sender<Step>,
    /// `None`: it was told nothing yet.
    neighbourhood: watch::Sender<Option<Neighbourhood>>,
    /// Another stream of the same host took its place, or it takes nothing.
    replaced: CancellationToken,
    /// Chunks that are being sent to it.
    sending: BTreeMap<ChunkNumber, CancellationToken>,
}

impl Transfers {
    pub fn new(tasks: TaskTracker) -> Self {
        Self {
            running: Arc::default(),
            tasks,
        }
    }

    /// Takes part, until what is returned is dropped.
    pub fn join(
        &self,
        artifact: Digest,
        index: &ArtifactIndex,
        participant: Participant,
    ) -> Attendance {
        let mut running = self.running();
        let transfer = running
            .entry(artifact)
            .or_insert_with(|| Arc::new(Transfer::new(artifact, index)))
            .clone();
        let attendance = transfer.clone().seat(participant, self.clone());
        drop(running);
        self.gather(&transfer);
        attendance
    }

    fn leave(&self, transfer: &Arc<Transfer>, peer: Peer) {
        {
            let mut running = self.running();
            let mut state = transfer.state();
            state.seats.remove(&peer);
            state.handing_out.lost(peer);
            transfer.hand_out(&mut state);
            self.end_if_over(&mut running, transfer, &state);
        }
        self.gather(transfer);
    }

    fn whole(&self, transfer: &Arc<Transfer>, peer: Peer) {
        let mut running = self.running();
        let mut state = transfer.state();
        state.handing_out.done(peer);
        if let Some(seat) = state.seats.get_mut(&peer) {
            seat.whole = true;
        }
        self.end_if_over(&mut running, transfer, &state);
    }

    /// A host that joins while the last one says that it has everything finds the transfer, or begins another.
    fn end_if_over(
        &self,
        running: &mut BTreeMap<Digest, Arc<Transfer>>,
        transfer: &Arc<Transfer>,
        state: &State,
    ) {
        if state.seats.values().all(|seat| seat.whole) && !transfer.over.is_cancelled() {
            transfer.over.cancel();
            running.remove(&transfer.artifact);
        }
    }

    /// Tells neighbours in a moment, unless that is about to happen.
    fn gather(&self, transfer: &Arc<Transfer>) {
        if std::mem::replace(&mut transfer.state().gathering, true) {
            return;
        }
        let transfer = transfer.clone();
        self.tasks.spawn(async move {
            // Ends at the latest with the transfer, soon after.
            tokio::time::sleep(GATHER).await;
            transfer.tell_neighbours();
        });
    }

    fn running(&self) -> MutexGuard<'_, BTreeMap<Digest, Arc<Transfer>>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Transfer {
    fn new(artifact: Digest, index: &ArtifactIndex) -> Self {
        let chunks: Vec<Chunk> = index.chunks().copied().collect();
        Self {
            artifact,
            state: Mutex::new(State {
                handing_out: HandingOut::new(chunks.len() as u32, SLOTS),
                seats: BTreeMap::new(),
                places: BTreeMap::new(),
                next: 0,
                gathering: false,
                shared: false,
            }),
            chunks,
            over: CancellationToken::new(),
        }
    }

    fn seat(self: Arc<Self>, participant: Participant, transfers: Transfers) -> Attendance {
        // Each step holds a slot, and there are at most twice as many as `SLOTS`.
        let (steps, next_steps) = mpsc::channel(2 * SLOTS);
        let (neighbourhood, told) = watch::channel(None);
        let replaced = CancellationToken::new();
        let mut state = self.state();
        for seat in state.seats.values() {
            if seat.participant.key == participant.key {
                seat.replaced.cancel();
            }
        }
        let peer = Peer(state.next);
        state.next += 1;
        let places = state.places.len() as u32;
        state
            .places
            .entry(participant.place.clone())
            .or_insert(places);
        state.seats.insert(
            peer,
            Seat {
                participant,
                whole: false,
                steps,
                neighbourhood,
                replaced: replaced.clone(),
                sending: BTreeMap::new(),
            },
        );
        drop(state);
        Attendance::new(transfers, self, peer, next_steps, told, replaced)
    }

    fn ask_any(&self, peer: Peer) {
        self.change(|state| state.handing_out.ask_any(peer));
    }

    fn ask(&self, peer: Peer, chunk: ChunkNumber) {
        self.change(|state| state.handing_out.ask(peer, chunk));
    }

    /// The chunk for a place that was offered.
    fn choose(&self, peer: Peer, wanted: &ChunkSet) -> Option<ChunkNumber> {
        self.change(|state| state.handing_out.choose(peer, wanted))
    }

    fn cancel(&self, peer: Peer, chunk: ChunkNumber) {
        self.change(|state| {
            state.handing_out.cancel(peer, chunk);
            let seat = state.seats.get(&peer);
            if let Some(sending) = seat.and_then(|seat| seat.sending.get(&chunk)) {
                sending.cancel();
            }
        });
    }

    /// What ends the sending of a chunk early.
    fn begin(&self, peer: Peer, chunk: ChunkNumber) -> CancellationToken {
        let token = CancellationToken::new();
        if let Some(seat) = self.state().seats.get_mut(&peer) {
            seat.sending.insert(chunk, token.clone());
        }
        token
    }

    fn ended(&self, peer: Peer, chunk: ChunkNumber) {
        self.change(|state| {
            if let Some(seat) = state.seats.get_mut(&peer) {
                seat.sending.remove(&chunk);
                state.handing_out.ended(peer, chunk);
            }
        });
    }

    /// Sending takes long: its slot holds up nobody any more.
    fn late(&self, peer: Peer, chunk: ChunkNumber) {
        self.change(|state| state.handing_out.late(peer, chunk));
    }

    /// The host takes nothing: its stream ends.
    fn evict(&self, peer: Peer) {
        if let Some(seat) = self.state().seats.get(&peer) {
            seat.replaced.cancel();
        }
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state();
        let changed = change(&mut state);
        self.hand_out(&mut state);
        changed
    }

    /// Fills free slots. A seat whose stream just ended takes no more, and gives its slots back when it leaves.
    fn hand_out(&self, state: &mut State) {
        while let Some(step) = state.handing_out.start() {
            let (Step::Offer(peer) | Step::Send(peer, _)) = step;
            if let Some(seat) = state.seats.get(&peer) {
                let _ = seat.steps.try_send(step);
            }
        }
    }

    fn tell_neighbours(&self) {
        let mut state = self.state();
        state.gathering = false;
        let members: Vec<Member> = state
            .seats
            .iter()
            .map(|(peer, seat)| Member {
                peer: *peer,
                place: state.places[&seat.participant.place],
                serves: seat.participant.address.is_some(),
            })
            .collect();
        if !state.shared {
            let serving = members.iter().filter(|member| member.serves).count();
            let bytes = self.chunks.iter().map(|chunk| chunk.frame_bytes).sum();
            if let Some(worth) = worth::estimate(members.len(), serving, bytes) {
                state.shared = true;
                info!(artifact = %self.artifact.short(), hosts = members.len(), "hosts fetch from each other: {worth}");
            }
        }
        let neighbours = Neighbours::new(&members, Degree::default(), seed(&self.artifact));
        let mut told: BTreeMap<Peer, Neighbourhood> = BTreeMap::new();
        for member in members.iter().filter(|_| state.shared) {
            for (other, distance) in neighbours.of(member.peer) {
                let named = |peer: Peer| state.seats[&peer].named(peer, distance);
                let (asker, asked) = (named(member.peer), named(other));
                told.entry(member.peer).or_default().neighbours.push(asked);
                told.entry(other).or_default().askers.push(asker);
            }
        }
        for (peer, seat) in &state.seats {
            let told = told.remove(peer).unwrap_or_default();
            seat.neighbourhood.send_if_modified(|before| {
                let is_new = before.as_ref() != Some(&told);
                *before = Some(told);
                is_new
            });
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seat {
    fn named(&self, peer: Peer, distance: Distance) -> Neighbour {
        Neighbour {
            peer,
            key: self.participant.key,
            host: self.participant.host.clone(),
            address: self.participant.address.clone(),
            distance,
        }
    }
}

/// Another one for each artifact, so that not always the same hosts are neighbours.
fn seed(artifact: &Digest) -> u64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&artifact.as_bytes()[..8]);
    u64::from_le_bytes(bytes)
}

#[cfg(test)]
mod tests;
