//! A plan: which variants cover which hosts, and who is left out.

use serde::Serialize;
use tfleet_compat::{Assigned, PlanDiff};
use tfleet_proto::wire;

mod table;

/// Its JSON form is public: `schema/plan.v1.json` of compat describes it.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Plan {
    pub variants: Vec<PlannedVariant>,
    pub assignments: Vec<Assignment>,
    pub unplaced: Vec<Unplaced>,
    pub upgrades: Vec<Upgrade>,
    pub notes: Vec<String>,
    pub exact: bool,
    /// Against the running plan; `None`: there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub changes: Option<PlanDiff>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub what_if: Vec<WhatIf>,
}

#[derive(Debug, Clone, Serialize)]
pub struct PlannedVariant {
    pub id: String,
    pub tensorflow: String,
    /// `None`: CPU.
    pub cuda: Option<String>,
    pub cudnn: Option<String>,
    pub python: String,
    pub base: String,
    pub architecture: String,
    /// The cuda-compat package in the image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compat_package: Option<String>,
}

#[derive(Debug, Clone, Serialize)]
pub struct Assignment {
    pub host: String,
    pub variant: String,
    pub compatibility: String,
    pub reason: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub left_out_gpus: Vec<GpuLeftOut>,
}

#[derive(Debug, Clone, Serialize)]
pub struct GpuLeftOut {
    pub gpu: String,
    pub reason: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct Unplaced {
    pub host: String,
    pub reason: String,
    pub remedy: String,
}

/// A driver upgrade and what it would change.
#[derive(Debug, Clone, Serialize)]
pub struct Upgrade {
    pub hosts: Vec<String>,
    /// The drivers that they have, oldest first.
    pub from: Vec<String>,
    pub to: String,
    /// The newest driver branch that still drives their GPUs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_branch: Option<u32>,
    /// "serves" (the hosts get the variant) or "saves" (no host needs it any more).
    pub effect: &'static str,
    pub variant: String,
}

/// What a change would do.
#[derive(Debug, Clone, Serialize)]
pub struct WhatIf {
    pub change: String,
    /// How many hosts it would be made to.
    pub hosts: usize,
    /// Against the plan without it.
    pub changes: PlanDiff,
    /// Who would get nothing then.
    pub unplaced: Vec<Unplaced>,
}

impl Plan {
    /// Who gets which variant.
    pub fn assigned(&self) -> Assigned<'_> {
        let pairs = self.assignments.iter();
        pairs
            .map(|assignment| (assignment.host.as_str(), assignment.variant.as_str()))
            .collect()
    }
}

impl WhatIf {
    pub fn between(change: String, hosts: usize, before: &Assigned<'_>, then: &Plan) -> Self {
        Self {
            change,
            hosts,
            changes: PlanDiff::between(before, &then.assigned()),
            unplaced: then.unplaced.clone(),
        }
    }
}

