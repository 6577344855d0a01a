//! What a download asks for next, and whom it gives up.

use std::time::Duration;

use tfleet_proto::model::swarm::ChunkNumber;

use super::download::{Action, Download, Flight, Source, Turn};
use super::neighbour::Neighbour;

impl Download {
    /// Adds to `actions` what to do now. To be called after inputs, and at least every 50 ms.
    pub fn plan(&mut self, now: Duration, actions: &mut Vec<Action>) {
        self.drop_silent(now);
        actions.append(&mut self.pending);
        if self.is_complete() {
            return;
        }
        if self.neighbours.is_empty() {
            self.plan_stream(now, actions);
            return;
        }
        // One place is kept for the coordinator's turn.
        while self.flights.len() < self.settings.in_flight - 1 {
            let Some((source, chunk)) = self.choose(now).or_else(|| self.choose_late(now)) else {
                break;
            };
            self.ask(source, chunk, now, actions);
        }
        self.plan_coordinator(now, actions);
    }

    /// Without neighbours the image comes from the coordinator in order.
    fn plan_stream(&mut self, now: Duration, actions: &mut Vec<Action>) {
        while self.coordinator_rests_until <= now
            && self.flights.len() < self.settings.in_flight
            && let Some(chunk) = self.unasked.first()
        {
            self.ask(Source::Coordinator, chunk, now, actions);
        }
    }

    fn plan_coordinator(&mut self, now: Duration, actions: &mut Vec<Action>) {
        if self.coordinator_rests_until > now {
            return;
        }
        let starved = self.flights.len() < self.settings.in_flight / 2;
        if self.turn == Turn::None && (starved || !self.unasked_is_offered()) {
            self.turn = Turn::Asked;
            actions.push(Action::AskForTurn);
        }
        let stalled = now.saturating_sub(self.last_arrival) >= self.settings.stall;
        if stalled
            && self.flights.len() < self.settings.in_flight
            && !self
                .flights
                .iter()
                .any(|flight| flight.source == Source::Coordinator)
            && let Some(chunk) = self.unasked.first().or_else(|| self.missing.first())
        {
            self.ask(Source::Coordinator, chunk, now, actions);
        }
    }

    fn unasked_is_offered(&self) -> bool {
        self.unasked.is_within(&self.offered)
    }

    fn ask(
        &mut self,
        source: Source,
        chunk: ChunkNumber,
        now: Duration,
        actions: &mut Vec<Action>,
    ) {
        self.unasked.remove(chunk);
        self.flights.push(Flight {
            chunk,
            source,
            asked: now,
        });
        if let Source::Peer(peer) = source
            && let Ok(place) = self.place(peer)
        {
            let neighbour = &mut self.neighbours[place];
            if neighbour.owed == 0 {
                neighbour.heard = now;
            }
            neighbour.owed += 1;
        }
        actions.push(Action::Ask { source, chunk });
    }

    fn drop_silent(&mut self, now: Duration) {
        let silence = self.settings.silence;
        let silent = |n: &&Neighbour| n.owed > 0 && now.saturating_sub(n.heard) >= silence;
        while let Some(peer) = self.neighbours.iter().find(silent).map(|n| n.peer) {
            self.lost(Source::Peer(peer), now);
            self.pending.push(Action::Reconnect { peer });
        }
    }
}
