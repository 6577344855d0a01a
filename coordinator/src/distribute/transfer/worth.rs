//! Whether hosts should fetch from each other, and what they gain by it.

use std::fmt;
use std::time::Duration;

/// Fewer hosts gain little, and each pair costs two connections.
const FEWEST_HOSTS: usize = 4;
/// Below this, nobody would notice.
const LEAST_SAVING: Duration = Duration::from_secs(2);
/// How much faster it must be.
const LEAST_GAIN: f64 = 1.5;
/// Makespan over the lower bound, from the simulation (`make bench-delivery`): what the scheme itself costs.
const OVER_BOUND: f64 = 1.15;
/// 1 Gb/s, in bytes per second. What the links can do is not known before; that all are alike is assumed.
const RATE: f64 = 125e6;

/// How long a transfer takes without other hosts' help, and with it, if every link had [`RATE`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Worth {
    alone: Duration,
    together: Duration,
}

/// None: plain streams from the coordinator do as well, or nearly.
///
/// Without peers the coordinator's link carries a copy for each host. With peers, the lower bound is the slowest of: one
/// copy through the coordinator's link, one through each host's, and all copies through all uplinks together.
pub(super) fn estimate(hosts: usize, serving: usize, bytes: u64) -> Option<Worth> {
    let copy = bytes as f64 / RATE;
    let copies = hosts as f64;
    let alone = copies * copy;
    let together = OVER_BOUND * f64::max(copy, alone / (1.0 + serving as f64));
    let pays = serving >= FEWEST_HOSTS
        && alone >= LEAST_GAIN * together
        && alone - together >= LEAST_SAVING.as_secs_f64();
    pays.then(|| Worth {
        alone: Duration::from_secs_f64(alone),
        together: Duration::from_secs_f64(together),
    })
}

impl fmt::Display for Worth {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{:.0?} instead of {:.0?}, with links of 1 Gb/s",
            self.together, self.alone
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_hosts_small_images_and_hosts_that_do_not_serve_are_not_worth_it() {
        let gigabyte = 1_000_000_000;
        assert_eq!(estimate(3, 3, gigabyte), None);
        assert_eq!(estimate(100, 3, gigabyte), None);
        assert_eq!(estimate(8, 8, 30_000_000), None);
        let worth = estimate(8, 8, gigabyte).unwrap();
        assert_eq!(worth.to_string(), "9s instead of 64s, with links of 1 Gb/s");
        // Half of the hosts serve: their uplinks and the coordinator's carry twenty copies.
        assert!(estimate(20, 10, gigabyte).is_some());
    }
}
