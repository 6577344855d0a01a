//! The numbers that a download is steered by.

use std::time::Duration;

/// Which of the chunks on offer comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// The one that the fewest neighbours have.
    Rarest,
    /// The rarest within so many chunks after the first that is missing, then the rarest of all.
    Window(u32),
    /// The first that is missing.
    First,
}

/// How a download weighs speed against memory, duplicates and patience.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Chunks asked for and not here yet, at most; with the chunk size this bounds memory. At least 2.
    pub in_flight: usize,
    /// Of these with one peer, at most.
    pub per_peer: usize,
    /// Which chunk first.
    pub order: Order,
    /// A request younger than this is never made again elsewhere.
    pub late: Duration,
    /// A peer that owes chunks and sends nothing at all for so long is taken for gone. Longer than the keep-alive's
    /// period.
    pub silence: Duration,
    /// A failed peer rests so long, doubled with each failure in a row.
    pub rest: Duration,
    /// The doubling ends here.
    pub longest_rest: Duration,
    /// Nothing arrived for so long: the coordinator is asked for the first missing chunk by name.
    pub stall: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            in_flight: 16,
            per_peer: 8,
            order: Order::Rarest,
            late: Duration::from_millis(20),
            silence: Duration::from_secs(1),
            rest: Duration::from_millis(100),
            longest_rest: Duration::from_secs(10),
            stall: Duration::from_secs(2),
        }
    }
}
