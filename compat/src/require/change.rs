//! What changed between two requirements of one tag, in words.
//!
//! A tag is not fixed: NVIDIA re-published many in 2023 with fewer driver branches, and hosts that had run them were
//! refused (<https://github.com/NVIDIA/nvidia-container-toolkit/issues/152>).

use std::collections::{BTreeMap, BTreeSet};

use super::{Alternative, Comparator, Condition, Property, Requirement};
use crate::version::CudaVersion;

/// What a requirement that is found now says otherwise than the one that was pinned, one sentence's part each, such as
/// `no longer lists driver 470 for tesla`. Empty if they mean the same.
#[must_use]
pub fn changes(pinned: &Requirement, found: &Requirement) -> Vec<String> {
    let (before, after) = (Parts::of(pinned), Parts::of(found));
    let mut changes = Vec::new();
    match (before.cuda, after.cuda) {
        (Some(old), Some(new)) if old != new => {
            changes.push(format!("asks for CUDA ≥ {new} instead of {old}"));
        }
        (Some(old), None) => changes.push(format!("no longer accepts CUDA ≥ {old} alone")),
        (None, Some(new)) => changes.push(format!("now accepts CUDA ≥ {new}")),
        _ => {}
    }
    let gone = difference(&before.branches, &after.branches);
    let new = difference(&after.branches, &before.branches);
    changes.extend(
        gone.into_iter().map(|(branch, brands)| {
            format!("no longer lists driver {branch} for {}", join(&brands))
        }),
    );
    changes.extend(
        new.into_iter()
            .map(|(branch, brands)| format!("now lists driver {branch} for {}", join(&brands))),
    );
    let others = |from: &Parts, without: &Parts, words: &str| -> Vec<String> {
        from.others
            .difference(&without.others)
            .map(|alternative| format!("{words} {alternative:?}"))
            .collect()
    };
    changes.extend(others(&before, &after, "no longer accepts"));
    changes.extend(others(&after, &before, "now accepts"));
    changes
}

/// The alternatives by kind.
#[derive(Default)]
struct Parts {
    cuda: Option<CudaVersion>,
    /// Driver branch → brands that it is listed for.
    branches: BTreeMap<u32, BTreeSet<String>>,
    others: BTreeSet<String>,
}

impl Parts {
    fn of(requirement: &Requirement) -> Self {
        let mut parts = Self {
            cuda: requirement.cuda(),
            ..Self::default()
        };
        for alternative in requirement.alternatives() {
            if is_cuda(alternative, parts.cuda) {
                continue;
            }
            match listed(alternative) {
                Some((branch, brand)) => {
                    parts.branches.entry(branch).or_default().insert(brand);
                }
                None => {
                    parts.others.insert(alternative.as_str().to_owned());
                }
            }
        }
        parts
    }
}

fn is_cuda(alternative: &Alternative, level: Option<CudaVersion>) -> bool {
    let mut conditions = alternative.conditions();
    let first = conditions.next();
    conditions.next().is_none()
        && first.is_some_and(|first| {
            first.property() == Property::Cuda
                && first.comparator() == Comparator::GreaterOrEqual
                && first.value().parse().ok() == level
        })
}

/// `brand=tesla,driver>=470,driver<471`, as NVIDIA's images write it.
fn listed(alternative: &Alternative) -> Option<(u32, String)> {
    let conditions: Vec<&Condition> = alternative.conditions().collect();
    let [brand, from, below] = conditions.as_slice() else {
        return None;
    };
    let is = |condition: &Condition, property, comparator| {
        condition.property() == property && condition.comparator() == comparator
    };
    let shape = is(brand, Property::Brand, Comparator::Equal)
        && is(from, Property::Driver, Comparator::GreaterOrEqual)
        && is(below, Property::Driver, Comparator::Less);
    let branch: u32 = from.value().parse().ok()?;
    let next: u32 = below.value().parse().ok()?;
    (shape && branch.checked_add(1) == Some(next))
        .then(|| (branch, brand.value().to_ascii_lowercase()))
}

fn difference(
    from: &BTreeMap<u32, BTreeSet<String>>,
    without: &BTreeMap<u32, BTreeSet<String>>,
) -> BTreeMap<u32, BTreeSet<String>> {
    let none = BTreeSet::new();
    from.iter()
        .map(|(branch, brands)| {
            let kept = without.get(branch).unwrap_or(&none);
            (*branch, brands.difference(kept).cloned().collect())
        })
        .filter(|(_, brands): &(u32, BTreeSet<String>)| !brands.is_empty())
        .collect()
}

fn join(brands: &BTreeSet<String>) -> String {
    let brands: Vec<&str> = brands.iter().map(String::as_str).collect();
    match brands.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        _ => brands.concat(),
    }
}
