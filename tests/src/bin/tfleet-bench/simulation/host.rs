//! A simulated agent.

use tfleet_agent::swarm::{Download, Uploads};
use tfleet_proto::model::swarm::{ChunkNumber, ChunkSet};

#[derive(Debug)]
pub(super) struct Host {
    pub alive: bool,
    pub liar: bool,
    pub slow: bool,
    pub download: Download,
    pub uploads: Uploads,
    pub have: ChunkSet,
    /// What arrived, in this order; `announced` of it is known to the subscribers.
    pub log: Vec<ChunkNumber>,
    pub announced: u32,
    pub announce_pending: bool,
    pub last_announce: u64,
    pub neighbours: Vec<u32>,
    /// Whose neighbour it is.
    pub subscribers: Vec<u32>,
    pub reply: Option<ChunkSet>,
    pub received: u64,
    pub peak: usize,
    pub done: Option<u64>,
    pub last_keep_alive: u64,
    pub engine: Engine,
}

/// Loads chunks in order at a fixed rate, as they come.
#[derive(Debug, Clone)]
pub(super) struct Engine {
    per_chunk: u64,
    next: u32,
    pub free_at: u64,
}

impl Engine {
    pub fn new(chunk: u64, bytes_per_second: u64) -> Self {
        Self {
            per_chunk: (u128::from(chunk) * 1_000_000_000 / u128::from(bytes_per_second)) as u64,
            next: 0,
            free_at: 0,
        }
    }

    pub fn feed(&mut self, have: &ChunkSet, now: u64) {
        while have.contains(ChunkNumber(self.next)) {
            self.free_at = self.free_at.max(now) + self.per_chunk;
            self.next += 1;
        }
    }
}
