//! Which of a release's images a host gets.

use tfleet_compat::PtxReading;
use tfleet_proto::model::desired::{ContainerSpec, DesiredImage, DesiredState};
use tfleet_proto::model::digest::Digest;
use tfleet_proto::model::failure::Failure;
use tfleet_proto::model::inventory::{Gpu, Inventory};
use tfleet_proto::model::name::{HostName, ReleaseRef, VariantId};

use crate::store::{Origin, Release};

/// The code of the one failure that all hosts of a variant share.
pub const NOT_BUILT: &str = "not-built";

/// The image of a release for one host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placement {
    pub variant: VariantId,
    pub artifact: Digest,
    /// The GPUs that the image serves, where it does not serve all of the host's.
    pub some_gpus: Option<Vec<String>>,
    /// The release was planned on terms that trust intermediate code.
    pub trusts_intermediate_code: bool,
}

/// The image that `release` has for a host, or why it has none.
pub fn place(
    release: &Release,
    host: &HostName,
    inventory: Option<&Inventory>,
) -> Result<Placement, Failure> {
    let (variant, some_gpus, trusts_intermediate_code) = match &release.origin {
        Origin::Planned { plan, request } => (
            planned(release, plan, host)?,
            served_gpus(plan, host, inventory),
            request.policy.intermediate_code == PtxReading::Lenient,
        ),
        Origin::Added { needs_gpu, cuda } => {
            let variant = added(release, host, inventory, *needs_gpu, cuda.as_deref())?;
            (variant, None, false)
        }
    };
    let artifact = release
        .builds
        .iter()
        .find(|build| build.variant == variant)
        .and_then(|build| build.artifact);
    let Some(artifact) = artifact else {
        let message = format!(
            "variant {variant} of {} is not built yet",
            release.reference
        );
        return Err(Failure::new(NOT_BUILT, message).with_remedy(format!(
            "build it first: tfleet build {}",
            release.reference
        )));
    };
    Ok(Placement {
        variant,
        artifact,
        some_gpus,
        trusts_intermediate_code,
    })
}

/// The UUIDs of the GPUs that the plan does not leave out; none: it leaves out none.
fn served_gpus(
    plan: &tfleet_compat::Plan,
    host: &HostName,
    inventory: Option<&Inventory>,
) -> Option<Vec<String>> {
    let left_out = &plan.assignment(&host.as_str().into())?.left_out_gpus;
    let gpus = &inventory.filter(|_| !left_out.is_empty())?.gpus;
    let is_served = |gpu: &&Gpu| !left_out.iter().any(|left| left.gpu == gpu.name);
    Some(
        gpus.iter()
            .filter(is_served)
            .map(|gpu| gpu.uuid.clone())
            .collect(),
    )
}

/// Makes the image desired. Images of the release's other revisions go, unless a container still runs from them.
pub fn want_image(desired: &mut DesiredState, release: &ReleaseRef, placement: &Placement) {
    let wanted = DesiredImage {
        artifact: placement.artifact,
        release: release.clone(),
        variant: placement.variant.clone(),
        tags: vec![
            release.image_reference(),
            release.variant_reference(&placement.variant),
        ],
    };
    let DesiredState {
        images, containers, ..
    } = desired;
    images.retain(|image| {
        let is_used = || {
            containers
                .iter()
                .any(|container| is_made_from(&container.spec, image))
        };
        image.release.name != release.name || *image == wanted || is_used()
    });
    if !images.contains(&wanted) {
        images.push(wanted);
    }
}

/// Several revisions can have one artifact, and only the container's own one is needed for it.
fn is_made_from(spec: &ContainerSpec, image: &DesiredImage) -> bool {
    (spec.artifact, &spec.release) == (image.artifact, &image.release)
}

fn planned(
    release: &Release,
    plan: &tfleet_compat::Plan,
    host: &HostName,
) -> Result<VariantId, Failure> {
    let name = tfleet_compat::HostName::from(host.as_str());
    if let Some(assignment) = plan.assignment(&name) {
        return assignment.variant.as_str().parse().map_err(|error| {
            Failure::new(
                "variant-unknown",
                format!("the plan of {} is damaged: {error}", release.reference),
            )
        });
    }
    let reference = &release.reference;
    Err(match plan.unplaced.iter().find(|left| left.host == name) {
        Some(left) => Failure::new(
            "left-out",
            format!("{reference} has no image for {host}: {}", left.reason),
        )
        .with_remedy(&*left.remedy),
        None => Failure::new(
            "not-planned",
            format!("{reference} was planned without {host}"),
        )
        .with_remedy(format!(
            "plan the next revision with it: tfleet release create {}",
            reference.name
        )),
    })
}

/// An added image has one variant, for every host that it fits as far as anybody knows.
fn added(
    release: &Release,
    host: &HostName,
    inventory: Option<&Inventory>,
    needs_gpu: bool,
    cuda: Option<&str>,
) -> Result<VariantId, Failure> {
    let reference = &release.reference;
    let refused = |code: &str, why: String| {
        Failure::new(code, format!("{reference} does not fit {host}: {why}"))
    };
    let without_gpu = inventory.filter(|inventory| inventory.gpus.is_empty());
    if let Some(inventory) = without_gpu.filter(|_| needs_gpu) {
        let driver = inventory.driver.as_ref();
        return Err(match driver.and_then(|driver| driver.fault.clone()) {
            // A driver that fails lists no GPU, which does not mean that there is none.
            Some(fault) => Failure {
                remedy: fault.remedy,
                ..refused(
                    "driver-failed",
                    format!("it needs a GPU, and {}", fault.message),
                )
            },
            None => refused("no-gpu", "it needs a GPU, and the host has none".to_owned())
                .with_remedy("select hosts with `--where gpu`"),
        });
    }
    let driver_cuda = inventory
        .and_then(|inventory| inventory.driver.as_ref())
        .and_then(|driver| driver.cuda_version.as_deref());
    // Within one major version of CUDA an older driver may serve; beyond it none does.
    if let (Some(needed), Some(has)) = (cuda.and_then(major), driver_cuda.and_then(major))
        && needs_gpu
        && has < needed
    {
        let why = format!("it has CUDA {needed}, and the host's driver knows CUDA up to {has}");
        return Err(refused("driver-too-old", why).with_remedy("upgrade the host's driver"));
    }
    release
        .builds
        .first()
        .map(|build| build.variant.clone())
        .ok_or_else(|| Failure::new("variant-unknown", format!("{reference} has no image")))
}

fn major(version: &str) -> Option<u32> {
    version.split('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests;
