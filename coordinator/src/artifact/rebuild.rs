//! Writes an artifact as an archive that every engine loads: an OCI layout with a `manifest.json` beside it.
//!
//! Bases go back to a builder's engine this way. Nothing of a foreign archive reaches an engine: one image, the tag we
//! chose, layers from verified chunks.

use std::io::{self, Write};

use serde_json::json;
use tar::{EntryType, Header};
use tfleet_proto::model::artifact::{ArtifactIndex, Layer};
use tfleet_proto::model::digest::{Digest, Hasher};

use super::archive::Hashed;
use super::content::LayerContent;
use super::normalise::FIXED_TIME_SECONDS;
use super::{Artifacts, StoreError};

/// Why an artifact could not be written as an archive.
#[derive(Debug, thiserror::Error)]
pub enum RebuildError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the archive cannot be written")]
    Write(#[from] io::Error),
    #[error("the stored chunks of layer {expected} make {actual}")]
    Layer { expected: Digest, actual: Digest },
}

/// Writes the archive of `index` to `output`, with the one tag `reference` ("name:tag").
///
/// # Errors
/// If a chunk is damaged, or `output` ends early.
pub fn rebuild<W: Write>(
    store: &Artifacts,
    index: &ArtifactIndex,
    reference: &str,
    output: &mut W,
) -> Result<(), RebuildError> {
    let config = index.config.as_bytes();
    let config_digest = Digest::of(config);
    let layer_descriptors: Vec<_> = index
        .layers
        .iter()
        .map(|layer| {
            descriptor(
                "application/vnd.oci.image.layer.v1.tar",
                &layer.diff_id,
                layer.size_bytes,
            )
        })
        .collect();
    let oci_manifest = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": descriptor("application/vnd.oci.image.config.v1+json", &config_digest, config.len() as u64),
        "layers": layer_descriptors,
    })
    .to_string();
    let oci_manifest_digest = Digest::of(oci_manifest.as_bytes());
    let mut manifest_descriptor = descriptor(
        "application/vnd.oci.image.manifest.v1+json",
        &oci_manifest_digest,
        oci_manifest.len() as u64,
    );
    manifest_descriptor["annotations"] = json!({
        "io.containerd.image.name": format!("docker.io/{reference}"),
        "org.opencontainers.image.ref.name": reference.rsplit(':').next().unwrap_or(reference),
    });
    let oci_index = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [manifest_descriptor],
    })
    .to_string();
    let layer_paths: Vec<_> = index.diff_ids().map(|diff_id| blob(&diff_id)).collect();
    let manifest =
        json!([{ "Config": blob(&config_digest), "RepoTags": [reference], "Layers": layer_paths }])
            .to_string();

    let mut written = std::collections::BTreeSet::new();
    for layer in &index.layers {
        if written.insert(layer.diff_id) {
            put_layer(store, layer, output)?;
        }
    }
    put(output, &blob(&config_digest), config)?;
    put(output, &blob(&oci_manifest_digest), oci_manifest.as_bytes())?;
    put(output, "index.json", oci_index.as_bytes())?;
    put(output, "manifest.json", manifest.as_bytes())?;
    put(output, "oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)?;
    output.write_all(&[0; 1024])?;
    Ok(())
}

fn put_layer<W: Write>(
    store: &Artifacts,
    layer: &Layer,
    output: &mut W,
) -> Result<(), RebuildError> {
    output.write_all(header(&blob(&layer.diff_id), layer.size_bytes).as_bytes())?;
    let mut hashed = Hashed {
        input: LayerContent::new(store, layer),
        hasher: Hasher::new(),
    };
    let copied =
        io::copy(&mut hashed, output).map_err(|error| match error.downcast::<StoreError>() {
            Ok(error) => RebuildError::Store(error),
            Err(error) => RebuildError::Write(error),
        })?;
    let actual = hashed.hasher.finish();
    if copied != layer.size_bytes || actual != layer.diff_id {
        return Err(RebuildError::Layer {
            expected: layer.diff_id,
            actual,
        });
    }
    pad(output, layer.size_bytes)
}

fn put<W: Write>(output: &mut W, path: &str, content: &[u8]) -> Result<(), RebuildError> {
    output.write_all(header(path, content.len() as u64).as_bytes())?;
    output.write_all(content)?;
    pad(output, content.len() as u64)
}

fn pad<W: Write>(output: &mut W, size: u64) -> Result<(), RebuildError> {
    let beyond = usize::try_from(size % 512).unwrap_or_default();
    if beyond > 0 {
        output.write_all(&[0; 512][beyond..])?;
    }
    Ok(())
}

fn header(path: &str, size: u64) -> Header {
    // GNU headers carry sizes beyond 8 GiB; the paths are ours and short.
    let mut header = Header::new_gnu();
    header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
    header.set_entry_type(EntryType::Regular);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(FIXED_TIME_SECONDS);
    header.set_size(size);
    header.set_cksum();
    header
}

fn blob(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

fn descriptor(media_type: &str, digest: &Digest, size: u64) -> serde_json::Value {
    json!({ "mediaType": media_type, "digest": digest, "size": size })
}
