use super::*;

fn members(count: u32, rack: u32) -> Vec<Member> {
    (0..count)
        .map(|number| Member {
            peer: Peer(number),
            place: number / rack,
            serves: number % 10 != 3,
        })
        .collect()
}

#[test]
fn everyone_gets_enough_and_nobody_is_asked_by_many() {
    let degree = Degree::default();
    let neighbours = Neighbours::new(&members(1000, 40), degree, 7);
    let mut asked_by = vec![0; 1000];
    for number in 0..1000 {
        let named = neighbours.of(Peer(number));
        assert_eq!(named.len(), degree.near + degree.far);
        assert!(named.iter().all(|(peer, _)| *peer != Peer(number)));
        named
            .iter()
            .for_each(|(peer, _)| asked_by[peer.0 as usize] += 1);
    }
    assert!(
        asked_by.iter().all(|&count| count < 40),
        "{:?}",
        asked_by.iter().max()
    );
}

#[test]
fn near_is_the_own_place_and_comes_first() {
    let neighbours = Neighbours::new(&members(1000, 40), Degree::default(), 7);
    for number in 0..1000 {
        let named = neighbours.of(Peer(number));
        assert!(
            named
                .iter()
                .all(|(peer, distance)| (*distance == Distance::Near)
                    == (peer.0 / 40 == number / 40))
        );
        // Fewer than 12 where rings name the same member twice; far ones make up for them.
        assert!(
            named
                .iter()
                .filter(|(_, distance)| *distance == Distance::Near)
                .count()
                >= 5
        );
    }
}

#[test]
fn members_that_do_not_serve_get_neighbours_and_are_nobodys() {
    let neighbours = Neighbours::new(&members(200, 40), Degree::default(), 7);
    assert!(neighbours.of(Peer(3)).len() == 16);
    for number in 0..200 {
        assert!(
            neighbours
                .of(Peer(number))
                .iter()
                .all(|(peer, _)| peer.0 % 10 != 3)
        );
    }
}

#[test]
fn equal_input_gives_equal_neighbours_in_any_order() {
    let mut turned = members(100, 10);
    turned.reverse();
    let one = Neighbours::new(&members(100, 10), Degree::default(), 1);
    let other = Neighbours::new(&turned, Degree::default(), 1);
    for number in 0..100 {
        assert_eq!(one.of(Peer(number)), other.of(Peer(number)));
    }
}

#[test]
fn few_members_are_all_neighbours_and_a_stranger_has_none() {
    let neighbours = Neighbours::new(&members(3, 1), Degree::default(), 1);
    assert_eq!(neighbours.of(Peer(0)).len(), 2);
    assert!(neighbours.of(Peer(77)).is_empty());
}

#[test]
fn all_are_connected_across_places() {
    let neighbours = Neighbours::new(&members(1000, 40), Degree::default(), 3);
    let mut reached = std::collections::BTreeSet::from([Peer(0)]);
    let mut open = vec![Peer(0)];
    while let Some(peer) = open.pop() {
        open.extend(
            neighbours
                .of(peer)
                .into_iter()
                .map(|(other, _)| other)
                .filter(|other| reached.insert(*other)),
        );
    }
    assert_eq!(reached.len(), 900);
}
