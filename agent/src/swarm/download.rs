//! One image on its way to one agent.

use std::collections::BTreeSet;
use std::time::Duration;

use tfleet_proto::model::swarm::{ChunkNumber, ChunkSet, Distance, Peer, Random};

use super::Settings;
use super::neighbour::{Neighbour, smoothed};

/// Where a chunk comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// A neighbour.
    Peer(Peer),
    /// The last resort, and the first source of every chunk.
    Coordinator,
}

/// What the agent is to do now, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Request this chunk.
    Ask { source: Source, chunk: ChunkNumber },
    /// The chunk came from elsewhere: the source should stop. Bytes that still come are thrown away.
    Cancel { source: Source, chunk: ChunkNumber },
    /// Enter the coordinator's queue for any chunk; it answers with a turn, to which [`Download::turn`] is the reply.
    AskForTurn,
    /// The peer has gone silent: close the connection, dial again later, and send its chunks anew with
    /// [`Download::has`].
    Reconnect { peer: Peer },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    None,
    Asked,
    /// Said what is wanted; the coordinator chooses.
    Answered,
    Sending(ChunkNumber),
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Flight {
    pub chunk: ChunkNumber,
    pub source: Source,
    pub asked: Duration,
}

/// The state of the transfer. Inputs change it; [`Download::plan`] says what follows from them.
///
/// Invariants: a peer is asked only for chunks that it said it has; a peer that sent a corrupt chunk is never asked
/// again; `flights` never exceed `in_flight`; a chunk is in `unasked` exactly if it is missing and in no flight.
#[derive(Debug)]
pub struct Download {
    pub(super) settings: Settings,
    pub(super) random: Random,
    pub(super) neighbours: Vec<Neighbour>,
    barred: BTreeSet<Peer>,
    pub(super) missing: ChunkSet,
    pub(super) unasked: ChunkSet,
    /// How many neighbours have each chunk, and how many near ones.
    pub(super) holders: Vec<u16>,
    pub(super) near_holders: Vec<u16>,
    pub(super) offered: ChunkSet,
    pub(super) flights: Vec<Flight>,
    pub(super) turn: Turn,
    pub(super) pending: Vec<Action>,
    /// From request to arrival over all peers, smoothed; zero before the first.
    pub(super) pace: Duration,
    pub(super) last_arrival: Duration,
    pub(super) coordinator_rests_until: Duration,
}

impl Download {
    /// Fetches what `have`, verified and on disk, lacks.
    pub fn new(have: &ChunkSet, settings: Settings, seed: u64, now: Duration) -> Self {
        let chunks = have.chunks();
        let mut missing = ChunkSet::full(chunks);
        missing.without(have);
        Self {
            settings,
            random: Random::new(seed),
            neighbours: Vec::new(),
            barred: BTreeSet::new(),
            unasked: missing.clone(),
            missing,
            holders: vec![0; chunks as usize],
            near_holders: vec![0; chunks as usize],
            offered: ChunkSet::empty(chunks),
            flights: Vec::new(),
            turn: Turn::None,
            pending: Vec::new(),
            pace: Duration::ZERO,
            last_arrival: now,
            coordinator_rests_until: Duration::ZERO,
        }
    }

    /// Whether every chunk is here.
    pub fn is_complete(&self) -> bool {
        self.missing.is_empty()
    }

    /// What is not here yet.
    pub fn missing(&self) -> &ChunkSet {
        &self.missing
    }

    /// Chunks asked for and not here yet.
    pub fn in_flight(&self) -> usize {
        self.flights.len()
    }

    /// The neighbours that the coordinator names now; peers that were barred stay so.
    ///
    /// What was asked of the coordinator while there were none is taken back: it would send to each what one can give to
    /// the others.
    pub fn set_neighbours(&mut self, named: &[(Peer, Distance)], now: Duration) {
        let gone: Vec<Peer> = self
            .neighbours
            .iter()
            .map(|n| n.peer)
            .filter(|peer| !named.iter().any(|(p, _)| p == peer))
            .collect();
        for peer in gone {
            self.cancel_flights_of(Source::Peer(peer));
            self.remove(peer);
        }
        if self.neighbours.is_empty() && !named.is_empty() {
            self.cancel_flights_of(Source::Coordinator);
        }
        for &(peer, distance) in named {
            if let Err(place) = self.place(peer)
                && !self.barred.contains(&peer)
            {
                self.neighbours.insert(
                    place,
                    Neighbour::new(peer, distance, self.missing.chunks(), now),
                );
            }
        }
    }

