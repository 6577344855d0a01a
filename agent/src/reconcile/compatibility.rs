//! The planner's own check, asked again on the host before a container is made: driver or GPUs may have changed since.

use tfleet_compat::{
    Architecture, Catalog, Recipe, Rule, TensorflowVersion, Verdict, check as ask,
};
use tfleet_proto::convert::facts;
use tfleet_proto::model::desired::{ContainerSpec, GpuRequest};
use tfleet_proto::model::failure::Failure;
use tfleet_proto::model::inventory::Inventory;
use tfleet_proto::model::name::VariantId;
use tracing::debug;

/// Asks the rules about the variant that `spec` runs. A variant that the catalog has no recipe for (an image that
/// others built) is let pass: the rules know nothing about it.
pub(super) fn check(
    catalog: &Catalog,
    inventory: &Inventory,
    spec: &ContainerSpec,
) -> Result<(), Failure> {
    let Some((facts, mut recipe)) = facts("this host", inventory).ok().and_then(|facts| {
        let recipe = recipe(catalog, &spec.variant, facts.architecture)?;
        Some((facts, recipe))
    }) else {
        debug!(variant = %spec.variant, "no recipe is known for the variant; compatibility is not checked");
        return Ok(());
    };
    if spec.gpus == GpuRequest::None {
        // Without GPUs the CUDA libraries lie idle.
        recipe.cuda = None;
    }
    match ask(catalog, &facts, &recipe) {
        Verdict::Accepted { .. } => Ok(()),
        // The coordinator plans with the site's own facts as well, which this program does not have: what its own do not
        // know, they cannot forbid.
        Verdict::Refused { refusal, .. }
            if matches!(refusal.rule, Rule::GpuKnown | Rule::RecipeKnown) =>
        {
            debug!(variant = %spec.variant, "compatibility is not checked: {refusal}");
            Ok(())
        }
        Verdict::Refused { refusal, .. } => {
            let message = format!("{} cannot run on this host: {refusal}", spec.variant);
            Err(Failure::new("incompatible", message)
                .with_rule(name_of(refusal.rule))
                .with_remedy(refusal.remedy))
        }
    }
}

/// The recipe that has the variant's name.
fn recipe(catalog: &Catalog, variant: &VariantId, architecture: Architecture) -> Option<Recipe> {
    let version: TensorflowVersion = variant
        .as_str()
        .strip_prefix("tf")?
        .split('-')
        .next()?
        .parse()
        .ok()?;
    let release = catalog.tensorflow_release(version.minor())?;
    let recipes = [
        Recipe::for_gpu(catalog, release, &version, architecture),
        Recipe::for_cpu(catalog, release, &version, architecture),
    ];
    recipes
        .into_iter()
        .flatten()
        .find(|recipe| recipe.id.as_str() == variant.as_str())
}

/// As the rule is written in plans: "driver-runs-cuda".
fn name_of(rule: Rule) -> String {
    match serde_json::to_value(rule) {
        Ok(serde_json::Value::String(name)) => name,
        _ => format!("{rule:?}"),
    }
}

#[cfg(test)]
mod tests;
