//! Sharing, counted from indexes.

use tfleet_proto::model::artifact::{ArtifactFormat, Layer};

use super::*;

fn chunk(name: &str, content_bytes: u64) -> Chunk {
    Chunk {
        digest: Digest::of(name.as_bytes()),
        content_bytes,
        frame_bytes: content_bytes / 2,
    }
}

fn image(chunks: Vec<Chunk>) -> (Digest, ArtifactIndex) {
    let index = ArtifactIndex {
        format: ArtifactFormat::V1,
        config: String::new(),
        layers: vec![Layer {
            diff_id: Digest::of(b"layer"),
            size_bytes: chunks.iter().map(|chunk| chunk.content_bytes).sum(),
            chunks,
        }],
    };
    (index.digest(), index)
}

#[test]
fn what_another_variant_has_too_is_shared_and_what_one_has_twice_is_not() {
    let (base, cuda, own) = (chunk("base", 100), chunk("cuda", 40), chunk("own", 10));
    let gpu = image(vec![base, cuda, own, own]);
    let other = image(vec![cuda, base]);
    let alone = image(vec![chunk("else", 8)]);
    let shared = shared(&[gpu.clone(), other.clone(), alone.clone()].into());
    let both = Shared {
        content_bytes: 140,
        stored_bytes: 70,
    };
    assert_eq!(shared[&gpu.0], both);
    assert_eq!(shared[&other.0], both);
    assert_eq!(shared[&alone.0], Shared::default());
}
