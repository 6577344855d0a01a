//! A world as it is when a delivery begins.

use std::time::Duration;

use tfleet_agent::swarm::{Download, Uploads};
use tfleet_coordinator::distribute::{Degree, HandingOut, Member, Neighbours};
use tfleet_proto::model::swarm::{ChunkSet, Distance, Peer, Random};

use super::Scenario;
use super::bound::bound;
use super::host::{Engine, Host};
use super::network::{Link, Network};
use super::schedule::{Event, Schedule};
use super::world::{TICK, World};

impl<'a> World<'a> {
    pub(super) fn new(scenario: &'a Scenario) -> Self {
        let mut world = Self {
            scenario,
            schedule: Schedule::default(),
            network: Network::new(
                scenario.latency.as_nanos() as u64,
                (scenario.chunk / scenario.block) as u32,
                (scenario.window / scenario.block).max(1) as u32,
            ),
            hosts: Vec::new(),
            handing_out: HandingOut::new(scenario.chunks(), scenario.coordinator_slots),
            coordinator: scenario.hosts,
            coordinator_sent: 0,
            waiting: scenario.hosts,
            actions: Vec::new(),
        };
        world.build();
        (0..scenario.hosts).for_each(|host| {
            world.act(host);
            world.schedule.at(
                u64::from(host) * TICK / u64::from(scenario.hosts),
                Event::Tick(host),
            );
        });
        world
    }

    fn build(&mut self) {
        let scenario = self.scenario;
        let mut random = Random::new(scenario.seed);
        let mut pick: Vec<u32> = (0..scenario.hosts).collect();
        for place in (1..pick.len()).rev() {
            pick.swap(place, random.below(place as u32 + 1) as usize);
        }
        let mut picked = pick.into_iter();
        let mut take = |count: u32| -> Vec<u32> { picked.by_ref().take(count as usize).collect() };
        let (dying, slow) = (take(scenario.dying), take(scenario.slow));
        let (unreachable, liars) = (take(scenario.unreachable), take(scenario.liars));
        let rack_of = |host: u32| host.checked_div(scenario.rack).unwrap_or(0);
        let members: Vec<Member> = (0..scenario.hosts)
            .map(|host| Member {
                peer: Peer(host),
                place: if scenario.labels { rack_of(host) } else { 0 },
                serves: !unreachable.contains(&host),
            })
            .collect();
        let degree = Degree {
            near: scenario.near,
            far: scenario.far,
        };
        let neighbours = Neighbours::new(&members, degree, scenario.seed);
        let racks = scenario.hosts.checked_div(scenario.rack).unwrap_or(0) + 1;
        for _ in 0..racks {
            let rate = scenario.host_rate * u64::from(scenario.rack.max(1))
                / u64::from(scenario.oversubscription);
            self.network.add_rack(Link::new(scenario.block, rate));
        }
        self.network.add_rack(Link::new(
            scenario.block,
            scenario.coordinator_rate.saturating_mul(1000),
        ));
        let empty = ChunkSet::empty(scenario.chunks());
        for host in 0..scenario.hosts {
            let is_slow = slow.contains(&host);
            let rate = if is_slow {
                scenario.host_rate / 10
            } else {
                scenario.host_rate
            };
            self.network
                .add_node(Link::new(scenario.block, rate), rack_of(host));
            let mut download = Download::new(
                &empty,
                scenario.settings.clone(),
                random.number(),
                Duration::ZERO,
            );
            let named: Vec<(Peer, Distance)> = neighbours.of(Peer(host));
            download.set_neighbours(&named, Duration::ZERO);
            self.hosts.push(Host {
                alive: true,
                liar: liars.contains(&host),
                slow: is_slow,
                download,
                uploads: Uploads::new(scenario.upload_slots, 64, 8),
                have: empty.clone(),
                log: Vec::new(),
                announced: 0,
                announce_pending: false,
                last_announce: 0,
                neighbours: named.iter().map(|(peer, _)| peer.0).collect(),
                subscribers: Vec::new(),
                reply: None,
                received: 0,
                peak: 0,
                done: None,
                last_keep_alive: 0,
                engine: Engine::new(scenario.chunk, scenario.engine_rate),
            });
        }
        for host in 0..scenario.hosts {
            for other in self.hosts[host as usize].neighbours.clone() {
                self.hosts[other as usize].subscribers.push(host);
            }
        }
        self.network
            .add_node(Link::new(scenario.block, scenario.coordinator_rate), racks);
        let bound = bound(scenario) * 1e9;
        for host in dying {
            let time = bound * (0.1 + 0.8 * f64::from(random.below(1000)) / 1000.0);
            self.schedule.at(time as u64, Event::Dies(host));
        }
    }
}
