//! What planning thought of one TensorFlow release for one host.

use serde::{Deserialize, Serialize};

use crate::recipe::{RecipeGap, RecipeId};
use crate::rules::{Finding, Refusal, Rule};
use crate::verdict::{Compatibility, GpuLeftOut, Verdict};
use crate::version::TensorflowVersion;

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

/// A recipe that the rules accept for a host.
#[derive(Debug, Clone, Copy)]
pub(super) struct Accepted<'a> {
    pub recipe: &'a RecipeId,
    pub tensorflow: &'a TensorflowVersion,
    pub compatibility: Compatibility,
    pub left_out: &'a [GpuLeftOut],
    findings: &'a [Finding],
}

impl Consideration {
    /// Whether there is a recipe that the rules accept.
    #[must_use]
    pub fn is_accepted(&self) -> bool {
        self.accepted().is_some()
    }

    /// The TensorFlow release.
    #[must_use]
    pub fn tensorflow(&self) -> &TensorflowVersion {
        match self {
            Self::Recipe { tensorflow, .. } | Self::Gap { tensorflow, .. } => tensorflow,
        }
    }

    /// Its recipe; none: there is none.
    #[must_use]
    pub fn recipe(&self) -> Option<&RecipeId> {
        match self {
            Self::Recipe { recipe, .. } => Some(recipe),
            Self::Gap { .. } => None,
        }
    }

    /// Why the rules refuse its recipe; none: there is no recipe, or they accept it.
    #[must_use]
    pub fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Recipe { verdict, .. } => verdict.refusal(),
            Self::Gap { .. } => None,
        }
    }

    /// What stands in the way, and what cures that; none: the rules accept the recipe.
    #[must_use]
    pub fn obstacle(&self) -> Option<(Finding, String)> {
        match self {
            Self::Recipe { verdict, .. } => verdict.refusal().map(|refusal| {
                let finding = Finding {
                    rule: refusal.rule,
                    fact: refusal.reason.clone(),
                    source: refusal.source.clone(),
                };
                (finding, refusal.remedy.clone())
            }),
            Self::Gap { gap, .. } => {
                let finding = Finding {
                    rule: Rule::RecipeKnown,
                    fact: gap.to_string(),
                    source: "the catalog".to_owned(),
                };
                Some((finding, gap.remedy()))
            }
        }
    }

    pub(super) fn accepted(&self) -> Option<Accepted<'_>> {
        match self {
            Self::Recipe {
                recipe,
                tensorflow,
                verdict:
                    Verdict::Accepted {
                        compatibility,
                        findings,
                        left_out,
                    },
            } => Some(Accepted {
                recipe,
                tensorflow,
                compatibility: *compatibility,
                left_out,
                findings,
            }),
            _ => None,
        }
    }
}

impl Accepted<'_> {
    /// The facts that decided, of all that the rules found.
    pub fn facts(&self) -> impl Iterator<Item = String> {
        let deciding = |finding: &&Finding| {
            matches!(
                finding.rule,
                Rule::DriverPresent
                    | Rule::DriverRunsCuda
                    | Rule::ForwardCompat
                    | Rule::MachineCode
            )
        };
        let served = self.findings.iter().filter(deciding);
        let left_out = self
            .left_out
            .iter()
            .map(|left| format!("leaves out {}: {}", left.gpu, left.reason));
        served.map(|finding| finding.fact.clone()).chain(left_out)
    }
}
