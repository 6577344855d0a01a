//! What is simulated.

use std::time::Duration;

use tfleet_agent::swarm::Settings;

/// One fleet, one image, and what goes wrong.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// For the report.
    pub name: String,
    /// How many want the image; none has any of it.
    pub hosts: u32,
    /// Bytes.
    pub image: u64,
    /// Bytes.
    pub chunk: u64,
    /// Bytes that travel together; divides `chunk`.
    pub block: u64,
    /// Bytes of one chunk under way at once.
    pub window: u64,
    /// Bytes per second, each way.
    pub host_rate: u64,
    /// Bytes per second, up.
    pub coordinator_rate: u64,
    /// One way, for blocks and messages.
    pub latency: Duration,
    /// Hosts per rack; all in one if 0. The rack's link carries the rates of its hosts divided by `oversubscription`.
    pub rack: u32,
    /// See `rack`; 1 is none.
    pub oversubscription: u32,
    /// Whether the coordinator knows the racks.
    pub labels: bool,
    /// How many of the hosts die, at a random moment between a tenth and nine tenths of the lower bound.
    pub dying: u32,
    /// How many have a tenth of the rate.
    pub slow: u32,
    /// How many can't be connected to.
    pub unreachable: u32,
    /// How many send only chunks with a wrong hash.
    pub liars: u32,
    /// Neighbours in the same rack.
    pub near: usize,
    /// Neighbours anywhere.
    pub far: usize,
    /// Of every download.
    pub settings: Settings,
    /// Chunks that a host sends at once.
    pub upload_slots: usize,
    /// Chunks that the coordinator sends at once.
    pub coordinator_slots: usize,
    /// A host tells its new chunks at most this often.
    pub announce: Duration,
    /// Connections carry something at least this often.
    pub keep_alive: Duration,
    /// What the engine loads, bytes per second, in order.
    pub engine_rate: u64,
    /// Equal scenarios with equal seeds give equal reports.
    pub seed: u64,
    /// What is hoped for.
    pub goal: Goal,
}

/// Times of quick hosts that live, divided by the lower bound, at most.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Goal {
    Last(f64),
    /// Of a hundred hosts, the 99th.
    Hundredth(f64),
}

/// Everything that is simulated, fewest hosts first.
pub fn all() -> Vec<Scenario> {
    let equal =
        [10, 100, 1_000, 10_000].map(|hosts| Scenario::equal(&format!("{hosts} hosts"), hosts));
    let faulty = [100, 1_000, 10_000].map(Scenario::faulty);
    let racks = Scenario {
        rack: 40,
        oversubscription: 4,
        ..Scenario::equal(
            "1000 hosts, racks of 40 behind a quarter of their links",
            1000,
        )
    };
    let mut all = vec![
        Scenario::eight("8 hosts"),
        Scenario {
            dying: 2,
            slow: 1,
            goal: Goal::Last(1.4),
            ..Scenario::eight("8 hosts, 2 die, one at a tenth of the rate")
        },
    ];
    all.extend(equal);
    all.extend(faulty);
    all.push(racks);
    all.sort_by_key(|scenario| scenario.hosts);
    all
}

impl Scenario {
    /// Equal links of 10 Gb/s and a 3 GB image.
    pub fn equal(name: &str, hosts: u32) -> Self {
        Self {
            name: name.to_owned(),
            hosts,
            image: 3_000_000_000,
            chunk: 4 << 20,
            block: if hosts > 1000 { 1 << 20 } else { 1 << 19 },
            window: 2 << 20,
            host_rate: 1_250_000_000,
            coordinator_rate: 1_250_000_000,
            latency: Duration::from_micros(250),
            rack: 0,
            oversubscription: 1,
            labels: true,
            dying: 0,
            slow: 0,
            unreachable: 0,
            liars: 0,
            near: 12,
            far: 4,
            settings: Settings::default(),
            upload_slots: 8,
            coordinator_slots: 8,
            announce: Duration::from_millis(10),
            keep_alive: Duration::from_millis(250),
            engine_rate: 200_000_000,
            seed: 1,
            goal: Goal::Last(1.2),
        }
    }

    /// Eight hosts with links of 1 Gb/s and a 1.2 GB image.
    pub fn eight(name: &str) -> Self {
        Self {
            image: 1_200_000_000,
            host_rate: 125_000_000,
            coordinator_rate: 125_000_000,
            block: 1 << 18,
            window: 1 << 20,
            goal: Goal::Last(1.25),
            ..Self::equal(name, 8)
        }
    }

    /// Two in a hundred die on the way, five have a tenth of the rate.
    fn faulty(hosts: u32) -> Self {
        Self {
            dying: hosts / 50,
            slow: hosts / 20,
            goal: Goal::Hundredth(1.25),
            ..Self::equal(&format!("{hosts} hosts, 2 % die, 5 % slow"), hosts)
        }
    }

    /// How many chunks the image has; the last is taken for whole.
    pub fn chunks(&self) -> u32 {
        self.image.div_ceil(self.chunk) as u32
    }
}
