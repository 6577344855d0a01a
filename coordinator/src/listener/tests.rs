use futures::FutureExt as _;
use tfleet_proto::model::digest::Digest;

use super::*;

fn is_sent_away(stranger: &Stranger) -> bool {
    stranger.sent_away().now_or_never().is_some()
}

#[test]
fn the_stranger_that_came_first_makes_room() {
    let strangers = Strangers::at_most(2);
    let (first, second) = (strangers.enter(), strangers.enter());
    assert!(!is_sent_away(&first));
    let third = strangers.enter();
    assert!(is_sent_away(&first) && !is_sent_away(&second) && !is_sent_away(&third));
}

#[test]
fn a_stranger_that_left_takes_no_room() {
    let strangers = Strangers::at_most(2);
    let first = strangers.enter();
    drop(strangers.enter());
    let third = strangers.enter();
    assert!(!is_sent_away(&first) && !is_sent_away(&third));
}

#[test]
fn without_descriptors_the_older_half_leaves() {
    let strangers = Strangers::at_most(8);
    let present: Vec<Stranger> = (0..3).map(|_| strangers.enter()).collect();
    assert_eq!(strangers.make_room(), 2);
    let gone: Vec<bool> = present.iter().map(is_sent_away).collect();
    assert_eq!(gone, [true, true, false]);
    assert_eq!(strangers.make_room(), 1);
    assert_eq!(strangers.make_room(), 0);
}

fn operator(name: &str) -> Peer {
    Peer::Operator {
        name: name.to_owned(),
        key: Digest::of(name.as_bytes()),
    }
}

#[test]
fn a_revocation_ends_every_connection_of_its_peer_and_no_other() {
    let connections = Connections::default();
    let (ann, again) = (
        connections.register(&operator("ann")),
        connections.register(&operator("ann")),
    );
    let bob = connections.register(&operator("bob"));
    connections.end(|peer| *peer == operator("ann"));
    assert!(ann.is_cancelled() && again.is_cancelled() && !bob.is_cancelled());
    // One that comes later is for the admission to refuse.
    assert!(!connections.register(&operator("ann")).is_cancelled());
}
