//! The fewest TensorFlow releases that serve every host that can be served at all.

use std::collections::BTreeSet;

use super::Consideration;
use crate::version::TensorflowVersion;

/// How many releases are tried together exhaustively; beyond that, the one that serves most kinds of host goes first.
/// No real fleet has needed more than three: a release constraint stays within one TensorFlow major version.
const EXACT_UP_TO: usize = 4;

/// The fewest releases such that each list has an accepted one among them; of equally many, the newest.
pub(super) fn fewest(fleet: &[Vec<Consideration>]) -> Vec<TensorflowVersion> {
    let needs: Vec<BTreeSet<&TensorflowVersion>> = fleet
        .iter()
        .map(|considered| accepted(considered))
        .filter(|set| !set.is_empty())
        .collect();
    let all: BTreeSet<&TensorflowVersion> = needs.iter().flatten().copied().collect();
    let newest_first: Vec<&TensorflowVersion> = all.into_iter().rev().collect();
    (0..=EXACT_UP_TO)
        .find_map(|size| exact(&needs, &newest_first, size, &mut Vec::new()))
        .unwrap_or_else(|| greedy(needs, &newest_first))
        .into_iter()
        .cloned()
        .collect()
}

fn accepted(considered: &[Consideration]) -> BTreeSet<&TensorflowVersion> {
    considered
        .iter()
        .filter_map(|consideration| match consideration {
            Consideration::Recipe {
                tensorflow,
                verdict,
                ..
            } if verdict.compatibility().is_some() => Some(tensorflow),
            _ => None,
        })
        .collect()
}

/// The first set of `size` releases that covers every need, trying newer releases first.
fn exact<'a>(
    needs: &[BTreeSet<&TensorflowVersion>],
    left: &[&'a TensorflowVersion],
    size: usize,
    picked: &mut Vec<&'a TensorflowVersion>,
) -> Option<Vec<&'a TensorflowVersion>> {
    if size == 0 {
        let covered = needs
            .iter()
            .all(|need| picked.iter().any(|version| need.contains(version)));
        return covered.then(|| picked.clone());
    }
    for (index, version) in left.iter().enumerate() {
        picked.push(version);
        let found = exact(needs, &left[index + 1..], size - 1, picked);
        picked.pop();
        if found.is_some() {
            return found;
        }
    }
    None
}

fn greedy<'a>(
    mut needs: Vec<BTreeSet<&TensorflowVersion>>,
    newest_first: &[&'a TensorflowVersion],
) -> Vec<&'a TensorflowVersion> {
    let mut picked = Vec::new();
    while !needs.is_empty() {
        let serves = |version: &&TensorflowVersion| {
            needs.iter().filter(|need| need.contains(version)).count()
        };
        // `max_by_key` takes the last of equals, so the newest is looked at last.
        let Some(best) = newest_first.iter().rev().copied().max_by_key(serves) else {
            break;
        };
        needs.retain(|need| !need.contains(best));
        picked.push(best);
    }
    picked
}
