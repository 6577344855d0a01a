//! What came out of a simulation.

use super::bound::{bound, slow_bound};
use super::host::Host;
use super::{Goal, Scenario};

/// Times are in multiples of the bound where nothing else is said.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// The scenario.
    pub name: String,
    /// Seconds.
    pub bound: f64,
    /// When the last living host had all, by its own bound.
    pub makespan: f64,
    /// Half of the living hosts that are not slow had all.
    pub median: f64,
    /// 99 in 100 of them had.
    pub p99: f64,
    /// The worst of the slow hosts by their own bound, 0 without such.
    pub slow: f64,
    /// Living hosts that never had all.
    pub unfinished: u32,
    /// What the coordinator sent, in images.
    pub copies: f64,
    /// What living hosts received beyond the image, by what they needed.
    pub duplicates: f64,
    /// Chunks asked for at once by one host, at most.
    pub peak: usize,
    /// The engine's last chunk was loaded so many seconds after the last arrived, mean over hosts.
    pub engine_tail: f64,
    /// The same if it began at the end.
    pub engine_alone: f64,
    pub goal: Goal,
}

impl Report {
    pub(super) fn new(scenario: &Scenario, hosts: &[Host], coordinator_sent: u64) -> Self {
        let (bound, slow_bound) = (bound(scenario), slow_bound(scenario));
        let living: Vec<&Host> = hosts.iter().filter(|host| host.alive).collect();
        let seconds = |time: u64| time as f64 / 1e9;
        let ratio = |host: &&Host| {
            host.done
                .map(|done| seconds(done) / if host.slow { slow_bound } else { bound })
        };
        let mut quick: Vec<f64> = living
            .iter()
            .filter(|host| !host.slow)
            .filter_map(ratio)
            .collect();
        quick.sort_by(f64::total_cmp);
        let at = |share: f64| {
            quick
                .get(((quick.len() as f64 * share).ceil() as usize).max(1) - 1)
                .copied()
                .unwrap_or(0.0)
        };
        let slow = living
            .iter()
            .filter(|host| host.slow)
            .filter_map(ratio)
            .fold(0.0, f64::max);
        let needed = u64::from(scenario.chunks()) * scenario.chunk;
        let extra: u64 = living
            .iter()
            .filter(|h| h.done.is_some())
            .map(|h| h.received.saturating_sub(needed))
            .sum();
        let tails: Vec<f64> = living
            .iter()
            .filter(|host| !host.slow)
            .filter_map(|host| host.done.map(|done| seconds(host.engine.free_at - done)))
            .collect();
        Self {
            name: scenario.name.clone(),
            bound,
            makespan: at(1.0),
            median: at(0.5),
            p99: at(0.99),
            slow,
            unfinished: living.iter().filter(|host| host.done.is_none()).count() as u32,
            copies: coordinator_sent as f64 / needed as f64,
            duplicates: extra as f64 / (needed as f64 * living.len() as f64),
            peak: living.iter().map(|host| host.peak).max().unwrap_or(0),
            engine_tail: tails.iter().sum::<f64>() / tails.len().max(1) as f64,
            engine_alone: needed as f64 / scenario.engine_rate as f64,
            goal: scenario.goal,
        }
    }

    /// The time of the host that the goal is about, by the lower bound.
    pub fn ratio(&self) -> f64 {
        match self.goal {
            Goal::Last(_) => self.makespan,
            Goal::Hundredth(_) => self.p99,
        }
    }
}
