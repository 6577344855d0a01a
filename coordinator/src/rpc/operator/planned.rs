//! Plans as they travel.

use tfleet_compat::{Assignment, Plan, Recipe, Unplaced};
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
    }
}

/// The reasons for which hosts were left out, each once, with their number and what to do.
pub fn reasons(plan: &Plan) -> String {
    let mut groups: Vec<(&Unplaced, usize)> = Vec::new();
    for left in &plan.unplaced {
        match groups
            .iter_mut()
            .find(|(group, _)| group.reason == left.reason && group.remedy == left.remedy)
        {
            Some((_, count)) => *count += 1,
            None => groups.push((left, 1)),
        }
    }
    let sentences: Vec<String> = groups
        .into_iter()
        .map(|(left, count)| {
            let hosts = match count {
                1 => left.host.to_string(),
                _ => format!("{count} hosts"),
            };
            format!("{hosts}: {}; {}", left.reason, left.remedy)
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
        base: recipe.base.suite.clone(),
        architecture: recipe.architecture.to_string(),
    }
}

fn assignment(assignment: &Assignment) -> wire::Assignment {
    wire::Assignment {
        host: assignment.host.to_string(),
        variant: assignment.variant.to_string(),
        compatibility: assignment.compatibility.to_string(),
        reason: assignment.reason.clone(),
    }
}

fn unplaced(unplaced: &Unplaced) -> wire::Unplaced {
    wire::Unplaced {
        host: unplaced.host.to_string(),
        reason: unplaced.reason.clone(),
        remedy: unplaced.remedy.clone(),
    }
}