    /// The coordinator's numbers mean other peers from now on. What is asked for is asked for anew.
    pub fn forget_neighbours(&mut self) {
        while let Some(peer) = self.neighbours.last().map(|neighbour| neighbour.peer) {
            self.remove(peer);
        }
        self.barred.clear();
    }

    /// A peer says all that it has; said on each new connection.
    pub fn has(&mut self, peer: Peer, have: &ChunkSet, now: Duration) {
        let Ok(place) = self.place(peer) else { return };
        self.forget_chunks(place);
        self.neighbours[place].heard = now;
        have.iter().for_each(|chunk| self.note(place, chunk));
    }

    /// A peer has more chunks than before.
    pub fn gained(&mut self, peer: Peer, chunks: &[ChunkNumber], now: Duration) {
        let Ok(place) = self.place(peer) else { return };
        self.neighbours[place].heard = now;
        chunks.iter().for_each(|&chunk| self.note(place, chunk));
    }

    /// Anything at all came from the peer: part of a chunk, a keep-alive.
    pub fn heard(&mut self, peer: Peer, now: Duration) {
        if let Ok(place) = self.place(peer) {
            self.neighbours[place].heard = now;
        }
    }

    /// A chunk is here and its hash is right. Whether it was still missing.
    pub fn arrived(&mut self, source: Source, chunk: ChunkNumber, now: Duration) -> bool {
        if let Some(flight) = self.take_flight(source, chunk) {
            let took = now.saturating_sub(flight.asked);
            self.pace = smoothed(self.pace, took);
            if let Source::Peer(peer) = source
                && let Ok(place) = self.place(peer)
            {
                self.neighbours[place].served(took, now);
            }
        }
        self.last_arrival = now;
        self.unasked.remove(chunk);
        if !self.missing.remove(chunk) {
            return false;
        }
        while let Some(other) = self
            .flights
            .iter()
            .find(|flight| flight.chunk == chunk)
            .copied()
        {
            self.take_flight(other.source, chunk);
            self.pending.push(Action::Cancel {
                source: other.source,
                chunk,
            });
        }
        true
    }

    /// A chunk came with a wrong hash: a peer that sends such is never asked again.
    pub fn corrupt(&mut self, source: Source, chunk: ChunkNumber, now: Duration) {
        match source {
            Source::Peer(peer) => {
                self.remove(peer);
                self.barred.insert(peer);
            }
            Source::Coordinator => self.failed(source, chunk, now),
        }
    }

    /// A request was refused as busy or broke off; its source rests.
    pub fn failed(&mut self, source: Source, chunk: ChunkNumber, now: Duration) {
        self.take_flight(source, chunk);
        match source {
            Source::Peer(peer) => {
                if let Ok(place) = self.place(peer) {
                    self.neighbours[place].failed(&self.settings, now);
                }
            }
            Source::Coordinator => self.coordinator_rests_until = now + self.settings.rest,
        }
    }

    /// The connection is gone, and with it what the peer said it has.
    pub fn lost(&mut self, source: Source, now: Duration) {
        self.take_flights_of(source);
        match source {
            Source::Peer(peer) => {
                if let Ok(place) = self.place(peer) {
                    self.forget_chunks(place);
                    self.neighbours[place].failed(&self.settings, now);
                }
            }
            Source::Coordinator => {
                self.turn = Turn::None;
                self.coordinator_rests_until = now + self.settings.rest;
            }
        }
    }

