//! The archive that engines load: an OCI layout with a `manifest.json` beside it.
//!
//! It is the one form that 20.10, 26.1 and 28.x take, on the graph driver and on a containerd store, with the layers
//! left out that they have. A layer is never left out as an empty file: a containerd store takes that for the layer.

use std::collections::BTreeSet;

use bytes::{Bytes, BytesMut};
use serde_json::{Value, json};
use tar::{EntryType, Header};
use tfleet_proto::model::artifact::{ArtifactIndex, Layer};
use tfleet_proto::model::digest::Digest;

/// Tars are made of blocks of this size.
const BLOCK_BYTES: u64 = 512;
const END_BLOCKS: [u8; 1024] = [0; 1024];

/// An archive to be written: first [`Self::head`], then each layer of [`Self::layers`] as header, content and padding,
/// then [`Self::end`].
#[derive(Debug)]
pub struct Archive<'a> {
    index: &'a ArtifactIndex,
    /// Lowest layers that are left out.
    present: usize,
    manifest: String,
}

impl<'a> Archive<'a> {
    /// `present` of the lowest layers are left out.
    pub fn new(index: &'a ArtifactIndex, present: usize) -> Self {
        let config = index.config.as_bytes();
        let layers = index.layers.iter().map(|layer| {
            descriptor(
                "application/vnd.oci.image.layer.v1.tar",
                &layer.diff_id,
                layer.size_bytes,
            )
        });
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": descriptor("application/vnd.oci.image.config.v1+json", &Digest::of(config), config.len() as u64),
            "layers": layers.collect::<Vec<_>>(),
        });
        Self {
            index,
            present,
            manifest: manifest.to_string(),
        }
    }

    /// What a graph driver names the image.
    pub fn config_digest(&self) -> Digest {
        Digest::of(self.index.config.as_bytes())
    }

    /// What a containerd store names the image.
    pub fn manifest_digest(&self) -> Digest {
        Digest::of(self.manifest.as_bytes())
    }

    /// The layers that the archive holds, each once.
    pub fn layers(&self) -> impl Iterator<Item = &'a Layer> + use<'a> {
        let mut seen = BTreeSet::new();
        self.index
            .layers
            .iter()
            .skip(self.present)
            .filter(move |layer| seen.insert(layer.diff_id))
    }

    /// Everything but the layers: the image, under the one name `reference` ("repository:tag").
    pub fn head(&self, reference: &str) -> Bytes {
        let manifest_digest = self.manifest_digest();
        let mut descriptor = descriptor(
            "application/vnd.oci.image.manifest.v1+json",
            &manifest_digest,
            self.manifest.len() as u64,
        );
        descriptor["annotations"] = json!({
            "io.containerd.image.name": format!("docker.io/{reference}"),
            "org.opencontainers.image.ref.name": reference.rsplit(':').next().unwrap_or(reference),
        });
        let oci_index = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.index.v1+json",
            "manifests": [descriptor],
        });
        let config_path = blob(&self.config_digest());
        let paths: Vec<_> = self
            .index
            .diff_ids()
            .map(|diff_id| blob(&diff_id))
            .collect();
        let docker = json!([{ "Config": config_path, "RepoTags": [reference], "Layers": paths }]);
        let mut head = BytesMut::new();
        put(
            &mut head,
            "oci-layout",
            br#"{"imageLayoutVersion":"1.0.0"}"#,
        );
        put(&mut head, "index.json", oci_index.to_string().as_bytes());
        put(&mut head, "manifest.json", docker.to_string().as_bytes());
        put(&mut head, &blob(&manifest_digest), self.manifest.as_bytes());
        put(&mut head, &config_path, self.index.config.as_bytes());
        head.freeze()
    }

    /// What stands before a layer's content.
    pub fn header(layer: &Layer) -> Bytes {
        Bytes::copy_from_slice(header(&blob(&layer.diff_id), layer.size_bytes).as_bytes())
    }

    /// What stands after a layer's content.
    pub fn padding(layer: &Layer) -> Bytes {
        padding(layer.size_bytes)
    }

    pub fn end() -> Bytes {
        Bytes::from_static(&END_BLOCKS)
    }
}

fn put(archive: &mut BytesMut, path: &str, content: &[u8]) {
    let size = content.len() as u64;
    archive.extend_from_slice(header(path, size).as_bytes());
    archive.extend_from_slice(content);
    archive.extend_from_slice(&padding(size));
}

fn padding(size: u64) -> Bytes {
    let length = size.next_multiple_of(BLOCK_BYTES) - size;
    // Less than a block.
    Bytes::from_static(&END_BLOCKS[..usize::try_from(length).unwrap_or_default()])
}

fn header(path: &str, size: u64) -> Header {
    // GNU headers carry sizes beyond 8 GiB; the paths are ours and short.
    let mut header = Header::new_gnu();
    header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
    header.set_entry_type(EntryType::Regular);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(size);
    header.set_cksum();
    header
}

fn blob(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

fn descriptor(media_type: &str, digest: &Digest, size: u64) -> Value {
    json!({ "mediaType": media_type, "digest": digest, "size": size })
}
