//! When a host is given up.

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn waiting() -> Waiting {
    Waiting::new(HostChange {
        host: "t4".to_owned(),
        generation: 1,
        variant: None,
        settled: None,
    })
}

fn failing() -> Verdict {
    Verdict::Retrying(Failure::new("disk-full", "no space left on device"))
}

fn moving(done_bytes: u64) -> Verdict {
    Verdict::Working(Step {
        phase: TRANSFERRING,
        done_bytes,
        ..Step::default()
    })
}

#[test]
fn a_delivery_that_begins_anew_and_fails_again_is_in_vain_from_its_first_failure() {
    let (mut waiting, began) = (waiting(), Instant::now());
    waiting.hear(moving(500), began);
    for second in (0..60).step_by(2) {
        waiting.hear(failing(), began + SECOND * second);
        assert_eq!(waiting.given_up(began + SECOND * second, None), None);
        waiting.hear(moving(0), began + SECOND * (second + 1));
        waiting.hear(moving(500), began + SECOND * (second + 1));
    }
    let later = began + IN_VAIN + SECOND;
    assert_eq!(
        waiting.given_up(later, None),
        None,
        "the try that is under way may go well"
    );
    waiting.hear(failing(), later);
    assert!(matches!(
        waiting.given_up(later, None),
        Some(Outcome::Failed { failure }) if failure.code == "disk-full"
    ));
}

#[test]
fn a_delivery_that_comes_further_each_time_is_not_in_vain() {
    let (mut waiting, began) = (waiting(), Instant::now());
    for attempt in 0..10 {
        let now = began + IN_VAIN * attempt;
        waiting.hear(moving(u64::from(attempt) * 100 + 100), now);
        waiting.hear(failing(), now);
        assert_eq!(waiting.given_up(now, None), None);
    }
}
