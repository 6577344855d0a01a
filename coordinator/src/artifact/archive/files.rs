//! What an archive's files turned out to be, and the image that its manifest makes of them.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;
use tfleet_proto::model::artifact::{ArtifactFormat, ArtifactIndex, Layer};
use tfleet_proto::model::digest::Digest;

use super::{ArchiveError, not_an_image};
use crate::artifact::image_config::{self, ConfigError};

/// A layer as stored, and the digest it had in the archive.
#[derive(Clone)]
pub(super) struct Taken {
    pub layer: Layer,
    pub original: Option<Digest>,
}

/// What the archive's files turned out to be, by their path.
#[derive(Default)]
pub(super) struct Files {
    pub layers: BTreeMap<String, Taken>,
    pub texts: BTreeMap<String, Vec<u8>>,
    pub links: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Manifest {
    config: String,
    layers: Vec<String>,
}

impl Files {
    pub fn into_index(self) -> Result<ArtifactIndex, ArchiveError> {
        let manifest = self.manifest()?;
        let config: Value =
            serde_json::from_slice(self.text(&manifest.config)?).map_err(ConfigError::Json)?;
        let named = image_config::diff_ids(&config)?;
        if named.len() != manifest.layers.len() {
            return Err(ConfigError::Layers {
                named: named.len(),
                present: manifest.layers.len(),
            }
            .into());
        }
        let mut layers = Vec::with_capacity(named.len());
        for (number, (path, expected)) in manifest.layers.iter().zip(named).enumerate() {
            let taken = self.layer(path)?;
            if let Some(actual) = taken.original
                && actual != expected
            {
                return Err(ArchiveError::DiffId {
                    number,
                    expected,
                    actual,
                });
            }
            layers.push(taken.layer.clone());
        }
        let diff_ids: Vec<_> = layers.iter().map(|layer| layer.diff_id).collect();
        let config = image_config::rewrite(&config, &diff_ids)?;
        Ok(ArtifactIndex {
            format: ArtifactFormat::V1,
            config,
            layers,
        })
    }

    /// Of `manifest.json`, or else of an OCI layout's `index.json`.
    fn manifest(&self) -> Result<Manifest, ArchiveError> {
        if let Some(text) = self.texts.get("manifest.json") {
            let mut manifests: Vec<Manifest> = serde_json::from_slice(text).map_err(|error| {
                not_an_image(&format!("its manifest.json cannot be read ({error})"))
            })?;
            return match (manifests.pop(), manifests.len()) {
                (Some(manifest), 0) => Ok(manifest),
                (_, others) => Err(ArchiveError::Several { count: others + 1 }),
            };
        }
        let index = self
            .texts
            .get("index.json")
            .ok_or_else(|| not_an_image("it has no manifest.json"))?;
        let blobs_of = |text: &[u8], list: &str| -> Option<Vec<String>> {
            let value: Value = serde_json::from_slice(text).ok()?;
            value.get(list)?.as_array()?.iter().map(blob_path).collect()
        };
        let unreadable = || not_an_image("its index.json cannot be read");
        let manifests = blobs_of(index, "manifests").ok_or_else(unreadable)?;
        let [manifest] = manifests.as_slice() else {
            return Err(ArchiveError::Several {
                count: manifests.len(),
            });
        };
        let text = self.text(manifest)?;
        let value: Value = serde_json::from_slice(text).map_err(|_| unreadable())?;
        Ok(Manifest {
            config: value
                .get("config")
                .and_then(blob_path)
                .ok_or_else(unreadable)?,
            layers: blobs_of(text, "layers").ok_or_else(unreadable)?,
        })
    }

    fn text(&self, path: &str) -> Result<&[u8], ArchiveError> {
        let text = self
            .texts
            .get(path)
            .ok_or_else(|| not_an_image(&format!("its file {path} is missing")))?;
        Ok(text)
    }

    fn layer(&self, path: &str) -> Result<&Taken, ArchiveError> {
        // Engines link a repeated layer to its first occurrence; links to links do not occur.
        let path = self.links.get(path).map_or(path, String::as_str);
        self.layers
            .get(path)
            .ok_or_else(|| not_an_image(&format!("its layer {path} is missing")))
    }
}

/// `{"digest": "sha256:HEX"}` as the path of its blob.
fn blob_path(descriptor: &Value) -> Option<String> {
    let digest: Digest = descriptor.get("digest")?.as_str()?.parse().ok()?;
    Some(blob(&digest))
}

pub(super) fn blob(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}
