//! How long to go on after failures in a row.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};

/// 0.3, 0.6, 1.2 … 10 seconds, about half a minute in all: a coordinator that restarts is waited for without giving up
/// the engine's half-read archive.
const FIRST_PAUSE: Duration = Duration::from_millis(300);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
const ATTEMPTS: usize = 8;

/// Failures in a row. Any progress makes it new.
#[derive(Debug)]
pub struct Patience {
    pauses: ExponentialBackoff,
}

impl Patience {
    pub fn new() -> Self {
        let pauses = ExponentialBuilder::default()
            .with_min_delay(FIRST_PAUSE)
            .with_max_delay(LONGEST_PAUSE)
            .with_max_times(ATTEMPTS)
            .with_jitter();
        Self {
            pauses: pauses.build(),
        }
    }

    /// How long to wait before the next attempt; `None`: it is over.
    pub fn next_pause(&mut self) -> Option<Duration> {
        self.pauses.next()
    }
}
