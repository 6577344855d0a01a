//! What a download knows of one neighbour.

use std::time::Duration;

use tfleet_proto::model::swarm::{ChunkSet, Distance, Peer};

use super::Settings;

#[derive(Debug)]
pub(super) struct Neighbour {
    pub peer: Peer,
    pub distance: Distance,
    pub have: ChunkSet,
    /// Chunks asked of it and not here yet.
    pub owed: usize,
    pub heard: Duration,
    pub rests_until: Duration,
    /// From request to arrival, smoothed; zero before the first.
    pub pace: Duration,
    failures: u32,
}

impl Neighbour {
    pub fn new(peer: Peer, distance: Distance, chunks: u32, now: Duration) -> Self {
        Self {
            peer,
            distance,
            have: ChunkSet::empty(chunks),
            owed: 0,
            heard: now,
            rests_until: Duration::ZERO,
            pace: Duration::ZERO,
            failures: 0,
        }
    }

    pub fn is_usable(&self, now: Duration) -> bool {
        self.rests_until <= now
    }

    pub fn served(&mut self, took: Duration, now: Duration) {
        self.failures = 0;
        self.heard = now;
        self.pace = smoothed(self.pace, took);
    }

    pub fn failed(&mut self, settings: &Settings, now: Duration) {
        let rest = settings
            .rest
            .saturating_mul(1 << self.failures.min(16))
            .min(settings.longest_rest);
        self.failures += 1;
        self.rests_until = now + rest;
    }
}

/// Moves `mean` an eighth of the way to `sample`.
pub(super) fn smoothed(mean: Duration, sample: Duration) -> Duration {
    if mean.is_zero() {
        sample
    } else {
        (mean * 7 + sample) / 8
    }
}
