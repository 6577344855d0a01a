//! Plans as they travel.

use tfleet_compat::{Assignment, Consideration, Effect, Finding, Plan, Recipe, Unplaced, Upgrade};
use tfleet_proto::wire;

pub fn wire(plan: &Plan) -> wire::Plan {
    wire::Plan {
        variants: plan
            .variants
            .iter()
            .map(|variant| planned(&variant.recipe))
            .collect(),
        assignments: plan.assignments.iter().map(assignment).collect(),
        unplaced: plan.unplaced.iter().map(unplaced).collect(),
        upgrades: plan.upgrades.iter().map(upgrade).collect(),
        notes: plan.notes.clone(),
        inexact: !plan.exact,
    }
}

/// What was thought of one TensorFlow release for one host.
pub fn consideration(considered: &Consideration) -> wire::Consideration {
    let (obstacle, remedy) = considered.obstacle().unzip();
    let mut told = wire::Consideration {
        tensorflow: considered.tensorflow().to_string(),
        refusal: obstacle.as_ref().map(finding),
        remedy: remedy.unwrap_or_default(),
        ..Default::default()
    };
    if let Consideration::Recipe {
        recipe, verdict, ..
    } = considered
    {
        told.recipe = recipe.to_string();
        told.compatibility = verdict
            .compatibility()
            .map(|compatibility| compatibility.to_string())
            .unwrap_or_default();
        told.findings = verdict.findings().iter().map(finding).collect();
    }
    told
}

fn finding(finding: &Finding) -> wire::Finding {
    wire::Finding {
        rule: finding.rule.to_string(),
        fact: finding.fact.clone(),
        source: finding.source.clone(),
    }
}

fn upgrade(upgrade: &Upgrade) -> wire::Upgrade {
    wire::Upgrade {
        hosts: upgrade.hosts.iter().map(ToString::to_string).collect(),
        from: upgrade.from.iter().map(ToString::to_string).collect(),
        to: upgrade.to.to_string(),
        variant: upgrade.variant.to_string(),
        saves: upgrade.effect == Effect::Saves,
        last_branch: upgrade.last_branch,
    }
}

/// The reasons for which hosts were left out, each once, with their number and what to do.
pub fn reasons(plan: &Plan) -> String {
    let sentences: Vec<String> = plan
        .left_out()
        .into_iter()
        .map(|group| {
            let hosts = match group.hosts.as_slice() {
                [one] => one.to_string(),
                hosts => format!("{} hosts", hosts.len()),
            };
            format!("{hosts}: {}; {}", group.reason, group.remedy)
        })
        .collect();
    sentences.join("\n")
}

fn planned(recipe: &Recipe) -> wire::PlannedVariant {
    let stack = recipe.cuda.as_ref();
    wire::PlannedVariant {
        id: recipe.id.to_string(),
        tensorflow: recipe.tensorflow.to_string(),
        cuda: stack
            .map(|stack| stack.installed.level().to_string())
            .unwrap_or_default(),
        cudnn: stack
            .map(|stack| stack.cudnn.to_string())
            .unwrap_or_default(),
        python: recipe.python.to_string(),
        base: recipe.base.short_name().to_owned(),
        architecture: recipe.architecture.to_string(),
        compat_package: stack
            .and_then(|stack| stack.compat.as_ref())
            .map(|compat| compat.package.clone())
            .unwrap_or_default(),
    }
}

fn assignment(assignment: &Assignment) -> wire::Assignment {
    wire::Assignment {
        host: assignment.host.to_string(),
        variant: assignment.variant.to_string(),
        compatibility: assignment.compatibility.to_string(),
        reason: assignment.reason.to_string(),
        left_out_gpus: assignment
            .left_out_gpus
            .iter()
            .map(|left| wire::GpuLeftOut {
                gpu: left.gpu.clone(),
                reason: left.reason.clone(),
            })
            .collect(),
    }
}

fn unplaced(unplaced: &Unplaced) -> wire::Unplaced {
    wire::Unplaced {
        host: unplaced.host.to_string(),
        reason: unplaced.reason.to_string(),
        remedy: unplaced.remedy.to_string(),
    }
}
