//! Hosts, coordinator and network together.

use std::time::Duration;

use tfleet_agent::swarm::{Action, Answer, Source};
use tfleet_coordinator::distribute::{HandingOut, Step};
use tfleet_proto::model::swarm::{ChunkNumber, ChunkSet, Peer};

use super::bound::slow_bound;
use super::host::Host;
use super::network::Network;
use super::schedule::{Event, Schedule};
use super::{Report, Scenario};

/// How often an agent plans without other cause.
pub(super) const TICK: u64 = 50_000_000;
/// The coordinator notices after so long that an agent is gone.
const DEATH_SEEN: u64 = 1_000_000_000;

pub(super) struct World<'a> {
    pub scenario: &'a Scenario,
    pub schedule: Schedule,
    pub network: Network,
    pub hosts: Vec<Host>,
    pub handing_out: HandingOut,
    pub coordinator: u32,
    pub coordinator_sent: u64,
    /// Living hosts that are not done.
    pub waiting: u32,
    pub actions: Vec<Action>,
}

/// Runs until every living host has the image, or a hundred times the bound has passed.
pub fn simulate(scenario: &Scenario) -> Report {
    let mut world = World::new(scenario);
    let end = (slow_bound(scenario) * 100e9) as u64;
    while world.waiting > 0
        && world.schedule.now < end
        && let Some(event) = world.schedule.next()
    {
        world.handle(event);
    }
    Report::new(scenario, &world.hosts, world.coordinator_sent)
}

impl<'a> World<'a> {
    fn now(&self) -> Duration {
        Duration::from_nanos(self.schedule.now)
    }