    /// The coordinator has a free slot for this agent: what it may send. None declines.
    ///
    /// First what no neighbour offers; if nothing is left of that, whatever is not asked for; at the end, what is late.
    pub fn turn(&mut self, now: Duration) -> Option<ChunkSet> {
        let mut wanted = self.unasked.clone();
        wanted.without(&self.offered);
        if wanted.is_empty() {
            wanted.copy_from(&self.unasked);
        }
        if wanted.is_empty() {
            let late = self.late();
            for flight in &self.flights {
                if flight.source != Source::Coordinator && now.saturating_sub(flight.asked) >= late
                {
                    wanted.insert(flight.chunk);
                }
            }
        }
        if wanted.is_empty() || self.flights.len() >= self.settings.in_flight {
            self.turn = Turn::None;
            return None;
        }
        self.turn = Turn::Answered;
        Some(wanted)
    }

    /// The coordinator begins to send `chunk`, or, with `None`, has nothing for this agent.
    pub fn turn_begins(&mut self, chunk: Option<ChunkNumber>, now: Duration) {
        self.turn = Turn::None;
        let Some(chunk) = chunk else {
            // What it could send is on its way to others, from whom it will come.
            self.coordinator_rests_until = now + self.settings.late.max(self.pace / 2);
            return;
        };
        if !self.missing.contains(chunk) || self.flights.len() >= self.settings.in_flight {
            self.pending.push(Action::Cancel {
                source: Source::Coordinator,
                chunk,
            });
            return;
        }
        self.unasked.remove(chunk);
        self.turn = Turn::Sending(chunk);
        self.flights.push(Flight {
            chunk,
            source: Source::Coordinator,
            asked: now,
        });
    }

    /// Ends a flight; its chunk is to be asked for again unless another flight brings it.
    pub(super) fn take_flight(&mut self, source: Source, chunk: ChunkNumber) -> Option<Flight> {
        let place = self
            .flights
            .iter()
            .position(|flight| flight.source == source && flight.chunk == chunk)?;
        let flight = self.flights.remove(place);
        match source {
            Source::Peer(peer) => {
                if let Ok(place) = self.place(peer) {
                    self.neighbours[place].owed -= 1;
                }
            }
            Source::Coordinator if self.turn == Turn::Sending(chunk) => self.turn = Turn::None,
            Source::Coordinator => {}
        }
        if self.missing.contains(chunk) && !self.flights.iter().any(|other| other.chunk == chunk) {
            self.unasked.insert(chunk);
        }
        Some(flight)
    }

    fn take_flights_of(&mut self, source: Source) {
        while let Some(flight) = self.flights.iter().find(|flight| flight.source == source) {
            self.take_flight(source, flight.chunk);
        }
    }

    fn cancel_flights_of(&mut self, source: Source) {
        while let Some(flight) = self.flights.iter().find(|flight| flight.source == source) {
            let chunk = flight.chunk;
            self.take_flight(source, chunk);
            self.pending.push(Action::Cancel { source, chunk });
        }
    }

    fn remove(&mut self, peer: Peer) {
        let Ok(place) = self.place(peer) else { return };
        self.take_flights_of(Source::Peer(peer));
        self.forget_chunks(place);
        self.neighbours.remove(place);
    }

    fn note(&mut self, place: usize, chunk: ChunkNumber) {
        if self.neighbours[place].have.insert(chunk) {
            self.holders[chunk.0 as usize] += 1;
            self.near_holders[chunk.0 as usize] +=
                u16::from(self.neighbours[place].distance == Distance::Near);
            self.offered.insert(chunk);
        }
    }

    fn forget_chunks(&mut self, place: usize) {
        let near = u16::from(self.neighbours[place].distance == Distance::Near);
        let have = std::mem::replace(
            &mut self.neighbours[place].have,
            ChunkSet::empty(self.missing.chunks()),
        );
        for chunk in have.iter() {
            self.holders[chunk.0 as usize] -= 1;
            self.near_holders[chunk.0 as usize] -= near;
            if self.holders[chunk.0 as usize] == 0 {
                self.offered.remove(chunk);
            }
        }
    }

    pub(super) fn place(&self, peer: Peer) -> Result<usize, usize> {
        self.neighbours
            .binary_search_by_key(&peer, |neighbour| neighbour.peer)
    }
}
