//! When a host is given up.

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn host() -> Host {
    Host {
        name: "t4".parse().expect("name"),
        connected: true,
        last_seen_at: None,
        enrolled_at: None,
        certificate_ends_at: None,
        agent_version: String::new(),
        address: String::new(),
        inventory: None,
        status: Some(tfleet_proto::model::status::HostStatus {
            generation: 1,
            observed_generation: 1,
            ..Default::default()
        }),
        desired: None,
    }
}

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
        assert_eq!(waiting.ended_waiting(began + SECOND * second, None), None);
        waiting.hear(moving(0), began + SECOND * (second + 1));
        waiting.hear(moving(500), began + SECOND * (second + 1));
    }
    let later = began + IN_VAIN + SECOND;
    assert_eq!(
        waiting.ended_waiting(later, None),
        None,
        "the try that is under way may go well"
    );
    waiting.hear(failing(), later);
    assert!(matches!(
        waiting.ended_waiting(later, None),
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
        assert_eq!(waiting.ended_waiting(now, None), None);
    }
}

fn started(second: i64) -> Verdict {
    Verdict::Lasting(Timestamp::from_second(second).ok())
}

#[test]
fn a_command_is_told_as_running_once_one_start_has_lasted() {
    let (mut waiting, began) = (waiting(), Instant::now());
    waiting.look(&host(), began, |_| started(1));
    assert_eq!(waiting.ended_waiting(began, None), None);
    // It ended and was started again, unseen: the first start's time does not count for the second.
    let again = began + STEADY;
    waiting.look(&host(), again, |_| started(2));
    assert_eq!(waiting.ended_waiting(again, None), None);
    waiting.look(&host(), again + STEADY / 2, |_| started(2));
    let running = Outcome::Done {
        detail: RUNNING.to_owned(),
    };
    assert_eq!(
        waiting.ended_waiting(again + STEADY, None),
        Some(running.clone())
    );
    // Whoever will not wait so long is told what is true now.
    let limit = Some(Duration::from_secs(1));
    assert_eq!(waiting.ended_waiting(again, limit), Some(running));
}

#[test]
fn a_command_that_ends_before_that_is_told_as_ended() {
    let (mut waiting, began) = (waiting(), Instant::now());
    waiting.look(&host(), began, |_| started(1));
    let ended = |_: &Host| Verdict::Failed(Failure::new("container-exited", "tf ended with 1"));
    let look = waiting.look(&host(), began, ended);
    assert!(matches!(look, Look::Settled(Outcome::Failed { .. })));
}

#[test]
fn how_an_image_came_is_told_to_who_saw_it_come() {
    let delivered = || Verdict::Delivered {
        image: "present: 4.5 GiB".to_owned(),
        how: "; 1.9 GiB on the wire".to_owned(),
    };
    let done = |look| match look {
        Look::Settled(Outcome::Done { detail }) => detail,
        _ => panic!("it is there"),
    };
    let now = Instant::now();
    assert_eq!(
        done(waiting().hear(delivered(), now)),
        "present: 4.5 GiB, as before"
    );
    let mut waiting = waiting();
    waiting.hear(moving(500), now);
    assert_eq!(
        done(waiting.hear(delivered(), now)),
        "present: 4.5 GiB; 1.9 GiB on the wire"
    );
}
