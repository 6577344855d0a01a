//! Why a host gets nothing, and what to do about it.

use std::cell::OnceCell;
use std::sync::Arc;

use super::Question;
use super::candidates::Candidates;
use super::consideration::Consideration;
use crate::host::{DriverHealth, HostFacts};
use crate::policy::Policy;
use crate::recipe::{Recipe, RecipeId};
use crate::rules::Refusal;
use crate::verdict::{KnownHost, Verdict};
use crate::version::{DriverVersion, TensorflowVersion};

/// A host that gets nothing.
#[derive(Debug, Clone)]
pub(super) struct LeftOut {
    pub reason: Arc<str>,
    pub remedy: Arc<str>,
    /// The driver that cures it, and what the host then gets.
    pub upgrade: Option<(DriverVersion, RecipeId)>,
}

/// Why a host gets nothing, and the cheapest cure: the smallest driver upgrade after which some recipe is accepted, as
/// the rules themselves say; where no driver helps, what the newest recipe's refusal advises.
pub(super) fn left_out(
    question: &Question<'_>,
    candidates: &Candidates,
    instead: &PackagesInstead,
    host: &KnownHost<'_>,
    considered: &[Consideration],
) -> LeftOut {
    let refused: Vec<(&RecipeId, &TensorflowVersion, &Refusal)> = considered
        .iter()
        .filter_map(|consideration| match consideration {
            Consideration::Recipe {
                recipe,
                tensorflow,
                verdict,
            } => verdict
                .refusal()
                .map(|refusal| (recipe, tensorflow, refusal)),
            Consideration::Gap { .. } => None,
        })
        .collect();
    let cures: Vec<_> = refused
        .iter()
        .map(|(id, tensorflow, refusal)| {
            let cure = match candidates.recipe(id) {
                Some(recipe) => cure(question, host, recipe, refusal),
                None => Cure::None((*refusal).clone()),
            };
            (cure, *id, *tensorflow, *refusal)
        })
        .collect();
    let upgrades = cures
        .iter()
        .filter_map(|(cure, id, tensorflow, refusal)| match cure {
            Cure::Upgrade { driver, remedy } => Some((driver, remedy, *id, *tensorflow, refusal)),
            Cure::None(_) => None,
        });
    // The first of equals is the newest TensorFlow.
    let cheapest = upgrades.min_by_key(|(driver, ..)| *driver);
    match (cheapest, cures.first()) {
        (Some((driver, remedy, id, tensorflow, refusal)), _) => {
            let package = instead.package(question, host).map(|package| {
                format!(", or allow {package} in the image (forward_compatibility)")
            });
            LeftOut {
                reason: refusal.reason.as_str().into(),
                remedy: format!(
                    "{remedy}; TensorFlow {tensorflow} then runs{}",
                    package.unwrap_or_default()
                )
                .into(),
                upgrade: Some((driver.clone(), id.clone())),
            }
        }
        (None, Some((Cure::None(refusal), ..))) => LeftOut {
            reason: refusal.reason.as_str().into(),
            remedy: refusal.remedy.as_str().into(),
            upgrade: None,
        },
        _ => no_recipe(host.facts, considered),
    }
}

fn no_recipe(host: &HostFacts, considered: &[Consideration]) -> LeftOut {
    let gap = considered
        .iter()
        .find_map(|consideration| match consideration {
            Consideration::Gap { gap, .. } => Some(gap),
            Consideration::Recipe { .. } => None,
        });
    let (reason, remedy) = match gap {
        Some(gap) => (gap.to_string(), gap.remedy()),
        None => (
            format!("no recipe is known for {}", host.architecture),
            "give the coordinator the rows that are missing (`catalog` in coordinator.toml)"
                .to_owned(),
        ),
    };
    LeftOut {
        reason: reason.into(),
        remedy: remedy.into(),
        upgrade: None,
    }
}

/// What compat packages would do where the policy allows none. Its candidates are the same for every host, and are made
/// when the first one asks.
pub(super) struct PackagesInstead {
    policy: Policy,
    candidates: OnceCell<Option<Candidates>>,
}

impl PackagesInstead {
    pub fn of(policy: &Policy) -> Self {
        Self {
            policy: Policy {
                forward_compatibility: true,
                ..policy.clone()
            },
            candidates: OnceCell::new(),
        }
    }

    /// The compat package that would serve the host if the policy allowed one.
    fn package(&self, question: &Question<'_>, host: &KnownHost<'_>) -> Option<String> {
        if question.policy.forward_compatibility {
            return None;
        }
        let allowing = Question {
            policy: &self.policy,
            ..*question
        };
        let candidates = self
            .candidates
            .get_or_init(|| Candidates::new(&allowing).ok())
            .as_ref()?;
        let package = candidates.package(&allowing, host)?;
        Some(package.package.clone())
    }
}

/// What makes a refused recipe run.
pub(super) enum Cure {
    /// This driver, as the refusal that asked for it says.
    Upgrade {
        driver: DriverVersion,
        remedy: String,
    },
    /// No driver: this is what remains after all upgrades.
    None(Refusal),
}

/// Asks the rules again with the driver that each refusal wants, until they accept the recipe or want something else.
pub(super) fn cure(
    question: &Question<'_>,
    host: &KnownHost<'_>,
    recipe: &Recipe,
    refusal: &Refusal,
) -> Cure {
    let mut refusal = refusal.clone();
    let mut upgraded = host.facts.clone();
    loop {
        let Some(driver) = refusal
            .needs_driver
            .clone()
            .filter(|needed| Some(needed) > upgraded.driver_version.as_ref())
        else {
            return Cure::None(refusal);
        };
        match with_driver(question, host, &mut upgraded, recipe, &driver) {
            Verdict::Accepted { .. } => {
                return Cure::Upgrade {
                    driver,
                    remedy: refusal.remedy,
                };
            }
            Verdict::Refused { refusal: next, .. } => refusal = next,
        }
    }
}

/// What the rules would say of `host` after an upgrade, which `upgraded` gets.
pub(super) fn with_driver(
    question: &Question<'_>,
    host: &KnownHost<'_>,
    upgraded: &mut HostFacts,
    recipe: &Recipe,
    driver: &DriverVersion,
) -> Verdict {
    upgraded.driver_version = Some(driver.clone());
    upgraded.driver_health = DriverHealth::Working;
    question.check(&host.with(upgraded), recipe)
}
