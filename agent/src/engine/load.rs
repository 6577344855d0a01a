//! Handing an archive to the engine.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bollard::body_try_stream;
use bollard::models::BuildInfo;
use bollard::query_parameters::ImportImageOptionsBuilder;
use bytes::Bytes;
use futures::{Stream, StreamExt as _, stream};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};
use tracing::debug;

use super::refusal::Refusal;
use super::{Engine, EngineError};

/// So often within its patience the engine is looked at, so that a hang is noticed when it has lasted so long, not later.
const LOOKS: u32 = 60;

/// A piece of an archive, or its end. An archive whose sender goes without saying so is cut off, and the engine refuses
/// it.
#[derive(Debug)]
pub enum ArchivePiece {
    Bytes(Bytes),
    End,
}

const OPERATION: &str = "load an image";

impl Engine {
    /// Hands over an archive piece by piece and reads the engine's answer to its end, because a failure comes inside a
    /// successful answer: there must be no line of an error, and one that says that the image was loaded.
    ///
    /// Waiting for the sender is not counted as the engine's delay. Dropping the future cuts the archive off.
    pub async fn load(&self, archive: mpsc::Receiver<ArchivePiece>) -> Result<(), EngineError> {
        let docker = self.lasting().await?;
        // The engine's own lines of progress show that it lives while it unpacks.
        let options = ImportImageOptionsBuilder::default().quiet(false).build();
        let pulse = Arc::new(Pulse::default());
        let body = body_try_stream(pieces(archive, Arc::clone(&pulse)));
        let mut lines = docker.import_image(options, body, None);
        let mut loaded = false;
        let mut watchdog = Watchdog::new(self.patience.load, Instant::now());
        loop {
            tokio::select! {
                // Both only wait: dropping the other loses nothing.
                line = lines.next() => match line {
                    Some(line) => {
                        watchdog.heard(Instant::now());
                        let line = line.map_err(|error| self.failed(OPERATION, error))?;
                        loaded |= says_loaded(line)?;
                    }
                    None => break,
                },
                () = sleep(self.patience.load / LOOKS) => {
                    if watchdog.is_stuck(&pulse, Instant::now()) {
                        return Err(EngineError::Stalled { seconds: self.patience.load.as_secs() });
                    }
                }
            }
        }
        if loaded {
            Ok(())
        } else {
            Err(EngineError::refused(
                OPERATION,
                Refusal::Other,
                "it did not say that the image was loaded",
            ))
        }
    }
}

/// Whether the line says that the image was loaded.
fn says_loaded(line: BuildInfo) -> Result<bool, EngineError> {
    if let Some(detail) = line.error_detail {
        let message = detail
            .message
            .unwrap_or_else(|| "an error without words".to_owned());
        return Err(EngineError::refused(
            OPERATION,
            Refusal::of(500, &message),
            message,
        ));
    }
    let Some(said) = line.stream else {
        return Ok(false);
    };
    debug!(said = said.trim(), "the engine loads an image");
    // Newer engines say this in a plain line, after "Loaded image".
    if said.contains("Error unpacking image") {
        return Err(EngineError::refused(
            OPERATION,
            Refusal::of(500, &said),
            said,
        ));
    }
    Ok(said.contains("Loaded image"))
}

/// How the engine takes the archive.
#[derive(Debug, Default)]
struct Pulse {
    /// Twice the pieces that were asked for, plus one while one is waited for.
    beats: AtomicU64,
}

impl Pulse {
    fn beat(&self) {
        self.beats.fetch_add(1, Ordering::Relaxed);
    }

    fn taken(&self) -> u64 {
        self.beats.load(Ordering::Relaxed)
    }

    fn is_waiting_for_sender(&self) -> bool {
        self.taken() % 2 == 1
    }
}

/// Tells an engine that is stuck from one that is slow, or that waits for us.
#[derive(Debug)]
struct Watchdog {
    limit: Duration,
    progressed_at: Instant,
    taken: u64,
}

impl Watchdog {
    fn new(limit: Duration, now: Instant) -> Self {
        Self {
            limit,
            progressed_at: now,
            taken: 0,
        }
    }

    fn heard(&mut self, now: Instant) {
        self.progressed_at = now;
    }

    /// Whether nothing has moved for the limit. Time counts from the last look at which something had.
    fn is_stuck(&mut self, pulse: &Pulse, now: Instant) -> bool {
        let taken = pulse.taken();
        if taken != self.taken || pulse.is_waiting_for_sender() {
            self.taken = taken;
            self.progressed_at = now;
        }
        now.duration_since(self.progressed_at) >= self.limit
    }
}

fn pieces(
    archive: mpsc::Receiver<ArchivePiece>,
    pulse: Arc<Pulse>,
) -> impl Stream<Item = Result<Bytes, io::Error>> + Send + 'static {
    stream::unfold(Some(archive), move |archive| {
        let pulse = Arc::clone(&pulse);
        async move {
            let mut archive = archive?;
            pulse.beat();
            let piece = archive.recv().await;
            pulse.beat();
            match piece {
                Some(ArchivePiece::Bytes(bytes)) => Some((Ok(bytes), Some(archive))),
                Some(ArchivePiece::End) => None,
                None => Some((
                    Err(io::Error::new(
                        io::ErrorKind::UnexpectedEof,
                        "the archive was cut off",
                    )),
                    None,
                )),
            }
        }
    })
}

#[cfg(test)]
mod tests;
