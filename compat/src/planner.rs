//! From (catalog, release, inventories, policy, running plan) to a plan: which variants to build, which host gets
//! which, and for every host left out why and what to do.
//!
//! Objective, in order: as many hosts served as possible; what runs today stays, unless the policy rebalances; the
//! release's preference; as few variants as possible. Hosts that differ only in name are judged once, so the work grows
//! with the number of kinds of host and not with the fleet.

mod candidates;
mod choice;
mod class;
mod cover;
mod remedy;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::catalog::Catalog;
use crate::host::{HostFacts, HostName};
use crate::recipe::{Recipe, RecipeGap, RecipeId};
use crate::release::{Preference, ReleaseSpec};
use crate::verdict::{Compatibility, Verdict};
use crate::version::TensorflowVersion;

use candidates::Candidates;
use choice::Choice;
use class::Classes;
use remedy::LeftOut;

/// What operators decide beside the release.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Policy {
    /// A host whose GPUs cannot be served gets a CPU variant. Otherwise it is left out, since nobody likes to find out
    /// from the bill that the GPUs were idle.
    pub cpu_fallback: bool,
    /// Hosts move to a better variant although the one they run still serves them.
    pub rebalance: bool,
}

/// Which host gets which variant. Hosts are sorted by name, variants by TensorFlow, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// The release's name.
    pub release: String,
    /// What must be built.
    pub variants: Vec<Variant>,
    /// Who gets what.
    pub assignments: Vec<Assignment>,
    /// Who gets nothing.
    pub unplaced: Vec<Unplaced>,
}

/// One recipe of the release, with the hosts that get it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Variant {
    /// The recipe; its fields stand beside `hosts` in JSON.
    #[serde(flatten)]
    pub recipe: Recipe,
    /// The hosts, sorted.
    pub hosts: Vec<HostName>,
}

/// One host's variant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assignment {
    /// The host.
    pub host: HostName,
    /// The variant's recipe.
    pub variant: RecipeId,
    /// How it runs there.
    pub compatibility: Compatibility,
    /// Why this one, and why none that was preferred.
    pub reason: String,
}

/// A host that gets nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unplaced {
    /// The host.
    pub host: HostName,
    /// Why.
    pub reason: String,
    /// What to do, the cheapest cure first.
    pub remedy: String,
}

/// A request that no plan can be made for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// The constraint allows nothing that the catalog knows.
    #[error(
        "release {release}: the catalog knows no TensorFlow that {constraint} allows (it knows {oldest} to {newest})"
    )]
    NothingAllowed {
        /// The release.
        release: String,
        /// Its constraint.
        constraint: String,
        /// The oldest TensorFlow known.
        oldest: String,
        /// The newest.
        newest: String,
    },
    /// The constraint allows several TensorFlow major versions, and the release does not say that it may.
    #[error(
        "release {release}: {constraint} allows TensorFlow {low}.x and {high}.x; programs do not carry over between \
         majors: narrow the constraint to one of them"
    )]
    SpansMajors {
        /// The release.
        release: String,
        /// Its constraint.
        constraint: String,
        /// The lowest major version allowed.
        low: u32,
        /// The highest.
        high: u32,
    },
    /// Two hosts have one name.
    #[error("host {0} is listed twice")]
    DuplicateHost(HostName),
}

/// One TensorFlow release considered for one host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "considered", rename_all = "kebab-case")]
pub enum Consideration {
    /// There is a recipe, and the rules judged it.
    Recipe {
        /// The recipe.
        recipe: RecipeId,
        /// Its TensorFlow.
        tensorflow: TensorflowVersion,
        /// What the rules say.
        verdict: Verdict,
    },
    /// There is no recipe.
    Gap {
        /// The TensorFlow release.
        tensorflow: TensorflowVersion,
        /// Why.
        gap: RecipeGap,
    },
}

/// Plans a release for a fleet.
///
/// # Errors
/// If the release's constraint allows nothing or too much, or a host is listed twice. A host that cannot be served is
/// no error: it is in [`Plan::unplaced`].
pub fn plan(
    catalog: &Catalog,
    release: &ReleaseSpec,
    hosts: &[HostFacts],
    policy: &Policy,
    running: Option<&Plan>,
) -> Result<Plan, PlanError> {
    let candidates = Candidates::new(catalog, release)?;
    let classes = Classes::of(hosts)?;
    let considered: Vec<Vec<Consideration>> = classes
        .examples
        .iter()
        .map(|host| candidates.consider(catalog, host, policy))
        .collect();
    let preferred = match release.preference {
        Preference::Newest => None,
        Preference::Uniform => Some(cover::fewest(&considered)),
    };
    let today: BTreeMap<&HostName, &RecipeId> = running
        .filter(|_| !policy.rebalance)
        .into_iter()
        .flat_map(|plan| {
            plan.assignments
                .iter()
                .map(|assignment| (&assignment.host, &assignment.variant))
        })
        .collect();

    let mut outcomes = BTreeMap::new();
    let mut chosen: BTreeMap<RecipeId, Vec<HostName>> = BTreeMap::new();
    let mut assignments = Vec::new();
    let mut unplaced = Vec::new();
    for (name, class) in classes.hosts {
        let today = today.get(name).copied();
        let outcome = outcomes.entry((class, today)).or_insert_with(|| {
            let (host, considered) = (classes.examples[class], &considered[class]);
            choice::choose(considered, preferred.as_deref(), today)
                .ok_or_else(|| remedy::left_out(catalog, &candidates, host, considered))
        });
        let host = name.clone();
        match outcome.clone() {
            Ok(Choice {
                recipe,
                compatibility,
                reason,
            }) => {
                chosen.entry(recipe.clone()).or_default().push(host.clone());
                assignments.push(Assignment {
                    host,
                    variant: recipe,
                    compatibility,
                    reason,
                });
            }
            Err(LeftOut { reason, remedy }) => unplaced.push(Unplaced {
                host,
                reason,
                remedy,
            }),
        }
    }
    let variants = candidates.variants(chosen);
    Ok(Plan {
        release: release.name.clone(),
        variants,
        assignments,
        unplaced,
    })
}

/// What planning considers for one host, in the order in which it would choose: every recipe with its verdict, every
/// TensorFlow release without a recipe with the gap.
///
/// # Errors
/// If the release's constraint allows nothing or too much.
pub fn explain(
    catalog: &Catalog,
    release: &ReleaseSpec,
    host: &HostFacts,
    policy: &Policy,
) -> Result<Vec<Consideration>, PlanError> {
    Ok(Candidates::new(catalog, release)?.consider(catalog, host, policy))
}

impl Consideration {
    /// Whether there is a recipe that the rules accept.
    #[must_use]
    pub fn is_accepted(&self) -> bool {
        matches!(
            self,
            Self::Recipe {
                verdict: Verdict::Accepted { .. },
                ..
            }
        )
    }
}

impl Plan {
    /// A host's assignment.
    #[must_use]
    pub fn assignment(&self, host: &HostName) -> Option<&Assignment> {
        let index = self
            .assignments
            .binary_search_by(|assignment| assignment.host.cmp(host))
            .ok()?;
        self.assignments.get(index)
    }

    /// A variant by its recipe.
    #[must_use]
    pub fn variant(&self, recipe: &RecipeId) -> Option<&Variant> {
        self.variants
            .iter()
            .find(|variant| variant.recipe.id == *recipe)
    }
}
