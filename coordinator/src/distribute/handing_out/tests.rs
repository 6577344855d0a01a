use super::*;

fn peer(number: u32) -> Peer {
    Peer(number)
}

/// The next agent that is offered a slot takes any chunk.
fn hand_one(handing_out: &mut HandingOut, chunks: u32) -> Option<(Peer, ChunkNumber)> {
    match handing_out.start()? {
        Step::Send(peer, chunk) => Some((peer, chunk)),
        Step::Offer(peer) => Some((peer, handing_out.choose(peer, &ChunkSet::full(chunks))?)),
    }
}

#[test]
fn every_chunk_leaves_once_before_any_leaves_twice() {
    let mut handing_out = HandingOut::new(10, 2);
    for turn in 0..20 {
        handing_out.ask_any(peer(turn % 3));
        let (to, chunk) = hand_one(&mut handing_out, 10).unwrap();
        handing_out.ended(to, chunk);
        let (least, most) = (
            handing_out.sent().iter().min().unwrap(),
            handing_out.sent().iter().max().unwrap(),
        );
        assert!(most - least <= 1);
    }
    assert_eq!(handing_out.sent(), [2; 10]);
}

#[test]
fn no_more_slots_are_taken_than_there_are() {
    let mut handing_out = HandingOut::new(10, 2);
    (0..5).for_each(|number| handing_out.ask_any(peer(number)));
    assert_eq!(handing_out.start(), Some(Step::Offer(peer(0))));
    assert_eq!(handing_out.start(), Some(Step::Offer(peer(1))));
    assert_eq!(handing_out.start(), None);
    assert_eq!(handing_out.choose(peer(0), &ChunkSet::empty(10)), None);
    assert_eq!(handing_out.start(), Some(Step::Offer(peer(2))));
    assert_eq!(handing_out.start(), None);
}

#[test]
fn named_chunks_come_in_their_order_and_only_once() {
    let mut handing_out = HandingOut::new(10, 8);
    for chunk in [4, 2, 4, 99] {
        handing_out.ask(peer(1), ChunkNumber(chunk));
    }
    handing_out.ask(peer(1), ChunkNumber(3));
    handing_out.cancel(peer(1), ChunkNumber(3));
    assert_eq!(
        handing_out.start(),
        Some(Step::Send(peer(1), ChunkNumber(4)))
    );
    assert_eq!(
        handing_out.start(),
        Some(Step::Send(peer(1), ChunkNumber(2)))
    );
    assert_eq!(handing_out.start(), None);
}

#[test]
fn what_a_lost_agent_was_sent_is_sent_again() {
    let mut handing_out = HandingOut::new(2, 1);
    handing_out.ask_any(peer(1));
    assert_eq!(
        hand_one(&mut handing_out, 2),
        Some((peer(1), ChunkNumber(0)))
    );
    handing_out.lost(peer(1));
    handing_out.ask_any(peer(2));
    assert_eq!(
        hand_one(&mut handing_out, 2),
        Some((peer(2), ChunkNumber(0)))
    );
}

#[test]
fn a_slow_agent_holds_one_slot_which_soon_does_not_count_and_gets_what_others_have() {
    let mut handing_out = HandingOut::new(100, 2);
    handing_out.ask_any(peer(9));
    assert_eq!(
        hand_one(&mut handing_out, 100),
        Some((peer(9), ChunkNumber(0)))
    );
    for _ in 0..20 {
        handing_out.ask_any(peer(1));
        handing_out.ask(peer(9), ChunkNumber(50));
        let (to, chunk) = hand_one(&mut handing_out, 100).unwrap();
        assert_eq!(to, peer(1));
        handing_out.ended(to, chunk);
    }
    // Overdue: two more at once, as if peer 9 held no slot.
    handing_out.cancel(peer(9), ChunkNumber(50));
    handing_out.ask_any(peer(1));
    handing_out.ask_any(peer(2));
    for _ in 0..2 {
        let (to, chunk) = hand_one(&mut handing_out, 100).unwrap();
        handing_out.ended(to, chunk);
    }
    handing_out.ended(peer(9), ChunkNumber(0));
    // After the others, and sent what was sent before.
    handing_out.ask_any(peer(9));
    handing_out.ask_any(peer(3));
    let (to, fresh) = hand_one(&mut handing_out, 100).unwrap();
    assert_eq!(to, peer(3));
    assert_eq!(handing_out.sent()[fresh.0 as usize], 1);
    assert_eq!(
        hand_one(&mut handing_out, 100),
        Some((peer(9), ChunkNumber(0)))
    );
}

#[test]
fn nobody_holds_all_slots_and_who_takes_long_holds_up_nobody() {
    let mut handing_out = HandingOut::new(10, 3);
    (0..10).for_each(|chunk| handing_out.ask(peer(1), ChunkNumber(chunk)));
    let first = Some(Step::Send(peer(1), ChunkNumber(0)));
    assert_eq!(handing_out.start(), first);
    assert!(handing_out.start().is_some());
    assert_eq!(handing_out.start(), None, "it holds two");
    handing_out.ask(peer(2), ChunkNumber(7));
    assert!(handing_out.start().is_some());
    handing_out.ask(peer(3), ChunkNumber(7));
    assert_eq!(handing_out.start(), None, "no slot is free");
    handing_out.late(peer(1), ChunkNumber(0));
    let next = Some(Step::Send(peer(3), ChunkNumber(7)));
    assert_eq!(handing_out.start(), next);
}

#[test]
fn a_chunk_is_on_its_way_to_an_agent_once() {
    let mut handing_out = HandingOut::new(2, 4);
    handing_out.ask_any(peer(1));
    assert_eq!(handing_out.start(), Some(Step::Offer(peer(1))));
    handing_out.ask(peer(1), ChunkNumber(0));
    let chosen = handing_out.choose(peer(1), &ChunkSet::full(2));
    assert_eq!(chosen, Some(ChunkNumber(0)));
    assert_eq!(handing_out.start(), None, "what it named is being sent");
    handing_out.ask(peer(1), ChunkNumber(0));
    assert_eq!(handing_out.start(), None);
}

#[test]
fn what_is_under_way_to_one_agent_is_not_sent_to_another() {
    let mut handing_out = HandingOut::new(2, 4);
    for (number, chunk) in [(1, Some(0)), (2, Some(1)), (3, None)] {
        handing_out.ask_any(peer(number));
        assert_eq!(handing_out.start(), Some(Step::Offer(peer(number))));
        let chosen = handing_out.choose(peer(number), &ChunkSet::full(2));
        assert_eq!(chosen, chunk.map(ChunkNumber));
    }
    handing_out.ended(peer(1), ChunkNumber(0));
    handing_out.ask_any(peer(3));
    assert_eq!(
        hand_one(&mut handing_out, 2),
        Some((peer(3), ChunkNumber(0)))
    );
    // Who asks for it by name has a reason.
    handing_out.ask(peer(4), ChunkNumber(1));
    assert_eq!(
        handing_out.start(),
        Some(Step::Send(peer(4), ChunkNumber(1)))
    );
}

#[test]
fn an_agent_that_is_done_is_not_offered_a_slot() {
    let mut handing_out = HandingOut::new(10, 2);
    handing_out.ask_any(peer(1));
    handing_out.ask(peer(1), ChunkNumber(1));
    handing_out.done(peer(1));
    assert_eq!(handing_out.start(), None);
}
