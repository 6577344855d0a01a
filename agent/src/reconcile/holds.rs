//! What failed, and when it is tried again.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tfleet_proto::model::failure::Failure;
use tokio::time::Instant;

use crate::steps::Subject;

const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// Doubling beyond this would only overflow.
const MOST_DOUBLINGS: u32 = 6;

/// Subjects that are held back after a failure.
#[derive(Debug, Default)]
pub(super) struct Holds {
    by_subject: BTreeMap<Subject, Hold>,
}

#[derive(Debug)]
struct Hold {
    failure: Failure,
    attempts: u32,
    until: Until,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Until {
    Time(Instant),
    /// It can't pass by itself: only something else that is desired helps.
    Changed,
}

impl Holds {
    /// Each failure in a row holds the subject back twice as long as the one before. Says whether it is another failure
    /// than the one before, and so worth a line in the log.
    pub fn note(&mut self, subject: Subject, failure: Failure, now: Instant) -> bool {
        let is_news = self.failure(&subject) != Some(&failure);
        let attempts = self
            .by_subject
            .get(&subject)
            .map_or(0, |hold| hold.attempts)
            + 1;
        let until = if is_final(&failure) {
            Until::Changed
        } else {
            let pause = FIRST_PAUSE * 2u32.pow((attempts - 1).min(MOST_DOUBLINGS));
            // Hosts that failed together shall not come back together.
            Until::Time(
                now + pause
                    .min(LONGEST_PAUSE)
                    .mul_f64(0.8 + 0.4 * rand::random::<f64>()),
            )
        };
        self.by_subject.insert(
            subject,
            Hold {
                failure,
                attempts,
                until,
            },
        );
        is_news
    }

    /// A step for it went well.
    pub fn done(&mut self, subject: &Subject) {
        self.by_subject.remove(subject);
    }

    /// Something else is desired, or the host has changed: everything gets a new chance.
    pub fn clear(&mut self) {
        self.by_subject.clear();
    }

    /// What was held back for this reason gets a new chance.
    pub fn release(&mut self, code: &str) {
        self.by_subject.retain(|_, hold| hold.failure.code != code);
    }

    pub fn held(&self, now: Instant) -> BTreeSet<Subject> {
        self.by_subject
            .iter()
            .filter(|(_, hold)| hold.until.is_after(now))
            .map(|(subject, _)| subject.clone())
            .collect()
    }

    pub fn is_held(&self, subject: &Subject, now: Instant) -> bool {
        self.by_subject
            .get(subject)
            .is_some_and(|hold| hold.until.is_after(now))
    }

    /// The last failure, also while it is being tried again.
    pub fn failure(&self, subject: &Subject) -> Option<&Failure> {
        self.by_subject.get(subject).map(|hold| &hold.failure)
    }

    pub fn next_release(&self, now: Instant) -> Option<Instant> {
        let times = self
            .by_subject
            .values()
            .filter_map(|hold| match hold.until {
                Until::Time(time) if time > now => Some(time),
                Until::Time(_) | Until::Changed => None,
            });
        times.min()
    }
}

impl Until {
    fn is_after(self, now: Instant) -> bool {
        match self {
            Self::Time(time) => time > now,
            Self::Changed => true,
        }
    }
}

/// The policy is read when the agent starts, so what it refuses it refuses until then.
pub(super) fn is_final(failure: &Failure) -> bool {
    failure.code == "policy-refused"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject() -> Subject {
        Subject::Container("train".to_owned())
    }

    #[test]
    fn each_failure_in_a_row_holds_back_longer_up_to_a_minute() {
        let mut holds = Holds::default();
        let now = Instant::now();
        for (attempt, seconds) in [1, 2, 4, 8, 16, 32, 60, 60].into_iter().enumerate() {
            holds.note(
                subject(),
                Failure::new("port-taken", "port 8888 is taken"),
                now,
            );
            let wait = holds.next_release(now).unwrap() - now;
            let expected = Duration::from_secs(seconds);
            assert!(
                wait >= expected.mul_f64(0.8) && wait <= expected.mul_f64(1.2),
                "{attempt}: {wait:?}"
            );
        }
        assert!(holds.is_held(&subject(), now));
        assert!(!holds.is_held(&subject(), now + LONGEST_PAUSE * 2));
        assert!(
            holds.failure(&subject()).is_some(),
            "told until it goes well"
        );
        holds.done(&subject());
        assert_eq!(holds.failure(&subject()), None);
    }

    #[test]
    fn what_the_policy_refuses_waits_until_something_else_is_desired() {
        let mut holds = Holds::default();
        let now = Instant::now();
        holds.note(subject(), Failure::new("policy-refused", "no"), now);
        assert_eq!(
            holds.held(now + LONGEST_PAUSE * 100),
            BTreeSet::from([subject()])
        );
        assert_eq!(holds.next_release(now), None);
        holds.clear();
        assert!(holds.held(now).is_empty());
    }
}
