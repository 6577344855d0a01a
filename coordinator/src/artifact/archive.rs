//! Takes an image archive into the store in one pass, with no second copy on disk.
//!
//! Which of the archive's files are layers is known only at its end (`manifest.json` comes last in a `docker save`), so
//! every file that is a tar, whatever its name, is stored as a layer when it passes; the manifest then says which of
//! them make the image. Both forms pass: `ID/layer.tar` of old engines, with links for repeated layers, and
//! `blobs/sha256/HEX` of newer ones and of OCI layouts. A plain root file system is recognised by its first entry.

use std::collections::BTreeMap;
use std::io::{self, BufReader, Read};

use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tfleet_compat::Architecture;
use tfleet_proto::model::artifact::{ArtifactFormat, ArtifactIndex, Layer};
use tfleet_proto::model::digest::Digest;

use super::entries::{Entries, Kind, Node, TarError};
use super::image_config::{self, ConfigError};
use super::intake::Intake;
use super::layer::{ChunkPool, LayerWriter};
use super::normalise::{NormaliseError, normalise};
use super::secrets::{Scan, SecretFound, Secrets};
use super::unpack::{Content, sniff};
use super::{Artifacts, StoreError};

/// Manifests and configurations are kilobytes.
const LARGEST_JSON_BYTES: u64 = 4 << 20;
const LARGEST_JSON_TOTAL_BYTES: usize = 32 << 20;

/// Who made an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The builder's engine just now, through its socket.
    Engine,
    /// Somebody: each layer must have the diff ID that the configuration says.
    Foreign,
    /// Somebody, too: a root file system, which becomes an image of this architecture, or an image archive after all.
    RootFileSystem { architecture: Architecture },
}

/// An image that is now in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    pub artifact: Digest,
    pub index: ArtifactIndex,
}

/// Why an archive was not taken.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    #[error(transparent)]
    Tar(#[from] TarError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Secret(#[from] SecretFound),
    #[error("it is not an image archive: {why}")]
    NotAnImage { why: String },
    #[error("the archive holds {count} images; one is wanted")]
    Several { count: usize },
    #[error("layer {number} has the diff ID {actual}, its image says {expected}")]
    DiffId {
        number: usize,
        expected: Digest,
        actual: Digest,
    },
}

/// Takes the archive `input` into the store. `progress` is told the bytes of layers stored so far.
///
/// # Errors
/// If it is not exactly one whole image, holds one of `secrets`, or cannot be stored. What was stored until then goes.
pub fn receive<R: Read>(
    input: R,
    store: &Artifacts,
    origin: Origin,
    secrets: &Secrets,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<Received, ArchiveError> {
    let folder = store.chunks_folder();
    let intake = Intake::begin(store);
    let index = std::thread::scope(|scope| {
        let pool = ChunkPool::start(scope, &folder, &intake);
        let reader = ArchiveReader {
            pool: &pool,
            origin,
            secrets,
            progress,
            stored_bytes: 0,
        };
        reader.image(input)
    })?;
    secrets.check(index.config.as_bytes(), "configuration or history")?;
    let artifact = intake.keep(&index)?;
    Ok(Received { artifact, index })
}

struct ArchiveReader<'a> {
    pool: &'a ChunkPool,
    origin: Origin,
    secrets: &'a Secrets,
    progress: &'a (dyn Fn(u64) + Sync),
    stored_bytes: u64,
}

/// A layer as stored, and the digest it had in the archive.
#[derive(Clone)]
struct Taken {
    layer: Layer,
    original: Option<Digest>,
}

/// What the archive's files turned out to be, by their path.
#[derive(Default)]
struct Files {
    layers: BTreeMap<String, Taken>,
    texts: BTreeMap<String, Vec<u8>>,
    links: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Manifest {
    config: String,
    layers: Vec<String>,
}

impl ArchiveReader<'_> {
    fn image<R: Read>(mut self, input: R) -> Result<ArtifactIndex, ArchiveError> {
        let Content::Tar(unpacked) = sniff(input).map_err(TarError::Read)? else {
            return Err(not_an_image(
                "it is neither a tar file nor a compressed one",
            ));
        };
        let mut input = BufReader::with_capacity(1 << 20, unpacked);
        let mut peeked = Recorded {
            input: &mut input,
            record: Vec::new(),
        };
        let first = Entries::new(&mut peeked)
            .next_node()?
            .ok_or_else(|| not_an_image("it is empty"))?;
        let whole = io::Cursor::new(peeked.record).chain(input);
        match self.origin {
            Origin::RootFileSystem { architecture } if !begins_image_archive(&first) => {
                let layer = self.take_layer(whole)?.layer;
                let config = image_config::of_root_file_system(architecture, &layer.diff_id);
                Ok(ArtifactIndex {
                    format: ArtifactFormat::V1,
                    config,
                    layers: vec![layer],
                })
            }
            _ => self.files(whole)?.into_index(),
        }
    }