fn present(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

impl From<wire::PlanResponse> for Plan {
    fn from(answer: wire::PlanResponse) -> Self {
        let mut plan = Self::from(answer.plan.unwrap_or_default());
        let running = answer.running.map(Self::from);
        let before = running.as_ref().map(Self::assigned);
        plan.changes = before.map(|before| PlanDiff::between(&before, &plan.assigned()));
        let what_if: Vec<WhatIf> = answer
            .what_if
            .into_iter()
            .map(|what_if| {
                let then = Self::from(what_if.plan.unwrap_or_default());
                let hosts = usize::try_from(what_if.hosts).unwrap_or(usize::MAX);
                WhatIf::between(what_if.change, hosts, &plan.assigned(), &then)
            })
            .collect();
        plan.what_if = what_if;
        plan
    }
}

impl From<wire::Plan> for Plan {
    fn from(plan: wire::Plan) -> Self {
        let variant = |variant: wire::PlannedVariant| PlannedVariant {
            id: variant.id,
            tensorflow: variant.tensorflow,
            cuda: present(variant.cuda),
            cudnn: present(variant.cudnn),
            python: variant.python,
            base: variant.base,
            architecture: variant.architecture,
            compat_package: present(variant.compat_package),
        };
        let left_out = |left: wire::GpuLeftOut| GpuLeftOut {
            gpu: left.gpu,
            reason: left.reason,
        };
        let assignment = |assignment: wire::Assignment| Assignment {
            host: assignment.host,
            variant: assignment.variant,
            compatibility: assignment.compatibility,
            reason: assignment.reason,
            left_out_gpus: assignment.left_out_gpus.into_iter().map(left_out).collect(),
        };
        let unplaced = |unplaced: wire::Unplaced| Unplaced {
            host: unplaced.host,
            reason: unplaced.reason,
            remedy: unplaced.remedy,
        };
        let upgrade = |upgrade: wire::Upgrade| Upgrade {
            hosts: upgrade.hosts,
            from: upgrade.from,
            to: upgrade.to,
            last_branch: upgrade.last_branch,
            effect: if upgrade.saves { "saves" } else { "serves" },
            variant: upgrade.variant,
        };
        Self {
            variants: plan.variants.into_iter().map(variant).collect(),
            assignments: plan.assignments.into_iter().map(assignment).collect(),
            unplaced: plan.unplaced.into_iter().map(unplaced).collect(),
            upgrades: plan.upgrades.into_iter().map(upgrade).collect(),
            notes: plan.notes,
            exact: !plan.inexact,
            ..Self::default()
        }
    }
}

impl From<&tfleet_compat::Plan> for Plan {
    fn from(plan: &tfleet_compat::Plan) -> Self {
        let variant = |variant: &tfleet_compat::Variant| {
            let recipe = &variant.recipe;
            let stack = recipe.cuda.as_ref();
            PlannedVariant {
                id: recipe.id.to_string(),
                tensorflow: recipe.tensorflow.to_string(),
                cuda: stack.map(|stack| stack.installed.level().to_string()),
                cudnn: stack.map(|stack| stack.cudnn.to_string()),
                python: recipe.python.to_string(),
                base: recipe.base.short_name().to_owned(),
                architecture: recipe.architecture.to_string(),
                compat_package: stack
                    .and_then(|stack| stack.compat.as_ref())
                    .map(|compat| compat.package.clone()),
            }
        };
        let left_out = |left: &tfleet_compat::GpuLeftOut| GpuLeftOut {
            gpu: left.gpu.clone(),
            reason: left.reason.clone(),
        };
        let assignment = |assignment: &tfleet_compat::Assignment| Assignment {
            host: assignment.host.to_string(),
            variant: assignment.variant.to_string(),
            compatibility: assignment.compatibility.to_string(),
            reason: assignment.reason.to_string(),
            left_out_gpus: assignment.left_out_gpus.iter().map(left_out).collect(),
        };
        let unplaced = |unplaced: &tfleet_compat::Unplaced| Unplaced {
            host: unplaced.host.to_string(),
            reason: unplaced.reason.to_string(),
            remedy: unplaced.remedy.to_string(),
        };
        let upgrade = |upgrade: &tfleet_compat::Upgrade| Upgrade {
            hosts: upgrade.hosts.iter().map(ToString::to_string).collect(),
            from: upgrade.from.iter().map(ToString::to_string).collect(),
            to: upgrade.to.to_string(),
            last_branch: upgrade.last_branch,
            effect: match upgrade.effect {
                tfleet_compat::Effect::Serves => "serves",
                tfleet_compat::Effect::Saves => "saves",
            },
            variant: upgrade.variant.to_string(),
        };
        Self {
            variants: plan.variants.iter().map(variant).collect(),
            assignments: plan.assignments.iter().map(assignment).collect(),
            unplaced: plan.unplaced.iter().map(unplaced).collect(),
            upgrades: plan.upgrades.iter().map(upgrade).collect(),
            notes: plan.notes.clone(),
            exact: plan.exact,
            ..Self::default()
        }
    }
}
