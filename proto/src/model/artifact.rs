//! The artifact index: everything needed to verify and rebuild one image.
//!
//! Its canonical form is JSON with the fields in the order below and no white space; the SHA-256 of that is the
//! artifact's digest.

use serde::{Deserialize, Serialize};

use super::digest::{Digest, DigestError};

/// No chunk has more content than this.
pub const LARGEST_CHUNK_BYTES: u64 = 4 << 20;

/// No chunk's zstd frame is larger: incompressible content grows by less than one part in 256.
pub const LARGEST_FRAME_BYTES: u64 = LARGEST_CHUNK_BYTES + (LARGEST_CHUNK_BYTES >> 8) + 1024;

/// The level of zstd that frames are made with: ~300 MB/s per core, and a quarter smaller than the fastest level.
pub const FRAME_LEVEL: i32 = 3;

/// No patch of a chunk has a larger frame.
pub const LARGEST_PATCH_BYTES: usize = 1 << 20;

/// Of so many kept artifacts, the newest, patches may be made.
pub const MOST_KEPT: usize = 8;

/// No patch needs the contents of more chunks.
pub const MOST_REFERENCES: usize = 3;

/// One image: its configuration and its layers, base first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArtifactIndex {
    pub format: ArtifactFormat,
    /// The image configuration's exact JSON text, which an engine hashes.
    pub config: String,
    pub layers: Vec<Layer>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ArtifactFormat {
    #[default]
    #[serde(rename = "tfleet.artifact.v1")]
    V1,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Layer {
    /// Digest of the layer's uncompressed tar.
    pub diff_id: Digest,
    /// Length of the uncompressed tar: the sum of its chunks' content.
    pub size_bytes: u64,
    pub chunks: Vec<Chunk>,
}

/// A piece of a layer, stored and sent as a zstd frame of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Chunk {
    /// Digest of the uncompressed content; in JSON its 64 digits alone.
    #[serde(rename = "sha256", with = "bare_hex")]
    pub digest: Digest,
    pub content_bytes: u64,
    pub frame_bytes: u64,
}

/// Why some bytes are not an artifact index.
#[derive(Debug, thiserror::Error)]
pub enum ArtifactIndexError {
    #[error("the artifact index is not the JSON of tfleet.artifact.v1")]
    Json(#[source] serde_json::Error),
    #[error("the artifact index is not in its canonical form")]
    NotCanonical,
    #[error(
        "layer {diff_id} of the artifact index says {size_bytes} bytes, its chunks add up to {chunk_bytes}"
    )]
    LayerSize {
        diff_id: Digest,
        size_bytes: u64,
        chunk_bytes: u64,
    },
    #[error(
        "chunk {number} of layer {diff_id} says {content_bytes} bytes of content in {frame_bytes} bytes of frame; \
         at most {LARGEST_CHUNK_BYTES} in {LARGEST_FRAME_BYTES} are allowed"
    )]
    ChunkSize {
        diff_id: Digest,
        number: usize,
        content_bytes: u64,
        frame_bytes: u64,
    },
}

impl ArtifactIndex {
    /// Reads the canonical form and checks that its sizes agree. The caller compares the digest.
    pub fn from_canonical_json(bytes: &[u8]) -> Result<Self, ArtifactIndexError> {
        let index: Self = serde_json::from_slice(bytes).map_err(ArtifactIndexError::Json)?;
        if index.canonical_json() != bytes {
            return Err(ArtifactIndexError::NotCanonical);
        }
        for layer in &index.layers {
            layer.check()?;
        }
        Ok(index)
    }

    #[expect(
        clippy::expect_used,
        reason = "structs of strings and numbers can always be written as JSON"
    )]
    pub fn canonical_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("an artifact index is valid JSON")
    }

    /// The artifact's digest.
    pub fn digest(&self) -> Digest {
        Digest::of(&self.canonical_json())
    }

    pub fn diff_ids(&self) -> impl ExactSizeIterator<Item = Digest> + '_ {
        self.layers.iter().map(|layer| layer.diff_id)
    }

    /// Bytes of all layers, uncompressed.
    pub fn content_bytes(&self) -> u64 {
        self.layers.iter().map(|layer| layer.size_bytes).sum()
    }

    /// Bytes of all chunks' frames.
    pub fn frame_bytes(&self) -> u64 {
        self.layers.iter().map(Layer::frame_bytes).sum()
    }

    /// The chunks of all layers, in order: a chunk's place is its number where chunks have one number over all layers.
    pub fn chunks(&self) -> impl Iterator<Item = &Chunk> + Clone {
        self.layers.iter().flat_map(|layer| &layer.chunks)
    }
}

impl Layer {
    pub fn frame_bytes(&self) -> u64 {
        self.chunks.iter().map(|chunk| chunk.frame_bytes).sum()
    }

    fn check(&self) -> Result<(), ArtifactIndexError> {
        let diff_id = self.diff_id;
        let mut chunk_bytes: u64 = 0;
        for (number, chunk) in self.chunks.iter().enumerate() {
            let Chunk {
                content_bytes,
                frame_bytes,
                ..
            } = *chunk;
            let sizes_are_possible = (1..=LARGEST_CHUNK_BYTES).contains(&content_bytes)
                && (1..=LARGEST_FRAME_BYTES).contains(&frame_bytes);
            if !sizes_are_possible {
                return Err(ArtifactIndexError::ChunkSize {
                    diff_id,
                    number,
                    content_bytes,
                    frame_bytes,
                });
            }
            // At most 4 MiB each: the sum of as many as fit in memory stays far below 2^64.
            chunk_bytes += content_bytes;
        }
        if chunk_bytes == self.size_bytes {
            Ok(())
        } else {
            Err(ArtifactIndexError::LayerSize {
                diff_id,
                size_bytes: self.size_bytes,
                chunk_bytes,
            })
        }
    }
}

/// A digest as its 64 digits without the prefix.
mod bare_hex {
    use serde::de::Error as _;
    use serde::{Deserialize as _, Deserializer, Serializer};

    use super::{Digest, DigestError};

    pub fn serialize<S: Serializer>(digest: &Digest, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&digest.hex())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Digest, D::Error> {
        let text = String::deserialize(deserializer)?;
        Digest::from_hex(&text).map_err(|error: DigestError| D::Error::custom(error))
    }
}