    fn files<R: Read>(&mut self, input: R) -> Result<Files, ArchiveError> {
        let mut entries = Entries::new(input);
        let mut files = Files::default();
        let mut text_bytes = 0;
        while let Some(node) = entries.next_node()? {
            let path = String::from_utf8_lossy(&node.path).into_owned();
            // Names are kept, too, and a compressed archive can hold millions.
            text_bytes += path.len() + node.link.len();
            if text_bytes > LARGEST_JSON_TOTAL_BYTES {
                return Err(too_much_text());
            }
            match node.kind {
                Kind::File => match sniff(entries.content()).map_err(from_read)? {
                    Content::Tar(layer) => {
                        let taken = self.take_layer(layer)?;
                        files.layers.insert(path, taken);
                    }
                    Content::Json(mut text) if node.size <= LARGEST_JSON_BYTES => {
                        let mut bytes = Vec::new();
                        text.read_to_end(&mut bytes).map_err(from_read)?;
                        text_bytes += bytes.len();
                        if text_bytes > LARGEST_JSON_TOTAL_BYTES {
                            return Err(too_much_text());
                        }
                        files.texts.insert(path, bytes);
                    }
                    Content::Json(_) | Content::Other => {}
                },
                Kind::Symlink | Kind::HardLink => {
                    let target = link_target(&node, &path)?;
                    files.links.insert(path, target);
                }
                _ => {}
            }
        }
        entries.drain()?;
        Ok(files)
    }

    fn take_layer<R: Read>(&mut self, input: R) -> Result<Taken, ArchiveError> {
        let counted = Counted {
            output: self.pool.layer(),
            stored_bytes: &mut self.stored_bytes,
            progress: self.progress,
        };
        let mut scan = Scan::new(counted, self.secrets, "layers");
        let original = if self.origin == Origin::Engine {
            normalise(input, &mut scan).map_err(unwrapped)?;
            None
        } else {
            let hashed = Hashed {
                input,
                hasher: Sha256::new(),
            };
            let hashed = normalise(hashed, &mut scan).map_err(unwrapped)?;
            Some(Digest::from_bytes(hashed.hasher.finalize().into()))
        };
        Ok(Taken {
            layer: scan.into_inner().output.finish()?,
            original,
        })
    }
}

impl Files {
    fn into_index(self) -> Result<ArtifactIndex, ArchiveError> {
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
    Some(format!("blobs/sha256/{}", digest.hex()))
}

/// Whether an archive that begins so is one of an image, rather than a root file system.
fn begins_image_archive(first: &Node) -> bool {
    let path = String::from_utf8_lossy(&first.path);
    let name = path.split(['/', '.']).next().unwrap_or_default();
    matches!(
        path.as_ref(),
        "manifest.json" | "index.json" | "oci-layout" | "repositories"
    ) || name == "blobs"
        || Digest::from_hex(name).is_ok()
}

/// Where a link in the archive leads, as a path in the archive.
fn link_target(node: &Node, path: &str) -> Result<String, ArchiveError> {
    let link = String::from_utf8_lossy(&node.link);
    if node.kind == Kind::HardLink {
        return Ok(link.into_owned());
    }
    let escape = || TarError::Escape {
        path: path.to_owned(),
    };
    let mut parts: Vec<&str> = path.split('/').collect();
    parts.pop();
    for part in link.split('/') {
        match part {
            ".." => parts.pop().map(drop).ok_or_else(escape)?,
            "" | "." => {}
            name => parts.push(name),
        }
    }
    Ok(parts.join("/"))
}

fn too_much_text() -> ArchiveError {
    not_an_image("it holds more names and descriptions than any image has")
}

fn not_an_image(why: &str) -> ArchiveError {
    ArchiveError::NotAnImage {
        why: why.to_owned(),
    }
}

fn from_read(error: io::Error) -> ArchiveError {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => TarError::Truncated {
            place: "within an entry",
        }
        .into(),
        _ => TarError::Read(error).into(),
    }
}

/// The error that a writer below passed through `io::Error`.
fn unwrapped(error: NormaliseError) -> ArchiveError {
    match error {
        NormaliseError::Input(error) => error.into(),
        NormaliseError::Output(error) => match error.downcast::<StoreError>() {
            Ok(store) => store.into(),
            Err(error) => match error.downcast::<SecretFound>() {
                Ok(found) => found.into(),
                Err(error) => TarError::Read(error).into(),
            },
        },
    }
}

mod pass;
pub use pass::Hashed;
use pass::{Counted, Recorded};
