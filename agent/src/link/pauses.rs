//! How long to wait before the next session.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};

const SHORTEST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// A session that was welcomed and ended sooner is no reason to think that the next one holds.
const LASTED: Duration = Duration::from_secs(30);

/// Each longer than the one before, until a session lasts.
pub(super) struct Pauses {
    growing: ExponentialBackoff,
}

impl Default for Pauses {
    fn default() -> Self {
        let growing = ExponentialBuilder::new()
            .with_min_delay(SHORTEST_PAUSE)
            .with_max_delay(LONGEST_PAUSE)
            .with_jitter()
            .without_max_times()
            .build();
        Self { growing }
    }
}

impl Pauses {
    /// The pause after a session that held for so long after its welcome; `None`: there was none.
    pub fn next(&mut self, held: Option<Duration>) -> Duration {
        if held.is_some_and(|held| held >= LASTED) {
            *self = Self::default();
        }
        self.growing.next().unwrap_or(LONGEST_PAUSE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_that_end_at_once_come_less_and_less_often_and_one_that_lasts_begins_anew() {
        let mut pauses = Pauses::default();
        let short = Some(Duration::from_secs(1));
        for _ in 0..10 {
            pauses.next(short);
        }
        assert!(pauses.next(short) >= LONGEST_PAUSE);
        assert!(pauses.next(None) >= LONGEST_PAUSE);
        // With jitter at most twice as long.
        assert!(pauses.next(Some(LASTED)) <= SHORTEST_PAUSE * 2);
    }
}
