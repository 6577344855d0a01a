//! The fewest things such that each need has one of those that serve it.
//!
//! Needs are kinds of host; things are TensorFlow releases or variants. Some things are there already and cost nothing
//! more. Things are numbered best first, so that of equally few the better ones win.

use std::collections::{BTreeMap, BTreeSet};

/// How many partial choices are looked at before a good answer is taken for the best. A fleet of 400 hosts with 40 drivers
/// takes some hundred.
const PATIENCE: usize = 100_000;

/// How many things the exact search can tell apart.
const MOST_THINGS: usize = u128::BITS as usize;

/// What covers the needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cover {
    /// The things, those that were there included.
    pub picked: BTreeSet<usize>,
    /// Whether no other choice is smaller or, being as small, better.
    pub exact: bool,
}

/// One need: the things of which any serves, and what each would cost it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Need {
    /// Cost by thing.
    pub served_by: BTreeMap<usize, u64>,
}

/// The fewest things beside those that are there; of equally few, those with the least cost, where every need takes its
/// cheapest; of equal cost, the best by number. `entry_cost` is what a thing costs once.
pub(super) fn fewest(
    needs: impl IntoIterator<Item = Need>,
    there: &BTreeSet<usize>,
    entry_cost: impl Fn(usize) -> u64,
) -> Cover {
    let mut merged: BTreeMap<Vec<usize>, Need> = BTreeMap::new();
    for need in needs {
        if need.served_by.is_empty() {
            continue;
        }
        merged
            .entry(need.served_by.keys().copied().collect())
            .and_modify(|known| known.add(&need))
            .or_insert(need);
    }
    let needs: Vec<Need> = merged.into_values().collect();
    let things: BTreeSet<usize> = needs
        .iter()
        .flat_map(|need| need.served_by.keys().copied())
        .collect();
    let greedy = greedy(&needs, there);
    let (new, exact) = if things.len() <= MOST_THINGS {
        let mut search = Search::new(&needs, things.into_iter().collect(), there, &entry_cost);
        search.go(0);
        let exact = search.steps < PATIENCE;
        match search.best {
            Some((size, _, new)) if exact || size <= greedy.len() => (new, exact),
            _ => (greedy, exact),
        }
    } else {
        (greedy, false)
    };
    Cover {
        picked: there.union(&new).copied().collect(),
        exact,
    }
}

impl Need {
    /// Takes the costs of another need that the same things serve.
    fn add(&mut self, other: &Self) {
        for (thing, cost) in &mut self.served_by {
            *cost = cost.saturating_add(other.served_by.get(thing).copied().unwrap_or(0));
        }
    }
}

/// Depth first, the need with the fewest choices first, never deeper than the best answer so far.
struct Search<'a, C> {
    needs: &'a [Need],
    /// The things, by their place in every mask.
    things: Vec<usize>,
    /// The things that serve each need that is not met from the start, fewest first.
    unmet: Vec<u128>,
    there: &'a BTreeSet<usize>,
    entry_cost: &'a C,
    steps: usize,
    /// Size, cost and things.
    best: Option<(usize, u64, BTreeSet<usize>)>,
}

impl<'a, C: Fn(usize) -> u64> Search<'a, C> {
    fn new(
        needs: &'a [Need],
        things: Vec<usize>,
        there: &'a BTreeSet<usize>,
        entry_cost: &'a C,
    ) -> Self {
        let mask = |need: &Need| {
            let served = |thing: &usize| need.served_by.contains_key(thing);
            let places = things.iter().enumerate().filter(|(_, thing)| served(thing));
            places.fold(0, |mask, (place, _)| mask | 1_u128 << place)
        };
        let is_unmet = |need: &&Need| !need.served_by.keys().any(|thing| there.contains(thing));
        let mut unmet: Vec<u128> = needs.iter().filter(is_unmet).map(mask).collect();
        unmet.sort_by_key(|mask| mask.count_ones());
        Self {
            needs,
            things,
            unmet,
            there,
            entry_cost,
            steps: 0,
            best: None,
        }
    }

    fn go(&mut self, new: u128) {
        self.steps += 1;
        if self.steps >= PATIENCE {
            return;
        }
        let size = new.count_ones() as usize;
        let Some(unmet) = self.unmet.iter().find(|mask| *mask & new == 0).copied() else {
            let places = (0..self.things.len()).filter(|place| new >> place & 1 == 1);
            let new: BTreeSet<usize> = places.map(|place| self.things[place]).collect();
            let answer = (size, self.cost(&new), new);
            if self.best.as_ref().is_none_or(|best| answer < *best) {
                self.best = Some(answer);
            }
            return;
        };
        if self.best.as_ref().is_some_and(|(best, ..)| size >= *best) {
            return;
        }
        for place in (0..self.things.len()).filter(|place| unmet >> place & 1 == 1) {
            self.go(new | 1 << place);
        }
    }

    fn cost(&self, new: &BTreeSet<usize>) -> u64 {
        let once = new.iter().map(|thing| (self.entry_cost)(*thing));
        let each = self.needs.iter().filter_map(|need| {
            let has = |thing: &usize| new.contains(thing) || self.there.contains(thing);
            let costs = need.served_by.iter().filter(|(thing, _)| has(thing));
            costs.map(|(_, cost)| *cost).min()
        });
        once.chain(each).fold(0, u64::saturating_add)
    }
}

/// The thing that serves most needs first.
fn greedy(needs: &[Need], there: &BTreeSet<usize>) -> BTreeSet<usize> {
    let mut new = BTreeSet::new();
    loop {
        let has = |thing: &usize| there.contains(thing) || new.contains(thing);
        let is_unmet = |need: &&Need| !need.served_by.keys().any(has);
        let mut serves: BTreeMap<usize, usize> = BTreeMap::new();
        for need in needs.iter().filter(is_unmet) {
            for thing in need.served_by.keys() {
                *serves.entry(*thing).or_default() += 1;
            }
        }
        // `max_by_key` takes the last of equals, so the best is looked at last.
        let Some((best, _)) = serves.into_iter().rev().max_by_key(|(_, needs)| *needs) else {
            return new;
        };
        new.insert(best);
    }
}

#[cfg(test)]
mod tests;
