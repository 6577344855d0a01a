//! What an image needs.

use tfleet_proto::model::desired::DesiredImage;
use tfleet_proto::model::digest::Digest;

use super::scene::{Scene, SceneImage};
use super::{Need, Step};

/// What a wanted image needs. A tag that an `earlier` one claims is left to that one, or the two would take it from each
/// other for ever.
pub(super) fn need(wanted: &DesiredImage, earlier: &[DesiredImage], scene: &Scene) -> Need {
    let found = scene.images.get(&wanted.artifact);
    let Some((image, tags)) = found.and_then(|image| Some((image, image.present.as_ref()?))) else {
        return match scene.delivering {
            None => Need::Step(Step::Deliver(wanted.clone())),
            Some(_) => Need::Patience,
        };
    };
    let is_claimed = |tag: &String| earlier.iter().any(|other| other.tags.contains(tag));
    let missing: Vec<String> = wanted
        .tags
        .iter()
        .filter(|tag| !tags.contains(*tag) && !is_claimed(tag))
        .cloned()
        .collect();
    if missing.is_empty() {
        Need::Nothing
    } else {
        let engine_id = image.engine_id.clone();
        Need::Step(Step::Tag {
            artifact: wanted.artifact,
            engine_id,
            references: missing,
        })
    }
}

/// What an image needs that nobody wants any more: only references that we gave, and that are still its own, are taken.
///
/// It stays until all that is `wanted` is here: its layers are what the next one mostly consists of, and taking them away
/// first means sending them again.
pub(super) fn need_of_unwanted(
    artifact: &Digest,
    image: &SceneImage,
    wanted: &[DesiredImage],
    scene: &Scene,
) -> Need {
    if wanted
        .iter()
        .any(|wanted| !scene.has_image(&wanted.artifact))
    {
        return Need::Patience;
    }
    let is_used = scene
        .containers
        .values()
        .filter_map(|container| container.deed.as_ref());
    if is_used.into_iter().any(|deed| deed.artifact == *artifact) {
        return Need::Patience;
    }
    // The engine drops an image with its last reference. One whose references all went to others is dropped by its
    // identifier; one that has a foreign reference is somebody's, and only ours are taken.
    let names = match &image.present {
        None => Vec::new(),
        Some(tags) if tags.is_empty() => vec![image.engine_id.clone()],
        Some(tags) => tags.intersection(&image.given).cloned().collect(),
    };
    Need::Step(Step::ForgetImage {
        artifact: *artifact,
        names,
    })
}
