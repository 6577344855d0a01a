//! A plan: what must be built, who gets what, who gets nothing and why.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::left_out::{LeftOutGroup, LeftOutHost, Serving};
use super::upgrade::{Effect, Upgrade};
use crate::host::HostName;
use crate::recipe::{Recipe, RecipeId};
use crate::verdict::{Compatibility, GpuLeftOut};

/// Which host gets which variant. Hosts are sorted by name, variants by TensorFlow, newest first. Its JSON form is public
/// and described by `schema/plan.v1.json`.
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
    /// Driver upgrades that would serve more hosts or save a variant, those for most hosts first.
    #[serde(default)]
    pub upgrades: Vec<Upgrade>,
    /// What whoever reads the plan should know, in sentences.
    #[serde(default)]
    pub notes: Vec<String>,
    /// Whether no other plan needs fewer variants for the same service and preference. Where looking for that would take too
    /// long, a good plan is given and this is false.
    #[serde(default = "yes")]
    pub exact: bool,
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
    /// Why this one, and why none that was preferred. Hosts of one kind share the text.
    pub reason: Arc<str>,
    /// The host's GPUs that the variant does not serve, on a policy that allows it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out_gpus: Vec<GpuLeftOut>,
}

/// A host that gets nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unplaced {
    /// The host.
    pub host: HostName,
    /// Why.
    pub reason: Arc<str>,
    /// What to do, the cheapest cure first.
    pub remedy: Arc<str>,
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

    /// The hosts left out, by reason, those of most hosts first.
    #[must_use]
    pub fn left_out(&self) -> Vec<LeftOutGroup> {
        let drivers: Vec<Vec<String>> = self
            .upgrades
            .iter()
            .map(|upgrade| upgrade.from.iter().map(ToString::to_string).collect())
            .collect();
        let targets: Vec<String> = self.upgrades.iter().map(|one| one.to.to_string()).collect();
        let serving: Vec<Serving<'_>> = self
            .upgrades
            .iter()
            .zip(drivers.iter().zip(&targets))
            .filter(|(upgrade, _)| upgrade.effect == Effect::Serves)
            .map(|(upgrade, (drivers, to))| Serving {
                hosts: upgrade.hosts.iter().map(HostName::as_str).collect(),
                from: drivers
                    .first()
                    .zip(drivers.last())
                    .map(|(a, b)| (a.as_str(), b.as_str())),
                to,
                last_branch: upgrade.last_branch,
                variant: upgrade.variant.as_str(),
            })
            .collect();
        let hosts = self.unplaced.iter().map(|left| LeftOutHost {
            host: left.host.as_str(),
            reason: &left.reason,
            remedy: &left.remedy,
        });
        LeftOutGroup::of(hosts, &serving)
    }
}

const fn yes() -> bool {
    true
}
