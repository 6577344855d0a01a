use std::time::Duration;

use tfleet_proto::model::swarm::{ChunkNumber, ChunkSet, Distance, Peer, Random};

use super::*;

const CHUNKS: u32 = 100;

fn download(peers: u32) -> Download {
    let mut download = Download::new(
        &ChunkSet::empty(CHUNKS),
        Settings::default(),
        1,
        Duration::ZERO,
    );
    let named: Vec<_> = (0..peers)
        .map(|number| (Peer(number), Distance::Near))
        .collect();
    download.set_neighbours(&named, Duration::ZERO);
    download
}

fn at(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

fn planned(download: &mut Download, now: Duration) -> Vec<Action> {
    let mut actions = Vec::new();
    download.plan(now, &mut actions);
    actions
}

fn asks(actions: &[Action]) -> Vec<(Source, ChunkNumber)> {
    let ask = |action: &Action| match action {
        Action::Ask { source, chunk } => Some((*source, *chunk)),
        _ => None,
    };
    actions.iter().filter_map(ask).collect()
}

fn set(chunks: impl IntoIterator<Item = u32>) -> ChunkSet {
    let mut set = ChunkSet::empty(CHUNKS);
    chunks
        .into_iter()
        .for_each(|chunk| assert!(set.insert(ChunkNumber(chunk))));
    set
}

#[test]
fn without_neighbours_the_image_streams_in_order() {
    let mut download = download(0);
    let mut expected = 0;
    let mut waiting = std::collections::VecDeque::new();
    for step in 0.. {
        waiting.extend(asks(&planned(&mut download, at(step))));
        assert!(waiting.len() <= Settings::default().in_flight);
        let Some((source, chunk)) = waiting.pop_front() else {
            break;
        };
        assert_eq!(
            (source, chunk),
            (Source::Coordinator, ChunkNumber(expected))
        );
        assert!(download.arrived(source, chunk, at(step)));
        expected += 1;
    }
    assert!(download.is_complete());
    assert_eq!(expected, CHUNKS);
}

#[test]
fn the_rarest_chunk_comes_first() {
    let mut download = download(3);
    download.has(Peer(0), &set(0..10), at(0));
    download.has(Peer(1), &set(0..10), at(0));
    download.has(Peer(2), &set([3, 7, 42]), at(0));
    let asked = asks(&planned(&mut download, at(0)));
    assert!(asked.contains(&(Source::Peer(Peer(2)), ChunkNumber(42))));
}

#[test]
fn far_neighbours_are_asked_only_for_what_no_near_one_has() {
    let mut download = download(8);
    let mut named: Vec<_> = (0..8)
        .map(|number| (Peer(number), Distance::Near))
        .collect();
    named.push((Peer(50), Distance::Far));
    download.set_neighbours(&named, at(0));
    (0..8).for_each(|number| download.has(Peer(number), &set(0..50), at(0)));
    download.has(Peer(50), &ChunkSet::full(CHUNKS), at(0));
    for (source, chunk) in asks(&planned(&mut download, at(0))) {
        assert_eq!(source == Source::Peer(Peer(50)), chunk.0 >= 50);
    }
}

#[test]
fn a_peer_that_sent_a_corrupt_chunk_is_never_asked_again() {
    let mut download = download(2);
    download.has(Peer(0), &ChunkSet::full(CHUNKS), at(0));
    let (source, chunk) = asks(&planned(&mut download, at(0)))[0];
    download.corrupt(source, chunk, at(1));
    download.set_neighbours(
        &[(Peer(0), Distance::Near), (Peer(1), Distance::Near)],
        at(2),
    );
    download.has(Peer(0), &ChunkSet::full(CHUNKS), at(2));
    for step in 2..10_000 {
        for (source, chunk) in asks(&planned(&mut download, at(step))) {
            assert_ne!(source, Source::Peer(Peer(0)));
            download.failed(source, chunk, at(step));
        }
    }
}

#[test]
fn a_chunk_that_failed_everywhere_is_asked_of_the_coordinator() {
    let mut download = download(3);
    (0..3).for_each(|number| download.has(Peer(number), &set([5]), at(0)));
    let mut asked = Vec::new();
    for step in 0..5000 {
        for (source, chunk) in asks(&planned(&mut download, at(step))) {
            asked.push((source, chunk));
            if source != Source::Coordinator {
                download.corrupt(source, chunk, at(step));
            }
        }
    }
    assert!((0..3).all(|number| asked.contains(&(Source::Peer(Peer(number)), ChunkNumber(5)))));
    assert!(asked.contains(&(Source::Coordinator, ChunkNumber(5))));
}

#[test]
fn a_turn_asks_first_for_what_no_neighbour_has() {
    let mut download = download(1);
    download.has(Peer(0), &set(0..90), at(0));
    assert!(planned(&mut download, at(0)).contains(&Action::AskForTurn));
    assert_eq!(download.turn(at(1)), Some(set(90..100)));
    download.turn_begins(Some(ChunkNumber(95)), at(1));
    assert!(
        !asks(&planned(&mut download, at(2)))
            .iter()
            .any(|(_, chunk)| *chunk == ChunkNumber(95))
    );
}

#[test]
fn what_was_asked_of_the_coordinator_is_taken_back_when_there_are_neighbours() {
    let mut download = download(0);
    let asked = asks(&planned(&mut download, at(0)));
    assert_eq!(asked.len(), Settings::default().in_flight);
    download.set_neighbours(&[(Peer(0), Distance::Near)], at(1));
    download.has(Peer(0), &ChunkSet::full(CHUNKS), at(1));
    let actions = planned(&mut download, at(1));
    for (source, chunk) in asked {
        assert!(actions.contains(&Action::Cancel { source, chunk }));
    }
    assert!(
        asks(&actions)
            .iter()
            .all(|(source, _)| *source == Source::Peer(Peer(0)))
    );
}

#[test]
fn neighbours_that_are_forgotten_owe_nothing_and_are_barred_no_more() {
    let mut download = download(2);
    (0..2).for_each(|number| download.has(Peer(number), &ChunkSet::full(CHUNKS), at(0)));
    let asked = asks(&planned(&mut download, at(0)));
    download.corrupt(Source::Peer(Peer(0)), asked[0].1, at(0));
    download.forget_neighbours();
    assert_eq!(download.in_flight(), 0);
    download.set_neighbours(&[(Peer(0), Distance::Near)], at(1));
    download.has(Peer(0), &set([5]), at(1));
    let asked = asks(&planned(&mut download, at(1)));
    assert_eq!(asked, [(Source::Peer(Peer(0)), ChunkNumber(5))]);
}

#[test]
fn a_coordinator_that_comes_back_is_asked_for_a_turn_anew() {
    let mut download = download(1);
    assert!(planned(&mut download, at(0)).contains(&Action::AskForTurn));
    assert!(!planned(&mut download, at(50)).contains(&Action::AskForTurn));
    download.lost(Source::Coordinator, at(60));
    assert!(!planned(&mut download, at(61)).contains(&Action::AskForTurn));
    assert!(planned(&mut download, at(200)).contains(&Action::AskForTurn));
}

#[test]
fn a_silent_peer_is_replaced_and_a_late_one_helped() {
    let settings = Settings::default();
    let mut download = download(2);
    download.has(Peer(0), &set([1]), at(0));
    assert_eq!(
        asks(&planned(&mut download, at(0))),
        [(Source::Peer(Peer(0)), ChunkNumber(1))]
    );
    download.has(Peer(1), &set([1]), at(1));
    assert_eq!(asks(&planned(&mut download, at(1))), []);
    let late = settings.late + at(1);
    assert_eq!(
        asks(&planned(&mut download, late)),
        [(Source::Peer(Peer(1)), ChunkNumber(1))]
    );
    let gone = settings.silence + at(1);
    assert!(planned(&mut download, gone).contains(&Action::Reconnect { peer: Peer(0) }));
    assert!(download.arrived(Source::Peer(Peer(1)), ChunkNumber(1), gone));
    assert!(!download.arrived(Source::Peer(Peer(0)), ChunkNumber(1), gone));
}

#[test]
fn the_second_request_is_cancelled_when_the_first_brings_the_chunk() {
    let mut download = download(2);
    (0..2).for_each(|number| download.has(Peer(number), &set([1]), at(0)));
    let first = asks(&planned(&mut download, at(0)))[0].0;
    let second = asks(&planned(&mut download, at(100)))[0].0;
    assert_ne!(first, second);
    assert!(download.arrived(first, ChunkNumber(1), at(101)));
    assert!(planned(&mut download, at(101)).contains(&Action::Cancel {
        source: second,
        chunk: ChunkNumber(1)
    }));
    assert!(download.in_flight() <= 1);
}

/// A crowd of peers that send, refuse, lie, die, and come back at random, and a coordinator that lives.
struct Crowd {
    random: Random,
    have: Vec<ChunkSet>,
    liars: Vec<bool>,
    caught: Vec<bool>,
    requests: Vec<(Source, ChunkNumber)>,
    asked: Vec<(u64, Action)>,
}

impl Crowd {
    fn new(seed: u64, peers: usize) -> Self {
        let mut random = Random::new(seed);
        let liars = (0..peers).map(|_| random.below(5) == 0).collect();
        Self {
            random,
            have: vec![ChunkSet::empty(CHUNKS); peers],
            liars,
            caught: vec![false; peers],
            requests: Vec::new(),
            asked: Vec::new(),
        }
    }

    fn note(&mut self, actions: &[Action], time: u64) {
        for &action in actions {
            self.asked.push((time, action));
            match action {
                Action::Ask { source, chunk } => {
                    if let Source::Peer(peer) = source {
                        assert!(
                            self.have[peer.0 as usize].contains(chunk),
                            "asked for what it lacks"
                        );
                        assert!(!self.caught[peer.0 as usize], "asked after a lie");
                    }
                    assert!(
                        !self.requests.contains(&(source, chunk)),
                        "asked twice at once"
                    );
                    self.requests.push((source, chunk));
                }
                Action::Cancel { source, chunk } => {
                    self.requests.retain(|request| *request != (source, chunk))
                }
                Action::Reconnect { peer } => self
                    .requests
                    .retain(|(source, _)| *source != Source::Peer(peer)),
                Action::AskForTurn => {}
            }
        }
    }

    /// Something happens.
    fn act(&mut self, download: &mut Download, now: Duration) {
        let peer = Peer(self.random.below(self.have.len() as u32));
        let place = peer.0 as usize;
        match self.random.below(12) {
            0..3 => {
                let chunk = ChunkNumber(self.random.below(CHUNKS));
                self.have[place].insert(chunk);
                download.gained(peer, &[chunk], now);
            }
            3 => {
                download.lost(Source::Peer(peer), now);
                self.requests
                    .retain(|(source, _)| *source != Source::Peer(peer));
                self.have[place].clear();
            }
            4 => download.has(peer, &self.have[place], now),
            5 if self.random.below(20) == 0 => {
                let named: Vec<_> = (0..self.have.len() as u32)
                    .filter(|_| self.random.below(4) > 0)
                    .map(|number| {
                        (
                            Peer(number),
                            if number % 3 == 0 {
                                Distance::Far
                            } else {
                                Distance::Near
                            },
                        )
                    })
                    .collect();
                download.set_neighbours(&named, now);
            }
            5 | 6 => {
                if let Some(wanted) = download.turn(now) {
                    let chunk = wanted.iter().next();
                    download.turn_begins(chunk, now);
                    self.requests
                        .extend(chunk.map(|chunk| (Source::Coordinator, chunk)));
                }
            }
            _ if !self.requests.is_empty() => self.answer(download, now),
            _ => {}
        }
    }

    fn answer(&mut self, download: &mut Download, now: Duration) {
        let place = self.random.below(self.requests.len() as u32) as usize;
        let (source, chunk) = self.requests.remove(place);
        match source {
            Source::Peer(peer) if self.liars[peer.0 as usize] => {
                self.caught[peer.0 as usize] = true;
                download.corrupt(source, chunk, now);
                self.requests
                    .retain(|(source, _)| *source != Source::Peer(peer));
            }
            Source::Peer(_) if self.random.below(4) == 0 => download.failed(source, chunk, now),
            _ => assert!(
                download.arrived(source, chunk, now),
                "wanted once, sent once"
            ),
        }
    }
}

fn run(seed: u64) -> Vec<(u64, Action)> {
    let mut crowd = Crowd::new(seed, 12);
    let mut download = download(12);
    for step in 0..200_000 {
        let now = at(step * 5);
        let actions = planned(&mut download, now);
        crowd.note(&actions, step);
        assert!(download.in_flight() <= Settings::default().in_flight);
        if download.is_complete() {
            assert!(crowd.requests.is_empty());
            return crowd.asked;
        }
        crowd.act(&mut download, now);
    }
    panic!(
        "seed {seed}: {} chunks never came",
        download.missing().len()
    );
}

#[test]
fn whatever_peers_do_everything_arrives_and_the_invariants_hold() {
    (0..200).for_each(|seed| drop(run(seed)));
}

#[test]
fn equal_seeds_make_equal_decisions() {
    assert_eq!(run(7), run(7));
    assert_ne!(run(7), run(8));
}

#[test]
fn uploads_take_turns_within_their_bounds() {
    let mut uploads = Uploads::new(2, 2, 2);
    for chunk in 0..2 {
        assert_eq!(uploads.ask(Peer(1), ChunkNumber(chunk)), Answer::Queued);
    }
    assert_eq!(uploads.ask(Peer(1), ChunkNumber(1)), Answer::Queued);
    assert_eq!(uploads.ask(Peer(1), ChunkNumber(2)), Answer::Busy);
    assert_eq!(uploads.ask(Peer(2), ChunkNumber(0)), Answer::Queued);
    assert_eq!(uploads.ask(Peer(3), ChunkNumber(0)), Answer::Busy);
    assert_eq!(uploads.start(), Some((Peer(1), ChunkNumber(0))));
    assert_eq!(uploads.start(), Some((Peer(2), ChunkNumber(0))));
    assert_eq!(uploads.start(), None);
    uploads.ended(Peer(2), ChunkNumber(0));
    assert_eq!(uploads.start(), Some((Peer(1), ChunkNumber(1))));
    uploads.lost(Peer(1));
    assert!(uploads.sending().is_empty());
}
