//! Choosing among what was considered for one host, and saying why.

use super::Consideration;
use crate::recipe::RecipeId;
use crate::rules::{Finding, Rule};
use crate::verdict::{Compatibility, Verdict};
use crate::version::TensorflowVersion;

/// The recipe for a host.
#[derive(Clone)]
pub(super) struct Choice {
    pub recipe: RecipeId,
    pub compatibility: Compatibility,
    pub reason: String,
}

/// The recipe that the host has by the plan before, if the rules still accept it; else the first accepted one of a preferred TensorFlow; else
/// the first accepted one.
pub(super) fn choose(
    considered: &[Consideration],
    preferred: Option<&[TensorflowVersion]>,
    today: Option<&RecipeId>,
) -> Option<Choice> {
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
                "the revision before has it for this host, and it still serves; planned afresh the host would get {} (to \
                 move it, narrow the constraint)",
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
        recipe: taken.recipe.clone(),
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