    /// A message arrives one latency from now.
    fn message(&mut self, event: Event) {
        self.schedule
            .at(self.schedule.now + self.network.latency, event);
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Sent(flow) => {
                let (from, to, chunk) = (
                    self.network.flow(flow).from,
                    self.network.flow(flow).to,
                    self.network.flow(flow).chunk,
                );
                if from == self.coordinator {
                    self.coordinator_sent += self.scenario.block;
                }
                if self.network.sent(flow, &mut self.schedule) {
                    self.slot_ended(from, to, chunk);
                }
            }
            Event::LeftRack(flow) => self.network.left_rack(flow, &mut self.schedule),
            Event::EnteredRack(flow) => self.network.entered_rack(flow, &mut self.schedule),
            Event::Received(flow) => self.received(flow),
            Event::Asked { from, to, chunk } => self.asked(from, to, chunk),
            Event::Refused { from, to, chunk } => {
                let (now, source) = (self.now(), self.source(from));
                self.hosts[to as usize].download.failed(source, chunk, now);
                self.act(to);
            }
            Event::Cancelled { from, to, chunk } => {
                let stopped = self.network.stop(to, from, chunk);
                if to != self.coordinator || stopped {
                    self.slot_ended(to, from, chunk);
                } else {
                    self.handing_out.cancel(Peer(from), chunk);
                }
            }
            Event::AskedAny(from) => {
                self.handing_out.ask_any(Peer(from));
                self.hand_out();
            }
            Event::Offered(to) => {
                if self.hosts[to as usize].alive {
                    let now = self.now();
                    self.hosts[to as usize].reply = self.hosts[to as usize].download.turn(now);
                    self.message(Event::Replied(to));
                    self.act(to);
                }
            }
            Event::Replied(to) => {
                let wanted = self.hosts[to as usize]
                    .reply
                    .take()
                    .unwrap_or(ChunkSet::empty(0));
                let chunk = self.handing_out.choose(Peer(to), &wanted);
                self.message(Event::Chosen { to, chunk });
                if let Some(chunk) = chunk {
                    self.network
                        .open(self.coordinator, to, chunk, &mut self.schedule);
                }
                self.hand_out();
            }
            Event::Chosen { to, chunk } => {
                let now = self.now();
                self.hosts[to as usize].download.turn_begins(chunk, now);
                self.act(to);
            }
            Event::Announce(from) => self.announce(from),
            Event::Announced { from, first, last } => self.announced(from, first, last),
            Event::Connected { from, to } => {
                let have = self.hosts[from as usize].have.clone();
                let now = self.now();
                self.hosts[to as usize].download.has(Peer(from), &have, now);
                self.act(to);
            }
            Event::Tick(host) => self.tick(host),
            Event::Dies(host) => self.dies(host),
            Event::DeathSeen(host) => {
                self.handing_out.lost(Peer(host));
                self.network.stop_to(self.coordinator, host);
                self.hand_out();
            }
        }
    }

    fn source(&self, node: u32) -> Source {
        if node == self.coordinator {
            Source::Coordinator
        } else {
            Source::Peer(Peer(node))
        }
    }

    fn node(&self, source: Source) -> u32 {
        match source {
            Source::Peer(peer) => peer.0,
            Source::Coordinator => self.coordinator,
        }
    }

    fn asked(&mut self, from: u32, to: u32, chunk: ChunkNumber) {
        if to == self.coordinator {
            self.handing_out.ask(Peer(from), chunk);
            self.hand_out();
            return;
        }
        let host = &mut self.hosts[to as usize];
        if !host.alive {
            return;
        }
        assert!(host.have.contains(chunk), "asked for what it has not");
        match host.uploads.ask(Peer(from), chunk) {
            Answer::Queued => self.upload(to),
            Answer::Busy => self.message(Event::Refused {
                from: to,
                to: from,
                chunk,
            }),
        }
    }

    fn upload(&mut self, host: u32) {
        while let Some((peer, chunk)) = self.hosts[host as usize].uploads.start() {
            self.network.open(host, peer.0, chunk, &mut self.schedule);
        }
    }

    fn hand_out(&mut self) {
        while let Some(step) = self.handing_out.start() {
            match step {
                Step::Offer(peer) => self.message(Event::Offered(peer.0)),
                Step::Send(peer, chunk) => {
                    self.network
                        .open(self.coordinator, peer.0, chunk, &mut self.schedule)
                }
            }
        }
    }

    fn slot_ended(&mut self, from: u32, to: u32, chunk: ChunkNumber) {
        if from == self.coordinator {
            self.handing_out.ended(Peer(to), chunk);
            self.hand_out();
        } else {
            self.hosts[from as usize].uploads.ended(Peer(to), chunk);
            if self.hosts[from as usize].alive {
                self.upload(from);
            }
        }
    }

    fn received(&mut self, flow: u32) {
        let (flow, whole) = self.network.received(flow, &mut self.schedule);
        let now = self.now();
        let source = self.source(flow.from);
        let lies = flow.from != self.coordinator && self.hosts[flow.from as usize].liar;
        let host = &mut self.hosts[flow.to as usize];
        if !host.alive {
            return;
        }
        host.received += self.scenario.block;
        host.download.heard(Peer(flow.from), now);
        if !whole {
            return;
        }
        if lies {
            host.download.corrupt(source, flow.chunk, now);
        } else if host.download.arrived(source, flow.chunk, now) {
            host.have.insert(flow.chunk);
            host.log.push(flow.chunk);
            host.engine.feed(&host.have, self.schedule.now);
            if !host.announce_pending {
                host.announce_pending = true;
                let time = host.last_announce + self.scenario.announce.as_nanos() as u64;
                self.schedule.at(time, Event::Announce(flow.to));
            }
            if host.download.is_complete() {
                host.done = Some(self.schedule.now);
                self.waiting -= 1;
                self.handing_out.done(Peer(flow.to));
            }
        }
        self.act(flow.to);
    }

    fn announce(&mut self, from: u32) {
        let host = &mut self.hosts[from as usize];
        host.announce_pending = false;
        host.last_announce = self.schedule.now;
        let (first, last) = (host.announced, host.log.len() as u32);
        host.announced = last;
        if host.alive {
            self.message(Event::Announced { from, first, last });
        }
    }

    fn announced(&mut self, from: u32, first: u32, last: u32) {
        let now = self.now();
        let subscribers = std::mem::take(&mut self.hosts[from as usize].subscribers);
        let log = std::mem::take(&mut self.hosts[from as usize].log);
        for &to in &subscribers {
            let host = &mut self.hosts[to as usize];
            if host.alive && host.done.is_none() {
                host.download
                    .gained(Peer(from), &log[first as usize..last as usize], now);
                self.act(to);
            }
        }
        self.hosts[from as usize].subscribers = subscribers;
        self.hosts[from as usize].log = log;
    }

    fn tick(&mut self, index: u32) {
        let now = self.now();
        if !self.hosts[index as usize].alive || self.hosts[index as usize].done.is_some() {
            return;
        }
        if self.schedule.now - self.hosts[index as usize].last_keep_alive
            >= self.scenario.keep_alive.as_nanos() as u64
        {
            self.hosts[index as usize].last_keep_alive = self.schedule.now;
            for other in self.hosts[index as usize].neighbours.clone() {
                if self.hosts[other as usize].alive {
                    self.hosts[index as usize].download.heard(Peer(other), now);
                }
            }
        }
        self.act(index);
        self.schedule
            .at(self.schedule.now + TICK, Event::Tick(index));
    }

    fn dies(&mut self, host: u32) {
        self.hosts[host as usize].alive = false;
        if self.hosts[host as usize].done.is_none() {
            self.waiting -= 1;
        }
        self.network.stop_all(host);
        self.schedule
            .at(self.schedule.now + DEATH_SEEN, Event::DeathSeen(host));
    }

    pub(super) fn act(&mut self, index: u32) {
        let now = self.now();
        let mut actions = std::mem::take(&mut self.actions);
        let host = &mut self.hosts[index as usize];
        if host.alive {
            host.download.plan(now, &mut actions);
            host.peak = host.peak.max(host.download.in_flight());
        }
        for action in actions.drain(..) {
            match action {
                Action::Ask { source, chunk } => {
                    let to = self.node(source);
                    self.message(Event::Asked {
                        from: index,
                        to,
                        chunk,
                    });
                }
                Action::Cancel { source, chunk } => {
                    let to = self.node(source);
                    self.message(Event::Cancelled {
                        from: index,
                        to,
                        chunk,
                    });
                }
                Action::AskForTurn => self.message(Event::AskedAny(index)),
                Action::Reconnect { peer } => {
                    if self.hosts[peer.0 as usize].alive {
                        let time = self.schedule.now + 3 * self.network.latency;
                        self.schedule.at(
                            time,
                            Event::Connected {
                                from: peer.0,
                                to: index,
                            },
                        );
                    }
                }
            }
        }
        self.actions = actions;
    }
}
