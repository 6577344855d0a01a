//! Everything that planning considered for one host.

use serde::Serialize;
use tfleet_compat::Consideration;
use tfleet_proto::wire;

use super::plan::{Assignment, Plan, Unplaced};
use super::{Cell, Grid, Tabular, Tone};

#[derive(Debug, Clone, Serialize)]
pub struct Explanation {
    pub host: String,
    /// What the host gets; `None`: nothing.
    pub assignment: Option<Assignment>,
    pub unplaced: Option<Unplaced>,
    /// In the order in which it would be chosen.
    pub considered: Vec<Considered>,
}

/// One TensorFlow release, as far as the rules got.
#[derive(Debug, Clone, Serialize)]
pub struct Considered {
    pub tensorflow: String,
    /// `None`: there is no recipe.
    pub recipe: Option<String>,
    /// `None`: refused.
    pub compatibility: Option<String>,
    /// What passed, in the order in which it is asked.
    pub findings: Vec<Finding>,
    /// What stands in the way.
    pub refusal: Option<Finding>,
    pub remedy: Option<String>,
}

#[derive(Debug, Clone, Serialize)]
pub struct Finding {
    pub rule: String,
    pub fact: String,
    pub source: String,
}

impl Explanation {
    pub fn new(host: String, plan: &Plan, considered: Vec<impl Into<Considered>>) -> Self {
        let assignment = plan.assignments.iter().find(|found| found.host == host);
        let unplaced = plan.unplaced.iter().find(|found| found.host == host);
        Self {
            assignment: assignment.cloned(),
            unplaced: unplaced.cloned(),
            considered: considered.into_iter().map(Into::into).collect(),
            host,
        }
    }
}

impl From<&Consideration> for Considered {
    fn from(consideration: &Consideration) -> Self {
        let (obstacle, remedy) = consideration.obstacle().unzip();
        let (recipe, verdict) = match consideration {
            Consideration::Recipe {
                recipe, verdict, ..
            } => (Some(recipe), Some(verdict)),
            Consideration::Gap { .. } => (None, None),
        };
        let findings = verdict.into_iter().flat_map(|verdict| verdict.findings());
        Self {
            tensorflow: consideration.tensorflow().to_string(),
            recipe: recipe.map(ToString::to_string),
            compatibility: verdict
                .and_then(|verdict| verdict.compatibility())
                .map(|fit| fit.to_string()),
            findings: findings.map(Finding::from).collect(),
            refusal: obstacle.as_ref().map(Finding::from),
            remedy,
        }
    }
}

impl From<&tfleet_compat::Finding> for Finding {
    fn from(finding: &tfleet_compat::Finding) -> Self {
        Self {
            rule: finding.rule.to_string(),
            fact: finding.fact.clone(),
            source: finding.source.clone(),
        }
    }
}

impl From<wire::Consideration> for Considered {
    fn from(considered: wire::Consideration) -> Self {
        let present = |text: String| (!text.is_empty()).then_some(text);
        let finding = |finding: wire::Finding| Finding {
            rule: finding.rule,
            fact: finding.fact,
            source: finding.source,
        };
        Self {
            tensorflow: considered.tensorflow,
            recipe: present(considered.recipe),
            compatibility: present(considered.compatibility),
            findings: considered.findings.into_iter().map(finding).collect(),
            refusal: considered.refusal.map(finding),
            remedy: present(considered.remedy),
        }
    }
}

impl Tabular for Explanation {
    fn grids(&self) -> Vec<Grid> {
        let chosen = self.assignment.as_ref().and_then(|assignment| {
            let is_it = |one: &&Considered| one.recipe.as_ref() == Some(&assignment.variant);
            self.considered.iter().find(is_it)
        });
        // Where nothing is chosen, the first thing that was considered says how far the host gets.
        let walked = chosen.or_else(|| self.considered.first());
        let outcome = match (&self.assignment, &self.unplaced) {
            (Some(assignment), _) => format!(
                "{} gets {} ({})",
                self.host, assignment.variant, assignment.compatibility
            ),
            (None, Some(left)) => format!("{} gets nothing: {}", self.host, left.reason),
            (None, None) => format!("{} is not in the plan", self.host),
        };
        let row = |finding: &Finding, mark: Cell| {
            vec![
                mark,
                Cell::from(finding.rule.as_str()),
                Cell::from(finding.fact.as_str()),
                Cell::from(finding.source.as_str()).toned(Tone::Faint),
            ]
        };
        let walk = walked.into_iter().flat_map(|one| {
            let passed = one.findings.iter();
            let passed = passed.map(|finding| row(finding, Cell::from("yes").toned(Tone::Good)));
            let refused = one.refusal.iter();
            let refused = refused.map(|finding| row(finding, Cell::from("no").toned(Tone::Bad)));
            passed.chain(refused).collect::<Vec<_>>()
        });
        let title = walked.map_or_else(
            || outcome.clone(),
            |one| {
                let what = one.recipe.clone();
                let what = what.unwrap_or_else(|| format!("TensorFlow {}", one.tensorflow));
                format!("{outcome}\n\n{what}, rule by rule")
            },
        );
        let others = self.considered.iter().map(|one| {
            let refusal = one.refusal.as_ref();
            let fit = match &one.compatibility {
                Some(fit) => Cell::from(fit.as_str()).toned(Tone::Good),
                None => Cell::from("no").toned(Tone::Attention),
            };
            vec![
                Cell::from(one.tensorflow.as_str()),
                Cell::maybe(one.recipe.as_ref()),
                fit,
                Cell::maybe(refusal.map(|refusal| refusal.rule.as_str())),
                Cell::maybe(refusal.map(|refusal| refusal.fact.as_str())),
                Cell::maybe(one.remedy.as_ref()),
            ]
        });
        vec![
            Grid::new(["PASSES", "RULE", "FACT", "SOURCE"])
                .titled(title)
                .when_empty("nothing was asked")
                .with_rows(walk)
                .noting(3),
            Grid::new(["TENSORFLOW", "VARIANT", "FIT", "RULE", "BECAUSE", "REMEDY"])
                .titled("Everything that was considered, in the order in which it would be chosen")
                .with_rows(others),
        ]
    }
}
