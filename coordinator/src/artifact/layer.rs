//! Cuts a layer's bytes into chunks while they pass, and stores them on a few threads.
//!
//! One thread normalises and hashes the layer as a whole, which cannot be divided; compressing and syncing chunks can.
//! Memory: at most [`IN_FLIGHT`] chunks, whatever the layer's size.

use std::io::{self, Write};
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::Scope;

use tfleet_proto::model::artifact::{Chunk, LARGEST_CHUNK_BYTES, Layer};
use tfleet_proto::model::digest::Hasher;

use super::StoreError;
use super::chunk::ChunkWriter;
use super::intake::Intake;

const CHUNK: usize = LARGEST_CHUNK_BYTES as usize;

/// More threads than this machine's two cores, because a third of a chunk's time is waiting for the disk's sync.
const THREADS: usize = 4;

/// One being filled, one per thread, one waiting.
const IN_FLIGHT: usize = THREADS + 2;

type Stored = (usize, Result<Chunk, StoreError>, Vec<u8>);

struct Job {
    number: usize,
    content: Vec<u8>,
    answer: SyncSender<Stored>,
}

/// The threads that store chunks. They end when this is dropped.
pub struct ChunkPool {
    jobs: SyncSender<Job>,
}

impl ChunkPool {
    /// Starts the threads within `scope`, which outlives none of them.
    pub fn start<'scope, 'env>(
        scope: &'scope Scope<'scope, 'env>,
        folder: &'env Path,
        intake: &'env Intake<'env>,
    ) -> Self {
        let (jobs, waiting) = sync_channel(1);
        let waiting = Arc::new(Mutex::new(waiting));
        for _ in 0..THREADS {
            let waiting = Arc::clone(&waiting);
            scope.spawn(move || work(folder, intake, &waiting));
        }
        Self { jobs }
    }

    pub fn layer(&self) -> LayerWriter<'_> {
        let (answer, answers) = sync_channel(IN_FLIGHT);
        LayerWriter {
            pool: self,
            answer,
            answers,
            spare: Vec::new(),
            buffer: Vec::with_capacity(CHUNK),
            sent: 0,
            chunks: Vec::new(),
            hasher: Hasher::new(),
            size_bytes: 0,
        }
    }
}

fn work<'a>(folder: &'a Path, intake: &'a Intake<'a>, waiting: &Mutex<Receiver<Job>>) {
    let mut writer = None;
    loop {
        let next = waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .recv();
        let Ok(job) = next else { return };
        let stored = match &mut writer {
            Some(writer) => ChunkWriter::store(writer, &job.content),
            empty => ChunkWriter::new(folder, intake)
                .and_then(|made| empty.insert(made).store(&job.content)),
        };
        let mut content = job.content;
        content.clear();
        // A layer that was given up does not wait for answers.
        let _ = job.answer.send((job.number, stored, content));
    }
}

/// Takes the bytes of one layer in its normal form.
pub struct LayerWriter<'pool> {
    pool: &'pool ChunkPool,
    answer: SyncSender<Stored>,
    answers: Receiver<Stored>,
    spare: Vec<Vec<u8>>,
    buffer: Vec<u8>,
    sent: usize,
    chunks: Vec<(usize, Chunk)>,
    hasher: Hasher,
    size_bytes: u64,
}

impl LayerWriter<'_> {
    /// Waits until every chunk is stored.
    pub fn finish(mut self) -> Result<Layer, StoreError> {
        if !self.buffer.is_empty() {
            self.send()?;
        }
        while self.chunks.len() < self.sent {
            // Each job answers once, and this writer holds a sender itself: the channel cannot be closed.
            let Ok(stored) = self.answers.recv() else {
                break;
            };
            self.take(stored)?;
        }
        self.chunks.sort_unstable_by_key(|(number, _)| *number);
        Ok(Layer {
            diff_id: self.hasher.finish(),
            size_bytes: self.size_bytes,
            chunks: self.chunks.into_iter().map(|(_, chunk)| chunk).collect(),
        })
    }

    fn send(&mut self) -> Result<(), StoreError> {
        // There is room for the answer of every job in flight, so no thread ever waits for this one.
        while self.sent - self.chunks.len() >= IN_FLIGHT - 1 {
            let Ok(stored) = self.answers.recv() else {
                break;
            };
            self.take(stored)?;
        }
        let next = self
            .spare
            .pop()
            .unwrap_or_else(|| Vec::with_capacity(CHUNK));
        let content = std::mem::replace(&mut self.buffer, next);
        let job = Job {
            number: self.sent,
            content,
            answer: self.answer.clone(),
        };
        self.sent += 1;
        self.pool.jobs.send(job).map_err(|_| {
            StoreError::io("hand over chunks to", Path::new("the store"))(io::Error::other(
                "its threads ended",
            ))
        })
    }

    fn take(&mut self, (number, stored, content): Stored) -> Result<(), StoreError> {
        self.chunks.push((number, stored?));
        self.spare.push(content);
        Ok(())
    }
}

impl Write for LayerWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(CHUNK - self.buffer.len());
        self.buffer.extend_from_slice(&bytes[..taken]);
        self.hasher.update(&bytes[..taken]);
        self.size_bytes += taken as u64;
        if self.buffer.len() == CHUNK {
            self.send().map_err(io::Error::other)?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
