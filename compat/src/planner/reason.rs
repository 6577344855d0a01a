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
            parts.extend(passed_over(considered, best.recipe));
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
    let cure = refused
        .iter()
        .filter_map(|(recipe, tensorflow, refusal)| {
            upgrade(catalog, candidates, host, recipe, refusal)
                .map(|driver| (driver, *tensorflow, *refusal))
        })
        // The first of equals is the newest TensorFlow.
        .min_by(|(a, ..), (b, ..)| a.cmp(b));
    let (reason, remedy) = if let Some((driver, tensorflow, refusal)) = cure {
        let branch = driver.branch();
        let remedy = format!(
            "upgrade the driver to ≥ {driver} (R{branch} or newer); TensorFlow {tensorflow} then runs"
        );
        (refusal.reason.clone(), remedy)
    } else if let Some(refusal) = incurable(&refused) {
        (refusal.reason.clone(), refusal.remedy.clone())
    } else {
        let gaps = considered
            .iter()
            .find_map(|consideration| match consideration {
                Consideration::Gap { gap, .. } => Some(gap.to_string()),
                Consideration::Recipe { .. } => None,
            });
        let reason =
            gaps.unwrap_or_else(|| format!("no recipe is known for {}", host.architecture));
        (
            reason,
            "choose another TensorFlow, or add what is missing to the catalog".to_owned(),
        )
    };
    Unplaced {
        host: host.name.clone(),
        reason,
        remedy,
    }
}

/// The driver after whose installation a refused recipe is accepted; none: no driver helps.
fn upgrade(
    catalog: &Catalog,
    candidates: &Candidates,
    host: &HostFacts,
    recipe: &RecipeId,
    refusal: &Refusal,
) -> Option<DriverVersion> {
    let recipe = candidates.recipe(recipe)?;
    let mut host = host.clone();
    let mut needed = refusal.needs_driver.clone()?;
    loop {
        host.driver_version = Some(needed.clone());
        match check(catalog, &host, recipe) {
            Verdict::Accepted { .. } => return Some(needed),
            Verdict::Refused { refusal, .. } => {
                // Each round asks for a newer driver, so this ends.
                needed = refusal.needs_driver.filter(|next| *next > needed)?;
            }
        }
    }
}

/// The refusal to show where no driver upgrade helps: the newest one that does not pretend that it would.
fn incurable<'a>(refused: &[(&RecipeId, &TensorflowVersion, &'a Refusal)]) -> Option<&'a Refusal> {
    let honest = refused
        .iter()
        .find(|(.., refusal)| refusal.needs_driver.is_none());
    honest
        .or_else(|| refused.first())
        .map(|(.., refusal)| *refusal)
}
