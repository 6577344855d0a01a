//! Choosing one recipe for every kind of host, and saying why.
//!
//! In order: what runs today stays; the GPUs of the host that are served; the policy's preference; as few variants as can
//! be; the fewest bytes to move.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::candidates::Candidates;
use super::consideration::{Accepted, Consideration};
use super::cover::{self, Need};
use super::{Question, class::Group};
use crate::policy::Preference;
use crate::recipe::RecipeId;
use crate::verdict::{Compatibility, GpuLeftOut};
use crate::version::TensorflowVersion;

/// The recipe for a group of hosts.
#[derive(Debug, Clone)]
pub(super) struct Choice {
    pub recipe: RecipeId,
    pub compatibility: Compatibility,
    pub reason: Arc<str>,
    pub left_out_gpus: Vec<GpuLeftOut>,
}

/// One choice for each group, none where nothing serves it; and whether no better answer exists.
pub(super) fn choose(
    question: &Question<'_>,
    candidates: &Candidates,
    groups: &[Group<'_>],
    considered: &[Vec<Consideration>],
) -> (Vec<Option<Choice>>, bool) {
    let mut exact = true;
    let accepted: Vec<Vec<Accepted<'_>>> = considered
        .iter()
        .map(|considered| {
            considered
                .iter()
                .filter_map(Consideration::accepted)
                .collect()
        })
        .collect();
    let kept: Vec<Option<Accepted<'_>>> = groups
        .iter()
        .map(|group| {
            let mut accepted = accepted[group.class].iter();
            accepted
                .find(|one| Some(one.recipe) == group.today)
                .copied()
        })
        .collect();
    let best: Vec<Vec<Accepted<'_>>> = accepted.iter().map(|all| fullest(all)).collect();
    let open = || groups.iter().zip(&kept).filter(|(_, kept)| kept.is_none());

    let uniform = matches!(question.policy.preference, Preference::Uniform).then(|| {
        let there = kept.iter().flatten().map(|kept| kept.tensorflow).collect();
        let (versions, is_exact) =
            fewest_releases(open().map(|(group, _)| &best[group.class]), there);
        exact &= is_exact;
        versions
    });
    let options: Vec<Vec<Accepted<'_>>> = best
        .iter()
        .map(|best| preferred(best, &question.policy.preference, uniform.as_ref()))
        .collect();

    let place = |accepted: &Accepted<'_>| candidates.place(accepted.recipe).unwrap_or(usize::MAX);
    let bytes = |accepted: &Accepted<'_>| {
        let has_cuda = accepted.compatibility != Compatibility::Cpu;
        question.stock.bytes(accepted.recipe, has_cuda)
    };
    let cost = |group: &Group<'_>, option: &Accepted<'_>| {
        bytes(option).saturating_mul(group.lacking(option.recipe))
    };
    let needs = open().map(|(group, _)| Need {
        served_by: options[group.class]
            .iter()
            .map(|option| (place(option), cost(group, option)))
            .collect(),
    });
    let all: Vec<&Accepted<'_>> = options.iter().flatten().collect();
    let there: BTreeSet<usize> = kept.iter().flatten().map(place).collect();
    let cover = cover::fewest(needs, &there, |thing| {
        let option = all.iter().find(|option| place(option) == thing);
        option
            .filter(|option| !question.stock.built.contains_key(option.recipe))
            .map_or(0, |option| bytes(option))
    });
    exact &= cover.exact;

    let choices = groups
        .iter()
        .zip(&kept)
        .map(|(group, kept)| {
            let afresh = options[group.class]
                .iter()
                .filter(|option| cover.picked.contains(&place(option)))
                .min_by_key(|option| (cost(group, option), place(option)))
                .or_else(|| options[group.class].first())?;
            let explained = Explained {
                considered: &considered[group.class],
                preference: &question.policy.preference,
                afresh,
            };
            Some(match kept {
                Some(kept) => explained.kept(kept),
                None => explained.afresh(),
            })
        })
        .collect();
    (choices, exact)
}

/// Those that serve most of the host's GPUs.
fn fullest<'a>(accepted: &[Accepted<'a>]) -> Vec<Accepted<'a>> {
    let fewest = accepted.iter().map(|one| one.left_out.len()).min();
    let is_fullest = |one: &&Accepted<'_>| Some(one.left_out.len()) == fewest;
    accepted.iter().filter(is_fullest).copied().collect()
}

