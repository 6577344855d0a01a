//! Renewal: a new certificate before the old one ends, or after, if the host was off.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tfleet_proto::channel::Address;
use tokio::sync::watch;
use tracing::{error, info, warn};

use super::enrolment::{pauses, renew};
use super::{Credentials, IdentityError, IdentityFolder};

/// The clock is looked at this often while waiting: it may be set, and the machine may sleep.
const LOOK_AT_CLOCK: Duration = Duration::from_secs(60);
/// A refusal is a person's to mend; asking more often does not help.
const AFTER_REFUSAL: Duration = Duration::from_secs(60);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Renews the credentials again and again and publishes each.
pub async fn keep_fresh(
    folder: IdentityFolder,
    coordinator: Address,
    credentials: watch::Sender<Arc<Credentials>>,
) -> Infallible {
    loop {
        let old = Arc::clone(&credentials.borrow());
        wait_until(due(old.not_before, old.not_after, rand::random())).await;
        let mut pauses = pauses();
        let fresh = loop {
            match renew(&folder, &coordinator, &old).await {
                Ok(fresh) => break fresh,
                Err(error) => tokio::time::sleep(say(&error, &old, &mut pauses)).await,
            }
        };
        info!(until = %fresh.not_after, "the certificate was renewed");
        credentials.send_replace(Arc::new(fresh));
    }
}

/// Says why the certificate was not renewed, and gives the time until the next attempt.
fn say(
    error: &IdentityError,
    old: &Credentials,
    pauses: &mut impl Iterator<Item = Duration>,
) -> Duration {
    let reason: &dyn std::error::Error = error;
    if error.may_pass() {
        let pause = pauses.next().unwrap_or(LONGEST_PAUSE);
        warn!(error = reason, ends = %old.not_after, retry_in = ?pause, "the certificate was not renewed");
        pause
    } else {
        error!(error = reason, ends = %old.not_after, "the certificate will not be renewed");
        AFTER_REFUSAL
    }
}

/// When to renew: after two thirds of the certificate's life, and up to a twentieth later by `jitter` (0 to 1), so that
/// hosts that were enrolled together do not come together.
fn due(not_before: Timestamp, not_after: Timestamp, jitter: f64) -> Timestamp {
    let life = not_after.duration_since(not_before).as_secs_f64();
    let wait = life * (2.0 / 3.0 + jitter.clamp(0.0, 1.0) / 20.0);
    SignedDuration::try_from_secs_f64(wait)
        .ok()
        .and_then(|wait| not_before.checked_add(wait).ok())
        .unwrap_or(not_before)
}

async fn wait_until(time: Timestamp) {
    loop {
        let left = time.duration_since(Timestamp::now());
        let Ok(left) = Duration::try_from(left) else {
            return;
        };
        if left.is_zero() {
            return;
        }
        tokio::time::sleep(left.min(LOOK_AT_CLOCK)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn renewal_is_due_after_two_thirds_of_a_life_and_before_its_end() {
        let at = |second| Timestamp::from_second(second).unwrap();
        assert_eq!(due(at(1_000), at(1_300), 0.0), at(1_200));
        assert_eq!(due(at(1_000), at(1_300), 1.0), at(1_215));
        assert!(due(at(1_000), at(1_000), 0.5) <= at(1_000));
    }
}
