//! Why a host gets nothing, and what to do about it.

use super::Consideration;
use super::candidates::Candidates;
use crate::catalog::Catalog;
use crate::host::HostFacts;
use crate::recipe::RecipeId;
use crate::rules::Refusal;
use crate::verdict::{Verdict, check};
use crate::version::{DriverVersion, TensorflowVersion};

/// A host that gets nothing.
#[derive(Clone)]
pub(super) struct LeftOut {
    pub reason: String,
    pub remedy: String,
}

/// Why a host gets nothing, and the cheapest cure: the smallest driver upgrade after which some recipe is accepted, as
/// the rules themselves say; where no driver helps, what the newest recipe's refusal advises.
pub(super) fn left_out(
    catalog: &Catalog,
    candidates: &Candidates,
    host: &HostFacts,
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
        .map(|(recipe, tensorflow, refusal)| {
            (
                cure(catalog, candidates, host, recipe, refusal),
                *tensorflow,
                *refusal,
            )
        })
        .collect();
    let upgrades = cures
        .iter()
        .filter_map(|(cure, tensorflow, refusal)| match cure {
            Cure::Upgrade { driver, remedy } => Some((driver, remedy, tensorflow, refusal)),
            Cure::None(_) => None,
        });
    // The first of equals is the newest TensorFlow.
    let cheapest = upgrades.min_by_key(|(driver, ..)| *driver);
    let (reason, remedy) = match (cheapest, cures.first()) {
        (Some((_, remedy, tensorflow, refusal)), _) => (
            refusal.reason.clone(),
            format!("{remedy}; TensorFlow {tensorflow} then runs"),
        ),
        (None, Some((Cure::None(refusal), ..))) => (refusal.reason.clone(), refusal.remedy.clone()),
        _ => no_recipe(host, considered),
    };
    LeftOut { reason, remedy }
}

fn no_recipe(host: &HostFacts, considered: &[Consideration]) -> (String, String) {
    let gap = considered
        .iter()
        .find_map(|consideration| match consideration {
            Consideration::Gap { gap, .. } => Some(gap),
            Consideration::Recipe { .. } => None,
        });
    match gap {
        Some(gap) => (gap.to_string(), gap.remedy()),
        None => (
            format!("no recipe is known for {}", host.architecture),
            "give the coordinator the rows that are missing (`catalog` in coordinator.toml)"
                .to_owned(),
        ),
    }
}

/// What makes a refused recipe run.
enum Cure {
    /// This driver, as the refusal that asked for it says.
    Upgrade {
        driver: DriverVersion,
        remedy: String,
    },
    /// No driver: this is what remains after all upgrades.
    None(Refusal),
}

/// Asks the rules again with the driver that each refusal wants, until they accept the recipe or want something else.
fn cure(
    catalog: &Catalog,
    candidates: &Candidates,
    host: &HostFacts,
    recipe: &RecipeId,
    refusal: &Refusal,
) -> Cure {
    let mut refusal = refusal.clone();
    let Some(recipe) = candidates.recipe(recipe) else {
        return Cure::None(refusal);
    };
    let mut upgraded = host.clone();
    loop {
        let Some(driver) = refusal
            .needs_driver
            .clone()
            .filter(|needed| Some(needed) > upgraded.driver_version.as_ref())
        else {
            return Cure::None(refusal);
        };
        upgraded.driver_version = Some(driver.clone());
        match check(catalog, &upgraded, recipe) {
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