/// The fewest TensorFlow releases of which each list has one; of equally few, the newest.
fn fewest_releases<'a: 'b, 'b>(
    lists: impl Iterator<Item = &'b Vec<Accepted<'a>>> + Clone,
    there: BTreeSet<&TensorflowVersion>,
) -> (BTreeSet<TensorflowVersion>, bool) {
    let mut versions: BTreeSet<&TensorflowVersion> =
        lists.clone().flatten().map(|one| one.tensorflow).collect();
    versions.extend(&there);
    let newest_first: Vec<&TensorflowVersion> = versions.into_iter().rev().collect();
    let number =
        |version: &TensorflowVersion| newest_first.iter().position(|other| *other == version);
    let needs = lists.map(|list| {
        let things: BTreeSet<usize> = list
            .iter()
            .filter_map(|one| number(one.tensorflow))
            .collect();
        Need {
            served_by: things.into_iter().map(|thing| (thing, 0)).collect(),
        }
    });
    let there = there.into_iter().filter_map(number).collect();
    let cover = cover::fewest(needs, &there, |_| 0);
    let picked = cover
        .picked
        .iter()
        .map(|number| newest_first[*number].clone());
    (picked.collect(), cover.exact)
}

/// Those of the preferred TensorFlow; of several such, the newest.
fn preferred<'a>(
    best: &[Accepted<'a>],
    preference: &Preference,
    uniform: Option<&BTreeSet<TensorflowVersion>>,
) -> Vec<Accepted<'a>> {
    let is_preferred = |one: &&Accepted<'_>| match (preference, uniform) {
        (Preference::Pinned(_), _) => preference.is_for(one.tensorflow),
        (_, Some(versions)) => versions.contains(one.tensorflow),
        (_, None) => true,
    };
    let newest = best
        .iter()
        .filter(is_preferred)
        .map(|one| one.tensorflow)
        .max()
        .or_else(|| best.iter().map(|one| one.tensorflow).max());
    let is_newest = |one: &&Accepted<'_>| Some(one.tensorflow) == newest;
    best.iter().filter(is_newest).copied().collect()
}

/// A choice in words.
struct Explained<'a> {
    considered: &'a [Consideration],
    preference: &'a Preference,
    /// What the group would get if nothing ran yet.
    afresh: &'a Accepted<'a>,
}

impl Explained<'_> {
    fn kept(&self, kept: &Accepted<'_>) -> Choice {
        if kept.recipe == self.afresh.recipe {
            return self.afresh();
        }
        let why = format!(
            "the revision before has it for this host, and it still serves; planned afresh the host would get {} \
             (--rebalance moves it)",
            self.afresh.recipe
        );
        of(kept, std::iter::once(why).chain(kept.facts()))
    }

    fn afresh(&self) -> Choice {
        let afresh = self.afresh;
        let mut accepted = self.considered.iter().filter_map(Consideration::accepted);
        let newest = accepted
            .next()
            .filter(|newest| newest.tensorflow != afresh.tensorflow);
        let why_not = match newest {
            Some(newest) => Some(format!(
                "TensorFlow {} would run too, but {}",
                newest.tensorflow,
                self.why_not_the_newest(&newest)
            )),
            None => self.passed_over(),
        };
        of(afresh, afresh.facts().chain(why_not))
    }

    fn why_not_the_newest(&self, newest: &Accepted<'_>) -> String {
        match self.preference {
            _ if newest.left_out.len() > self.afresh.left_out.len() => {
                "not on all of the host's GPUs".to_owned()
            }
            Preference::Pinned(version) => format!("the policy prefers {version}"),
            Preference::Newest | Preference::Uniform => {
                "the policy wants as few as can serve the fleet".to_owned()
            }
        }
    }

    /// Why the newest TensorFlow before the chosen one was not taken.
    fn passed_over(&self) -> Option<String> {
        let first = self.considered.first()?;
        match first {
            Consideration::Recipe { recipe, .. } if recipe == self.afresh.recipe => None,
            Consideration::Recipe { tensorflow, .. } => first.refusal().map(|refusal| {
                let what = match self.afresh.compatibility {
                    _ if tensorflow != self.afresh.tensorflow => {
                        format!("not TensorFlow {tensorflow}")
                    }
                    Compatibility::Forward => "the package is needed".to_owned(),
                    _ => "not on the GPUs".to_owned(),
                };
                format!("{what}: {}", refusal.reason)
            }),
            Consideration::Gap { gap, .. } => Some(gap.to_string()),
        }
    }
}

fn of(accepted: &Accepted<'_>, reasons: impl Iterator<Item = String>) -> Choice {
    Choice {
        recipe: accepted.recipe.clone(),
        compatibility: accepted.compatibility,
        reason: reasons.collect::<Vec<_>>().join("; ").into(),
        left_out_gpus: accepted.left_out.to_vec(),
    }
}
