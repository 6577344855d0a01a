//! Driver upgrades that would serve more hosts, or after which a variant is no longer needed.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use super::Question;
use super::candidates::Candidates;
use super::choice::Choice;
use super::class::Classes;
use super::remedy::{self, Cure, LeftOut};
use crate::host::HostName;
use crate::recipe::{Recipe, RecipeId};
use crate::verdict::{KnownHost, Verdict};
use crate::version::DriverVersion;

/// One driver upgrade and what it would change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upgrade {
    /// The hosts to upgrade, sorted.
    pub hosts: Vec<HostName>,
    /// The drivers that they have, oldest first; empty: none.
    pub from: Vec<DriverVersion>,
    /// The oldest driver that will do.
    pub to: DriverVersion,
    /// The newest driver branch that still drives the GPUs of all these hosts; none: every newer one does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_branch: Option<u32>,
    /// What changes then.
    pub effect: Effect,
    /// The variant that the hosts get then, or that no host needs any more.
    pub variant: RecipeId,
}

/// What an upgrade changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Effect {
    /// Hosts that get nothing today are served by the variant.
    Serves,
    /// The variant disappears, since others of the plan serve its hosts with a TensorFlow as new.
    Saves,
}

/// "≥ 450.80.02 (R580 at most)": the drivers that will do.
pub fn drivers_that_do(oldest: impl fmt::Display, last_branch: Option<u32>) -> String {
    match last_branch {
        Some(last) => format!("≥ {oldest} (R{last} at most)"),
        None => format!("≥ {oldest}"),
    }
}

/// The upgrades that a plan's outcome suggests, those for most hosts first.
pub(super) fn upgrades(
    question: &Question<'_>,
    candidates: &Candidates,
    classes: &Classes<'_>,
    known: &[KnownHost<'_>],
    outcomes: &[Result<Choice, LeftOut>],
) -> Vec<Upgrade> {
    let last = |group: &usize, driver: &DriverVersion| {
        known[classes.groups[*group].class].last_branch(driver)
    };
    let mut found: BTreeMap<(Effect, DriverVersion, Option<u32>, RecipeId), BTreeSet<usize>> =
        BTreeMap::new();
    for (group, outcome) in outcomes.iter().enumerate() {
        if let Err(LeftOut {
            upgrade: Some((driver, recipe)),
            ..
        }) = outcome
        {
            // Hosts that must stop at different branches are told apart.
            let key = (
                Effect::Serves,
                driver.clone(),
                last(&group, driver),
                recipe.clone(),
            );
            found.entry(key).or_default().insert(group);
        }
    }
    let variants = by_variant(outcomes);
    for (recipe, groups) in &variants {
        let others = others(candidates, variants.keys().copied(), recipe);
        let hosts = groups
            .iter()
            .map(|group| &known[classes.groups[*group].class]);
        if let Some(driver) = saving(question, &others, hosts) {
            let last = groups.iter().filter_map(|group| last(group, &driver)).min();
            found.insert(
                (Effect::Saves, driver, last, (*recipe).clone()),
                groups.clone(),
            );
        }
    }
    let mut upgrades: Vec<Upgrade> = found
        .into_iter()
        .map(|((effect, to, last_branch, variant), groups)| {
            let drivers = groups.iter().filter_map(|group| {
                let example = classes.examples[classes.groups[*group].class];
                example.driver_version.clone()
            });
            Upgrade {
                from: drivers.collect::<BTreeSet<_>>().into_iter().collect(),
                hosts: classes
                    .hosts
                    .iter()
                    .filter(|(_, group)| groups.contains(group))
                    .map(|(name, _)| (*name).clone())
                    .collect(),
                to,
                last_branch,
                effect,
                variant,
            }
        })
        .collect();
    // Stable: of equally many hosts, serving comes before saving, and the smaller upgrade first.
    upgrades.sort_by_key(|upgrade| std::cmp::Reverse(upgrade.hosts.len()));
    upgrades
}

fn by_variant(outcomes: &[Result<Choice, LeftOut>]) -> BTreeMap<&RecipeId, BTreeSet<usize>> {
    let mut variants: BTreeMap<&RecipeId, BTreeSet<usize>> = BTreeMap::new();
    for (group, outcome) in outcomes.iter().enumerate() {
        if let Ok(choice) = outcome {
            variants.entry(&choice.recipe).or_default().insert(group);
        }
    }
    variants
}

/// The other variants of the plan with CUDA and a TensorFlow as new.
fn others<'a>(
    candidates: &'a Candidates,
    variants: impl Iterator<Item = &'a RecipeId>,
    recipe: &RecipeId,
) -> Vec<&'a Recipe> {
    let Some(recipe) = candidates
        .recipe(recipe)
        .filter(|recipe| recipe.cuda.is_some())
    else {
        return Vec::new();
    };
    variants
        .filter_map(|id| candidates.recipe(id))
        .filter(|other| {
            other.id != recipe.id
                && other.cuda.is_some()
                && other.architecture == recipe.architecture
                && other.tensorflow >= recipe.tensorflow
        })
        .collect()
}

/// The oldest driver with which each of the hosts would be served by one of the recipes, if none is already.
fn saving<'a, 'h: 'a>(
    question: &Question<'_>,
    recipes: &[&Recipe],
    hosts: impl Iterator<Item = &'a KnownHost<'h>> + Clone,
) -> Option<DriverVersion> {
    let each = hosts.clone().map(|host| {
        let needed = |recipe: &&Recipe| match question.check(host, recipe) {
            Verdict::Refused { refusal, .. } => {
                match remedy::cure(question, host, recipe, &refusal) {
                    Cure::Upgrade { driver, .. } => Some(driver),
                    Cure::None(_) => None,
                }
            }
            Verdict::Accepted { .. } => None,
        };
        recipes.iter().filter_map(needed).min()
    });
    let driver = each.collect::<Option<Vec<_>>>()?.into_iter().max()?;
    // The newest of what each needs must still drive the GPUs of all.
    let mut hosts = hosts;
    let all = hosts.all(|host| {
        let mut upgraded = host.facts.clone();
        recipes.iter().any(|recipe| {
            let verdict = remedy::with_driver(question, host, &mut upgraded, recipe, &driver);
            verdict.compatibility().is_some()
        })
    });
    all.then_some(driver)
}

impl fmt::Display for Upgrade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hosts = match self.hosts.as_slice() {
            [one] => one.to_string(),
            hosts => format!("{} hosts", hosts.len()),
        };
        let to = drivers_that_do(&self.to, self.last_branch);
        match self.from.as_slice() {
            [] => write!(f, "install a driver {to} on {hosts}")?,
            [one] => write!(f, "upgrade {hosts} from {one} to {to}")?,
            [oldest, .., newest] => {
                write!(f, "upgrade {hosts} from {oldest}…{newest} to {to}")?;
            }
        }
        match self.effect {
            Effect::Serves => write!(
                f,
                " and {} serves {}",
                self.variant,
                if self.hosts.len() == 1 { "it" } else { "them" }
            ),
            Effect::Saves => write!(f, " and the variant {} disappears", self.variant),
        }
    }
}
