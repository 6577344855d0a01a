//! The planner's own check, asked again on the host before a container is made: driver or GPUs may have changed since.

use tfleet_compat::{
    Architecture, Catalog, ImageGate, PtxReading, Recipe, Refusal, Rule, Terms, Verdict,
    check_on as ask, rules,
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
    image_environment: &[String],
) -> Result<(), Failure> {
    // A container that gets some of the host's GPUs is judged by those.
    let mut given = inventory.clone();
    if let GpuRequest::Uuids(uuids) = &spec.gpus {
        given.gpus.retain(|gpu| uuids.contains(&gpu.uuid));
    }
    let Ok(facts) = facts("this host", &given) else {
        debug!("nothing is known about this architecture; compatibility is not checked");
        return Ok(());
    };
    // The container's own environment goes over the image's.
    let own = spec.environment.iter();
    let own: Vec<String> = own.map(|(name, value)| format!("{name}={value}")).collect();
    let environment = image_environment.iter().chain(&own).map(String::as_str);
    let gate = (spec.gpus != GpuRequest::None).then(|| ImageGate::from_environment(environment));
    let Some(mut recipe) = recipe(catalog, &spec.variant, facts.architecture) else {
        debug!(variant = %spec.variant, "no recipe is known for the variant; only what the image requires is checked");
        return match gate.map(|gate| rules::image_requirement(catalog, &facts, &gate)) {
            Some(Err(refusal)) => Err(refused(spec, &refusal)),
            _ => Ok(()),
        };
    };
    if spec.gpus == GpuRequest::None {
        // Without GPUs the CUDA libraries lie idle.
        recipe.cuda = None;
    }
    let terms = Terms {
        intermediate_code: if spec.trusts_intermediate_code {
            PtxReading::Lenient
        } else {
            PtxReading::Strict
        },
        ..Terms::default()
    };
    match ask(catalog, &facts, &recipe, terms, gate.as_ref()) {
        Verdict::Accepted { .. } => Ok(()),
        // The coordinator plans with the site's own facts as well, which this program does not have: what its own do not
        // know, they cannot forbid.
        Verdict::Refused { refusal, .. }
            if matches!(refusal.rule, Rule::GpuKnown | Rule::RecipeKnown) =>
        {
            debug!(variant = %spec.variant, "compatibility is not checked: {refusal}");
            Ok(())
        }
        Verdict::Refused { refusal, .. } => Err(refused(spec, &refusal)),
    }
}

fn refused(spec: &ContainerSpec, refusal: &Refusal) -> Failure {
    let message = format!("{} cannot run on this host: {refusal}", spec.variant);
    Failure::new("incompatible", message)
        .with_rule(refusal.rule.to_string())
        .with_remedy(refusal.remedy.clone())
}

/// The recipe that has the variant's name.
fn recipe(catalog: &Catalog, variant: &VariantId, architecture: Architecture) -> Option<Recipe> {
    Recipe::named(catalog, &variant.as_str().parse().ok()?, architecture)
}

#[cfg(test)]
mod tests;
