use std::collections::BTreeSet;

use super::*;

#[test]
fn a_set_of_chunks_does_what_a_set_of_numbers_does() {
    let mut random = Random::new(1);
    for size in [1, 63, 64, 65, 200] {
        let mut set = ChunkSet::empty(size);
        let mut numbers = BTreeSet::new();
        for _ in 0..500 {
            let number = random.below(size + 2);
            let chunk = ChunkNumber(number);
            match random.below(2) {
                0 => assert_eq!(set.insert(chunk), number < size && numbers.insert(number)),
                _ => assert_eq!(set.remove(chunk), numbers.remove(&number)),
            }
            assert_eq!(set.contains(chunk), numbers.contains(&number));
        }
        let members: Vec<u32> = set.iter().map(|chunk| chunk.0).collect();
        assert_eq!(members, numbers.iter().copied().collect::<Vec<_>>());
        assert_eq!(set.len() as usize, numbers.len());
        let full = ChunkSet::full(size);
        assert_eq!(full.len(), size);
        assert!(set.is_within(&full));
        let mut rest = full.clone();
        rest.without(&set);
        assert!(!rest.meets(&set));
        rest.add(&set);
        assert_eq!(rest, full);
        rest.keep(&set);
        assert_eq!(rest, set);
    }
}

#[test]
fn random_numbers_come_from_their_seed_and_stay_below_the_end() {
    let numbers = |seed| {
        let mut random = Random::new(seed);
        (0..100).map(|_| random.below(10)).collect::<Vec<_>>()
    };
    assert_eq!(numbers(1), numbers(1));
    assert_ne!(numbers(1), numbers(2));
    let seen: BTreeSet<u32> = numbers(1).into_iter().collect();
    assert_eq!(seen, (0..10).collect());
    assert_eq!(Random::new(1).below(0), 0);
}
