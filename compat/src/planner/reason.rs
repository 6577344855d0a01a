//! Choosing among what was considered for one host, and saying why.

use super::candidates::Candidates;
use super::{Consideration, Unplaced};
use crate::catalog::Catalog;
use crate::host::HostFacts;
use crate::recipe::RecipeId;
use crate::rules::{Finding, Refusal, Rule};
use crate::verdict::{Compatibility, Verdict, check};
use crate::version::{DriverVersion, TensorflowVersion};

/// The recipe for a host.
pub(super) struct Choice<'a> {
    pub recipe: &'a RecipeId,
    pub compatibility: Compatibility,
    pub reason: String,
}

/// The recipe that runs today, if the rules still accept it; else the first accepted one of a preferred TensorFlow; else
/// the first accepted one.
pub(super) fn choose<'a>(
    considered: &'a [Consideration],
    preferred: Option<&[TensorflowVersion]>,
    today: Option<&RecipeId>,
) -> Option<Choice<'a>> {
    let accepted = || considered.iter().filter_map(as_accepted);
    let best = accepted()
        .find(|accepted| preferred.is_none_or(|preferred| preferred.contains(accepted.tensorflow)))
        .or_else(|| accepted().next())?;
    let kept = accepted()
        .find(|accepted| Some(accepted.recipe) == today && accepted.recipe != best.recipe);
    let mut parts = Vec::new();
    let taken = match kept {
        Some(kept) => {
            parts.push(format!(
                "it runs today; rebalancing would move it to {}",
                best.recipe
            ));
            parts.extend(kept.facts());
            kept
        }
        None => {
            parts.extend(best.facts());
            parts.extend(match accepted().next() {
                Some(newest) if newest.recipe != best.recipe => Some(format!(
                    "TensorFlow {} would run too, but the release wants as few as can serve the fleet",
                    newest.tensorflow
                )),
                _ => passed_over(considered, best.recipe),
            });
            best
        }
    };
    Some(Choice {
        recipe: taken.recipe,
        compatibility: taken.compatibility,
        reason: parts.join("; "),
    })
}

struct Accepted<'a> {
    recipe: &'a RecipeId,
    tensorflow: &'a TensorflowVersion,
    compatibility: Compatibility,
    findings: &'a [Finding],
}

fn as_accepted(consideration: &Consideration) -> Option<Accepted<'_>> {
    match consideration {
        Consideration::Recipe {
            recipe,
            tensorflow,
            verdict:
                Verdict::Accepted {
                    compatibility,
                    findings,
                },
        } => Some(Accepted {
            recipe,
            tensorflow,
            compatibility: *compatibility,
            findings,
        }),
        _ => None,
    }
}

impl Accepted<'_> {
    /// The facts that decided, of all that the rules found.
    fn facts(&self) -> Vec<String> {
        let deciding = |finding: &&Finding| {
            matches!(
                finding.rule,
                Rule::DriverPresent | Rule::DriverRunsCuda | Rule::MachineCode
            )
        };
        self.findings
            .iter()
            .filter(deciding)
            .map(|finding| finding.fact.clone())
            .collect()
    }
}

/// Why the newest TensorFlow before the chosen one was not taken.
fn passed_over(considered: &[Consideration], chosen: &RecipeId) -> Option<String> {
    match considered.first()? {
        Consideration::Recipe { recipe, .. } if recipe == chosen => None,
        Consideration::Recipe {
            tensorflow,
            verdict,
            ..
        } => verdict
            .refusal()
            .map(|refusal| format!("not TensorFlow {tensorflow}: {}", refusal.reason)),
        Consideration::Gap { gap, .. } => Some(gap.to_string()),
    }
}

/// Why a host gets nothing, and the cheapest cure: the smallest driver upgrade after which some recipe is accepted, as
/// the rules themselves say; where no driver helps, what the newest recipe's refusal advises.
pub(super) fn left_out(
    catalog: &Catalog,
    candidates: &Candidates,
    host: &HostFacts,
    considered: &[Consideration],
) -> Unplaced {
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
    Unplaced {
        host: host.name.clone(),
        reason,
        remedy,
    }
}

fn no_recipe(host: &HostFacts, considered: &[Consideration]) -> (String, String) {
    let gap = considered
        .iter()
        .find_map(|consideration| match consideration {
            Consideration::Gap { gap, .. } => Some(gap.to_string()),
            Consideration::Recipe { .. } => None,
        });
    let reason = gap.unwrap_or_else(|| format!("no recipe is known for {}", host.architecture));
    (
        reason,
        "choose another TensorFlow, or add what is missing to the catalog".to_owned(),
    )
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
