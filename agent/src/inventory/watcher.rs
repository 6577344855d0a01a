//! Looking at the host again and again, and telling only news.
//!
//! A GPU's temperature and the free disk differ at every look. Told each time, they would cost a fleet's coordinator a
//! write per host and event; so they are told at most every ten seconds, and everything else at once.

use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, StreamExt as _};
use tfleet_proto::model::inventory::Inventory;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::Inspector;

/// Without a wake-up the host is looked at this often.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// After a wake-up the host is looked at when this has passed, once for all that came meanwhile.
const SETTLE: Duration = Duration::from_secs(1);
/// What changes all the time is told no more often.
const TELL_VOLATILE_EVERY: Duration = Duration::from_secs(10);

/// Owns the looks at a host; whoever wants to know holds a receiver.
#[derive(Debug)]
pub struct Watcher {
    inspector: Inspector,
    told: watch::Sender<Option<Arc<Inventory>>>,
    told_at: Option<Instant>,
}

impl Watcher {
    pub fn new(inspector: Inspector, told: watch::Sender<Option<Arc<Inventory>>>) -> Self {
        Self {
            inspector,
            told,
            told_at: None,
        }
    }

    /// Looks at once, at each wake-up, and every 30 s. Ends by being dropped.
    pub async fn run(mut self, wake_ups: impl Stream<Item = ()>) -> Infallible {
        let mut wake_ups = pin!(wake_ups);
        loop {
            let seen = self.inspector.inspect().await;
            self.tell(seen, Instant::now());
            wait(wake_ups.as_mut()).await;
        }
    }

    fn tell(&mut self, seen: Inventory, now: Instant) {
        let may_tell_volatile = self
            .told_at
            .is_none_or(|told_at| now.duration_since(told_at) >= TELL_VOLATILE_EVERY);
        let is_told = self.told.send_if_modified(|last| {
            let is_news = last.as_deref().is_none_or(|last| {
                steady(last) != steady(&seen) || (may_tell_volatile && differs(last, &seen))
            });
            if is_news {
                *last = Some(Arc::new(seen));
            }
            is_news
        });
        if is_told {
            self.told_at = Some(now);
        }
    }
}

/// Until the next look is due. Takes all wake-ups that wait, so that a burst of events costs one look.
async fn wait(mut wake_ups: Pin<&mut impl Stream<Item = ()>>) {
    tokio::select! {
        () = sleep(LOOK_EVERY) => return,
        Some(()) = wake_ups.next() => {}
    }
    let mut settled = pin!(sleep(SETTLE));
    loop {
        tokio::select! {
            () = &mut settled => return,
            Some(()) = wake_ups.next() => {}
        }
    }
}

/// Whether anything but the time of the look is another.
fn differs(last: &Inventory, seen: &Inventory) -> bool {
    Inventory {
        observed_at: seen.observed_at,
        ..last.clone()
    } != *seen
}

/// What is left without what changes all the time.
fn steady(inventory: &Inventory) -> Inventory {
    let mut steady = inventory.clone();
    steady.observed_at = jiff::Timestamp::UNIX_EPOCH;
    steady.engine.data_root_free_bytes = None;
    for gpu in &mut steady.gpus {
        gpu.memory_used_bytes = None;
        gpu.temperature_celsius = None;
        gpu.utilisation_percent = None;
        gpu.processes.clear();
    }
    steady
}

#[cfg(test)]
mod tests;
