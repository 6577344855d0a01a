//! The checked-in code in `src/gen` is what the `.proto` files say.
//!
//! `TFLEET_REGENERATE=1 cargo test -p tfleet-proto --test generated` writes it anew.

#![expect(
    clippy::expect_used,
    reason = "a test that cannot do its work shall fail"
)]

use std::path::{Path, PathBuf};

const PROTOS: [&str; 6] = [
    "types",
    "enrollment",
    "session",
    "artifacts",
    "peers",
    "operator",
];

#[test]
fn generated_code_is_fresh() {
    let crate_dir = Path::new(env!("CARGO_MANIFEST_DIR"));
    let fresh = tempfile::tempdir().expect("temporary directory");
    generate(crate_dir, fresh.path());
    for name in ["tfleet.v1.rs", "descriptor.bin"] {
        let wanted = std::fs::read(fresh.path().join(name)).expect("generated file");
        let checked_in = crate_dir.join("src/gen").join(name);
        if std::env::var_os("TFLEET_REGENERATE").is_some() {
            std::fs::write(&checked_in, &wanted).expect("write generated file");
        }
        let found = std::fs::read(&checked_in).unwrap_or_default();
        assert!(
            wanted == found,
            "{} is not what the .proto files say; run: \
             TFLEET_REGENERATE=1 cargo test -p tfleet-proto --test generated",
            checked_in.display()
        );
    }
}

fn generate(crate_dir: &Path, out: &Path) {
    let files: Vec<PathBuf> = PROTOS
        .iter()
        .map(|name| crate_dir.join(format!("tfleet/v1/{name}.proto")))
        .collect();
    let descriptors = protox::compile(&files, [crate_dir]).expect("the .proto files compile");
    tonic_prost_build::configure()
        .bytes(".tfleet.v1.Chunk.frame_part")
        .bytes(".tfleet.v1.ChunkPart.frame_part")
        .bytes(".tfleet.v1.AddImageRequest.data")
        .bytes(".tfleet.v1.BundlePiece.data")
        .bytes(".tfleet.v1.ExportBundleRequest.have")
        .bytes(".tfleet.v1.ImportBundleRequest.data")
        .bytes(".tfleet.v1.OperationOutput.stdout")
        .bytes(".tfleet.v1.OperationOutput.stderr")
        .bytes(".tfleet.v1.OperationInput.stdin")
        .btree_map(".")
        .out_dir(out)
        .file_descriptor_set_path(out.join("descriptor.bin"))
        .compile_fds(descriptors.clone())
        .expect("generation");
    use prost::Message as _;
    std::fs::write(out.join("descriptor.bin"), descriptors.encode_to_vec())
        .expect("descriptor set");
}
