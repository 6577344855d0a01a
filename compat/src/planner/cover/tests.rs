use proptest::prelude::*;

use super::*;

fn need(things: &[usize]) -> Need {
    Need {
        served_by: things.iter().map(|thing| (*thing, 1)).collect(),
    }
}

fn is_met(need: &Need, things: &BTreeSet<usize>) -> bool {
    need.served_by.keys().any(|thing| things.contains(thing))
}

fn picked(needs: &[&[usize]], there: &[usize]) -> Vec<usize> {
    let there = there.iter().copied().collect();
    let cover = fewest(needs.iter().map(|things| need(things)), &there, |_| 0);
    assert!(cover.exact);
    cover.picked.into_iter().collect()
}

#[test]
fn one_thing_that_serves_all_is_taken_instead_of_two() {
    assert_eq!(picked(&[&[0, 2], &[1, 2]], &[]), [2]);
}

#[test]
fn of_equally_few_the_better_ones_are_taken() {
    assert_eq!(picked(&[&[0, 1, 2], &[0, 1, 2]], &[]), [0]);
}

#[test]
fn what_is_there_costs_nothing_more() {
    assert_eq!(picked(&[&[0, 1], &[1, 2]], &[2]), [0, 2]);
    assert_eq!(picked(&[&[0, 2], &[1, 2]], &[2]), [2]);
}

#[test]
fn nothing_is_needed_where_nobody_needs_anything() {
    assert_eq!(picked(&[], &[]), [0; 0]);
    assert_eq!(picked(&[&[]], &[]), [0; 0]);
}

#[test]
fn of_equally_few_the_cheaper_ones_are_taken() {
    let needs = [Need {
        served_by: BTreeMap::from([(0, 50), (1, 20)]),
    }];
    let cover = fewest(needs.clone(), &BTreeSet::new(), |_| 0);
    assert_eq!(cover.picked, BTreeSet::from([1]));
    // Building it outweighs that.
    let cover = fewest(
        needs,
        &BTreeSet::new(),
        |thing| if thing == 1 { 100 } else { 0 },
    );
    assert_eq!(cover.picked, BTreeSet::from([0]));
}

#[test]
fn costs_of_equal_needs_add_up() {
    let need = |costs: [u64; 2]| Need {
        served_by: BTreeMap::from([(0, costs[0]), (1, costs[1])]),
    };
    let cover = fewest([need([3, 1]), need([1, 2])], &BTreeSet::new(), |_| 0);
    assert_eq!(cover.picked, BTreeSet::from([1]), "4 against 3");
}

#[test]
fn where_exact_is_not_cheap_the_answer_says_so_and_still_covers() {
    // Every pair out of 60 things is a need: no cover is smaller than 59, and proving it takes too long.
    let needs: Vec<Need> = (0..60)
        .flat_map(|a| (0..a).map(move |b| need(&[a, b])))
        .collect();
    let cover = fewest(needs.clone(), &BTreeSet::new(), |_| 0);
    assert!(!cover.exact);
    assert!(needs.iter().all(|need| is_met(need, &cover.picked)));
}

proptest! {
    #[test]
    fn no_choice_is_smaller_than_the_best_of_all_choices(
        needs in proptest::collection::vec(proptest::collection::vec(0..8_usize, 1..5), 0..9),
        there in proptest::collection::btree_set(0..8_usize, 0..3),
    ) {
        let needs: Vec<Need> = needs.iter().map(|things| {
            let things: BTreeSet<usize> = things.iter().copied().collect();
            need(&things.into_iter().collect::<Vec<_>>())
        }).collect();
        let cover = fewest(needs.clone(), &there, |_| 0);
        prop_assert!(cover.exact);
        let subsets = (0..1_usize << 8).map(|bits| (0..8).filter(|thing| bits >> thing & 1 == 1).collect::<BTreeSet<usize>>());
        let smallest = subsets
            .filter(|new| needs.iter().all(|need| is_met(need, &there.union(new).copied().collect())))
            .map(|new| new.difference(&there).count())
            .min()
            .unwrap();
        prop_assert_eq!(cover.picked.difference(&there).count(), smallest);
        prop_assert!(needs.iter().all(|need| is_met(need, &cover.picked)));
    }
}
