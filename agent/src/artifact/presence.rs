//! Which of an image's layers the engine has already.

use tfleet_proto::model::digest::Digest;
use tfleet_proto::model::inventory::{EngineImage, ImageStore};

use super::loaded::Loaded;

/// How many layers, from the base up, some image of the engine has in the same order: an engine knows a layer by all
/// those below it.
///
/// On a containerd store only images count that we loaded ourselves. Another's layers may lie there compressed, and an
/// archive that leaves them out is then taken without complaint and is broken.
pub fn present_layers(
    wanted: &[Digest],
    images: &[EngineImage],
    store: ImageStore,
    loaded: &Loaded,
) -> usize {
    let counts = |image: &&EngineImage| match store {
        ImageStore::GraphDriver => true,
        ImageStore::Containerd => loaded.has(&image.engine_id),
    };
    let prefix = |image: &EngineImage| {
        wanted
            .iter()
            .zip(&image.diff_ids)
            .take_while(|(ours, theirs)| ours == theirs)
            .count()
    };
    images
        .iter()
        .filter(counts)
        .map(prefix)
        .max()
        .unwrap_or_default()
}
