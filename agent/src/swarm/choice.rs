//! Which chunk comes next, and from which neighbour.

use std::time::Duration;

use tfleet_proto::model::swarm::{ChunkNumber, ChunkSet, Distance, Peer};

use super::Order;
use super::download::{Download, Source};
use super::neighbour::Neighbour;

impl Download {
    /// A chunk that nobody was asked for, and a neighbour that has it.
    ///
    /// Neighbours that owe the least come first, then the rarest of what they have. The other way round, all would
    /// ask the few that have the rarest chunks, and the links of the rest would idle.
    pub(super) fn choose(&mut self, now: Duration) -> Option<(Source, ChunkNumber)> {
        if !self.unasked.meets(&self.offered) {
            return None;
        }
        (1..=self.depth(now)).find_map(|depth| self.choose_within(depth, now))
    }

    fn choose_within(&mut self, depth: usize, now: Duration) -> Option<(Source, ChunkNumber)> {
        let mut near = ChunkSet::empty(self.missing.chunks());
        let mut far = near.clone();
        for neighbour in self
            .neighbours
            .iter()
            .filter(|n| self.has_room(n, depth, now))
        {
            match neighbour.distance {
                Distance::Near => near.add(&neighbour.have),
                Distance::Far => far.add(&neighbour.have),
            }
        }
        near.keep(&self.unasked);
        far.keep(&self.unasked);
        let chunk = match self.first_of(&near, |_| true) {
            Some(chunk) => chunk,
            None => {
                let near_holders = std::mem::take(&mut self.near_holders);
                let starved = self.flights.len() < self.settings.in_flight / 4;
                let allowed = |chunk: ChunkNumber| starved || near_holders[chunk.0 as usize] == 0;
                let chunk = if self.far_has_room() {
                    self.first_of(&far, allowed)
                } else {
                    None
                };
                self.near_holders = near_holders;
                chunk?
            }
        };
        Some((self.soonest(chunk, depth, now)?, chunk))
    }

    /// A chunk that was asked for long ago, from another neighbour. At most two are asked for the same chunk.
    pub(super) fn choose_late(&mut self, now: Duration) -> Option<(Source, ChunkNumber)> {
        let depth = self.depth(now);
        let late = self.late();
        let alone = |chunk| {
            self.flights
                .iter()
                .filter(|flight| flight.chunk == chunk)
                .count()
                == 1
        };
        let mut old: Vec<_> = self
            .flights
            .iter()
            .filter(|flight| now.saturating_sub(flight.asked) >= late && alone(flight.chunk))
            .map(|flight| (flight.asked, flight.chunk))
            .collect();
        old.sort_unstable();
        old.into_iter()
            .find_map(|(_, chunk)| Some((self.soonest(chunk, depth, now)?, chunk)))
    }

    /// A request is late when it takes three times as long as they usually do.
    pub(super) fn late(&self) -> Duration {
        self.settings.late.max(self.pace * 3)
    }

    /// How many chunks may be asked of one peer: few, so that they go where they come soonest, but at least two, so
    /// that one follows the other without a pause.
    fn depth(&self, now: Duration) -> usize {
        let usable = self
            .neighbours
            .iter()
            .filter(|neighbour| neighbour.is_usable(now))
            .count()
            .max(1);
        (2 * self.settings.in_flight / usable).clamp(2, self.settings.per_peer.max(2))
    }

    /// The link to far neighbours is shared: it carries only what nobody near has, unless there is hardly anything
    /// else, and at once no more than half of the far ones' share, lest many hosts of a rack fetch the same through
    /// it.
    fn far_has_room(&self) -> bool {
        let is_far = |peer: Peer| {
            self.place(peer)
                .is_ok_and(|place| self.neighbours[place].distance == Distance::Far)
        };
        let far = self
            .neighbours
            .iter()
            .filter(|neighbour| neighbour.distance == Distance::Far)
            .count();
        if far == self.neighbours.len() {
            return true;
        }
        let asked = self
            .flights
            .iter()
            .filter(|f| matches!(f.source, Source::Peer(peer) if is_far(peer)))
            .count();
        asked < (self.settings.in_flight * far / self.neighbours.len() / 2).max(2)
    }

    fn has_room(&self, neighbour: &Neighbour, depth: usize, now: Duration) -> bool {
        let slow = neighbour.pace > self.pace * 3;
        neighbour.is_usable(now) && neighbour.owed < if slow { 1 } else { depth }
    }

    /// The neighbour with room that has `chunk`, was not asked for it, and will likely bring it first.
    fn soonest(&self, chunk: ChunkNumber, depth: usize, now: Duration) -> Option<Source> {
        self.neighbours
            .iter()
            .filter(|n| n.have.contains(chunk) && self.has_room(n, depth, now))
            .filter(|n| {
                !self
                    .flights
                    .iter()
                    .any(|f| f.chunk == chunk && f.source == Source::Peer(n.peer))
            })
            .min_by_key(|n| {
                let pace = if n.pace.is_zero() { self.pace } else { n.pace };
                let far = n.distance == Distance::Far;
                (far, pace * (n.owed as u32 + 1), n.owed, n.peer)
            })
            .map(|neighbour| Source::Peer(neighbour.peer))
    }

    fn first_of(
        &mut self,
        chunks: &ChunkSet,
        allowed: impl Fn(ChunkNumber) -> bool,
    ) -> Option<ChunkNumber> {
        let window = match self.settings.order {
            Order::First => return chunks.iter().find(|&chunk| allowed(chunk)),
            Order::Rarest => u32::MAX,
            Order::Window(width) => self
                .missing
                .first()
                .map_or(0, |first| first.0.saturating_add(width)),
        };
        let mut best = None;
        let mut ties = 0;
        for chunk in chunks.iter().filter(|&chunk| allowed(chunk)) {
            let rank = (chunk.0 >= window, self.holders[chunk.0 as usize]);
            match best {
                Some((least, _)) if least < rank => continue,
                Some((least, _)) if least == rank => ties += 1,
                _ => ties = 1,
            }
            if ties == 1 || self.random.below(ties) == 0 {
                best = Some((rank, chunk));
            }
        }
        best.map(|(_, chunk)| chunk)
    }
}
