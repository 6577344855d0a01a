//! What makes the loop look again.

use super::host::*;

#[tokio::test]
async fn what_was_held_back_gets_a_new_chance_also_when_the_newer_state_wakes_nobody() {
    let mut host = Host::new();
    host.want(state(1, &[image()]));
    host.settle().await;
    let subject = Subject::Image(image().artifact);
    let refusal = Failure::new("policy-refused", "no");
    host.reconciler.hold_back(subject.clone(), refusal);
    host.settle().await;
    assert!(host.reconciler.holds.is_held(&subject, Instant::now()));
    // Accepted while a step is carried out: the next round takes it before anybody waits for the change.
    host.want(state(2, &[]));
    host.settle().await;
    assert!(!host.reconciler.holds.is_held(&subject, Instant::now()));
}

#[tokio::test]
async fn a_swarm_of_events_is_one_reason_to_look() {
    let (sender, events) = tokio::sync::mpsc::unbounded_channel();
    let mut events = tokio_stream::wrappers::UnboundedReceiverStream::new(events);
    for _ in 0..100 {
        sender.send(()).unwrap();
    }
    drain(&mut events);
    assert_eq!(events.next().now_or_never(), None, "none waits any more");
    sender.send(()).unwrap();
    assert_eq!(events.next().now_or_never(), Some(Some(())));
}
