//! What a plan changes against the one that runs.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::plan::Plan;

/// Who has which variant: variant by host.
pub type Assigned<'a> = BTreeMap<&'a str, &'a str>;

/// The difference between two plans of one release.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct PlanDiff {
    /// Variants that only the new plan has.
    pub added: Vec<String>,
    /// Variants that only the old plan has.
    pub removed: Vec<String>,
    /// Hosts that get something else, those of most hosts first.
    pub moves: Vec<Move>,
}

/// Hosts that go from one variant to another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Move {
    /// What they have by the old plan; none: nothing, or they are not in it.
    pub from: Option<String>,
    /// What they get by the new one; none: nothing, or they are not in it.
    pub to: Option<String>,
    /// The hosts, sorted.
    pub hosts: Vec<String>,
}

impl PlanDiff {
    /// What `after` changes against `before`.
    #[must_use]
    pub fn between(before: &Assigned<'_>, after: &Assigned<'_>) -> Self {
        let old: BTreeSet<&str> = before.values().copied().collect();
        let new: BTreeSet<&str> = after.values().copied().collect();
        let hosts: BTreeSet<&str> = before.keys().chain(after.keys()).copied().collect();
        let mut moves: BTreeMap<(Option<&str>, Option<&str>), Vec<String>> = BTreeMap::new();
        for host in hosts {
            let (from, to) = (before.get(host).copied(), after.get(host).copied());
            if from != to {
                moves.entry((from, to)).or_default().push(host.to_owned());
            }
        }
        let mut moves: Vec<Move> = moves
            .into_iter()
            .map(|((from, to), hosts)| Move {
                from: from.map(str::to_owned),
                to: to.map(str::to_owned),
                hosts,
            })
            .collect();
        moves.sort_by_key(|one| std::cmp::Reverse(one.hosts.len()));
        let only = |these: &BTreeSet<&str>, those: &BTreeSet<&str>| {
            these.difference(those).map(|id| (*id).to_owned()).collect()
        };
        Self {
            added: only(&new, &old),
            removed: only(&old, &new),
            moves,
        }
    }

    /// Whether every host gets the same.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.moves.is_empty()
    }
}

impl Plan {
    /// Who gets which variant.
    #[must_use]
    pub fn assigned(&self) -> Assigned<'_> {
        let pairs = self.assignments.iter();
        pairs
            .map(|assignment| (assignment.host.as_str(), assignment.variant.as_str()))
            .collect()
    }
}
