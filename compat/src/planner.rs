//! From (catalog, release, inventories, policy, running plan) to a plan: which variants to build, which host gets
//! which, and for every host left out why and what to do.
//!
//! Objective, in order: as many hosts served as possible; what runs today stays, unless the policy rebalances; the
//! policy's preference; as few variants as possible; the fewest bytes to move. Hosts that the rules cannot tell apart are
//! judged once, so the work grows with the number of kinds of host and not with the fleet.

mod candidates;
mod choice;
mod chosen;
mod class;
mod consideration;
mod cover;
mod diff;
mod left_out;
mod plan;
mod remedy;
mod upgrade;

use crate::catalog::Catalog;
use crate::gate::ImageGate;
use crate::host::{HostFacts, HostName};
use crate::policy::Policy;
use crate::recipe::Recipe;
use crate::release::ReleaseSpec;
use crate::stock::Stock;
use crate::verdict::{KnownHost, Verdict};

use candidates::Candidates;
use choice::Choice;
use chosen::Chosen;
use class::Classes;
use remedy::{LeftOut, PackagesInstead};

pub use consideration::Consideration;
pub use diff::{Assigned, Move, PlanDiff};
pub use left_out::{LeftOutGroup, LeftOutHost, Serving};
pub use plan::{Assignment, Plan, Unplaced, Variant};
pub use upgrade::{Effect, Upgrade, drivers_that_do};

/// What is planned, from what, and on whose terms.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// The facts.
    pub catalog: &'a Catalog,
    /// What is asked for.
    pub release: &'a ReleaseSpec,
    /// What operators decide.
    pub policy: &'a Policy,
    /// What is there already.
    pub stock: &'a Stock,
    /// What the images' base requires of a host by itself; none: nothing that is known.
    pub gate: Option<&'a ImageGate>,
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
         majors: narrow the constraint to one of them, or let the release span them (--span-majors)"
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

impl Question<'_> {
    /// Plans for a fleet. What `running` gives a host stays its own while it serves it, unless the policy rebalances.
    ///
    /// # Errors
    /// If the release's constraint allows nothing or too much, or a host is listed twice. A host that cannot be served is
    /// no error: it is in [`Plan::unplaced`].
    pub fn plan(&self, hosts: &[HostFacts], running: Option<&Plan>) -> Result<Plan, PlanError> {
        let candidates = Candidates::new(self)?;
        let running = running.filter(|_| !self.policy.rebalance);
        let classes = Classes::of(hosts, running, self.stock)?;
        let known = KnownHost::all(self.catalog, &classes.examples);
        let considered: Vec<Vec<Consideration>> = known
            .iter()
            .map(|host| candidates.consider(self, host))
            .collect();
        let (choices, exact) = choice::choose(self, &candidates, &classes.groups, &considered);
        let instead = PackagesInstead::of(self.policy);
        let outcomes: Vec<Result<Choice, LeftOut>> = choices
            .into_iter()
            .zip(&classes.groups)
            .map(|(choice, group)| {
                choice.ok_or_else(|| {
                    let (host, considered) = (&known[group.class], &considered[group.class]);
                    remedy::left_out(self, &candidates, &instead, host, considered)
                })
            })
            .collect();
        let upgrades = upgrade::upgrades(self, &candidates, &classes, &known, &outcomes);
        let notes = self.notes(&candidates, &classes, exact);

        let mut variants = Chosen::of(&outcomes);
        let mut assignments = Vec::with_capacity(classes.hosts.len());
        let mut unplaced = Vec::new();
        for (name, group) in &classes.hosts {
            let host = (*name).clone();
            match &outcomes[*group] {
                Ok(choice) => {
                    variants.add(*group, host.clone());
                    assignments.push(Assignment {
                        host,
                        variant: choice.recipe.clone(),
                        compatibility: choice.compatibility,
                        reason: choice.reason.clone(),
                        left_out_gpus: choice.left_out_gpus.clone(),
                    });
                }
                Err(left) => unplaced.push(Unplaced {
                    host,
                    reason: left.reason.clone(),
                    remedy: left.remedy.clone(),
                }),
            }
        }
        Ok(Plan {
            release: self.release.name.clone(),
            variants: candidates.variants(variants.hosts()),
            assignments,
            unplaced,
            upgrades,
            notes,
            exact,
        })
    }

    /// What planning considers for one host, in the order in which it would choose: every recipe with its verdict, every
    /// TensorFlow release without a recipe with the gap.
    ///
    /// # Errors
    /// If the release's constraint allows nothing or too much.
    pub fn explain(&self, host: &HostFacts) -> Result<Vec<Consideration>, PlanError> {
        let known = KnownHost::new(self.catalog, host);
        Ok(Candidates::new(self)?.consider(self, &known))
    }

    fn check(&self, host: &KnownHost<'_>, recipe: &Recipe) -> Verdict {
        host.check(self.catalog, recipe, self.policy.terms(), self.gate)
    }

    fn notes(&self, candidates: &Candidates, classes: &Classes<'_>, exact: bool) -> Vec<String> {
        let newer: u64 = classes
            .groups
            .iter()
            .filter(|group| {
                let driver = classes.examples[group.class].driver_version.as_ref();
                driver.is_some_and(|driver| self.catalog.is_newer_than_known(driver))
            })
            .map(|group| group.hosts)
            .sum();
        let newer = (newer > 0).then(|| {
            let hosts = if newer == 1 { "1 host has" } else { &format!("{newer} hosts have") };
            format!(
                "{hosts} a driver newer than the catalog knows; it counts as the newest branch known until the catalog says \
                 more"
            )
        });
        let inexact = (!exact).then(|| {
            "this fleet is too varied to look at every combination of variants: a plan with fewer may exist".to_owned()
        });
        let preference = &self.policy.preference;
        let unmet = (!candidates.have_preferred(preference)).then(|| {
            format!("the policy prefers TensorFlow {preference}, and the release allows none such")
        });
        newer.into_iter().chain(unmet).chain(inexact).collect()
    }
}
