//! Frames that came, on their way to the spool.

use std::collections::VecDeque;

use tempfile::NamedTempFile;
use tfleet_proto::model::artifact::{Chunk, Layer};
use tfleet_proto::model::swarm::ChunkNumber;
use tokio::task::JoinSet;

use super::super::interruption::Interruption;
use super::super::spool::{RefusedFrame, Room, Spool};
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
    file: NamedTempFile,
}

/// Verifies frames on blocking threads, a few at once.
#[derive(Debug)]
pub(super) struct Verification {
    spool: Spool,
    waiting: VecDeque<Frame>,
    running: JoinSet<(Verified, Room)>,
    /// For those that are not running.
    rooms: Vec<Room>,
}

impl Verification {
    pub fn new(spool: Spool) -> Self {
        Self {
            spool,
            waiting: VecDeque::new(),
            running: JoinSet::new(),
            rooms: Vec::new(),
        }
    }

    pub fn add(&mut self, source: Source, number: ChunkNumber, chunk: Chunk, file: NamedTempFile) {
        self.waiting.push_back(Frame {
            source,
            number,
            chunk,
            file,
        });
        self.fill();
    }

    /// The next that is done; waits for ever if there is nothing to do. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Verified {
        loop {
            match self.running.join_next().await {
                Some(Ok((verified, room))) => {
                    self.rooms.push(room);
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
            let mut room = self.rooms.pop().unwrap_or_default();
            self.running.spawn_blocking(move || {
                let verified = Verified {
                    source: frame.source,
                    number: frame.number,
                    outcome: spool.adopt(&frame.chunk, frame.file, &mut room),
                };
                (verified, room)
            });
        }
    }
}

/// What is said of a chunk of these layers that came with other content.
pub(super) fn corrupted(layers: &[Layer], number: ChunkNumber) -> Interruption {
    let mut place = number.0 as usize;
    for layer in layers {
        if place < layer.chunks.len() {
            return Interruption::Corrupted {
                diff_id: layer.diff_id,
                number: place,
            };
        }
        place -= layer.chunks.len();
    }
    Interruption::Malformed("a chunk beyond the image")
}
