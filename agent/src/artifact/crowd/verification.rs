//! Frames that came, on their way to the spool.

use std::collections::VecDeque;

use tfleet_proto::model::artifact::Chunk;
use tfleet_proto::model::swarm::ChunkNumber;
use tokio::task::JoinSet;

use super::super::spool::{RefusedFrame, Spool};
use crate::swarm::Source;

/// As many as a host can spare cores for.
const AT_ONCE: usize = 2;

/// A frame that was looked at.
#[derive(Debug)]
pub(super) struct Verified {
    pub source: Source,
    pub number: ChunkNumber,
    /// It is in the spool, or why not.
    pub outcome: Result<(), RefusedFrame>,
}

#[derive(Debug)]
struct Frame {
    source: Source,
    number: ChunkNumber,
    chunk: Chunk,
    bytes: Vec<u8>,
}

/// Verifies frames on blocking threads, a few at once.
#[derive(Debug)]
pub(super) struct Verification {
    spool: Spool,
    waiting: VecDeque<Frame>,
    running: JoinSet<Verified>,
}

impl Verification {
    pub fn new(spool: Spool) -> Self {
        Self {
            spool,
            waiting: VecDeque::new(),
            running: JoinSet::new(),
        }
    }

    pub fn add(&mut self, source: Source, number: ChunkNumber, chunk: Chunk, bytes: Vec<u8>) {
        self.waiting.push_back(Frame {
            source,
            number,
            chunk,
            bytes,
        });
        self.fill();
    }

    /// The next that is done; waits for ever if there is nothing to do. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Verified {
        loop {
            match self.running.join_next().await {
                Some(Ok(verified)) => {
                    self.fill();
                    return verified;
                }
                // The runtime is shutting down.
                Some(Err(_)) => {}
                None => std::future::pending().await,
            }
        }
    }

    fn fill(&mut self) {
        while self.running.len() < AT_ONCE
            && let Some(frame) = self.waiting.pop_front()
        {
            let spool = self.spool.clone();
            self.running.spawn_blocking(move || Verified {
                source: frame.source,
                number: frame.number,
                outcome: spool.take(&frame.chunk, &frame.bytes).map(drop),
            });
        }
    }
}
