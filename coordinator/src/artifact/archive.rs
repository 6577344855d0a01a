//! Takes an image archive into the store in one pass, with no second copy on disk.
//!
//! Which of the archive's files are layers is known only at its end (`manifest.json` comes last in a `docker save`), so
//! every file that is a tar, whatever its name, is stored as a layer when it passes; the manifest then says which of
//! them make the image. Both forms pass: `ID/layer.tar` of old engines, with links for repeated layers, and
//! `blobs/sha256/HEX` of newer ones and of OCI layouts. A plain root file system is recognised by its first entry.

use std::io::{self, BufReader, Read};

use tfleet_compat::Architecture;
use tfleet_proto::model::artifact::{ArtifactFormat, ArtifactIndex, Layer};
use tfleet_proto::model::digest::{Digest, Hasher};

use super::entries::{Entries, Kind, Node, TarError};
use super::image_config::{self, ConfigError};
use super::intake::Intake;
use super::layer::{ChunkPool, LayerWriter};
use super::normalise::{NormaliseError, Times, normalise};
use super::secrets::{Scan, SecretFound, Secrets};
use super::unpack::{Content, sniff};
use super::{Artifacts, StoreError};

/// Manifests and configurations are kilobytes.
const LARGEST_JSON_BYTES: u64 = 4 << 20;
const LARGEST_JSON_TOTAL_BYTES: usize = 32 << 20;

/// Who made an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// We, through the builder's engine just now: what lies on these layers of the base gets fixed times. The base's own
    /// layers stay as they are, since their times may be others'.
    Build { base: Vec<Layer> },
    /// Somebody, and an engine has it.
    Engine,
    /// Somebody: each layer must have the diff ID that the configuration says.
    Foreign,
    /// Somebody, too: a root file system, which becomes an image, or an image archive after all. The architecture is that
    /// of the first program in it, or else this one.
    RootFileSystem { architecture: Architecture },
    /// We: a root file system of this architecture.
    Bootstrap { architecture: Architecture },
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
            store,
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
    store: &'a Artifacts,
    pool: &'a ChunkPool,
    origin: Origin,
    secrets: &'a Secrets,
    progress: &'a (dyn Fn(u64) + Sync),
    stored_bytes: u64,
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
            Origin::RootFileSystem { architecture } | Origin::Bootstrap { architecture }
                if !begins_image_archive(&first) =>
            {
                let layer = self.take_layer(whole, self.times(""))?.layer;
                let found = match self.origin {
                    Origin::RootFileSystem { .. } => elf::architecture_in(self.store, &layer)?,
                    _ => None,
                };
                let architecture = found.unwrap_or(architecture);
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
                        let times = self.times(&path);
                        let taken = self.take_layer(layer, times)?;
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

    /// What becomes of the times in the layer at `path`.
    fn times(&self, path: &str) -> Times {
        match &self.origin {
            // Newer engines name a layer by its diff ID. With older ones the base's layers are recognised when they have
            // passed.
            Origin::Build { base } if base.iter().any(|layer| path == blob(&layer.diff_id)) => {
                Times::Kept
            }
            Origin::Build { .. } | Origin::Bootstrap { .. } => Times::Fixed,
            Origin::Engine | Origin::Foreign | Origin::RootFileSystem { .. } => Times::Kept,
        }
    }

    fn take_layer<R: Read>(&mut self, input: R, times: Times) -> Result<Taken, ArchiveError> {
        let counted = Counted {
            output: self.pool.layer(),
            stored_bytes: &mut self.stored_bytes,
            progress: self.progress,
        };
        let mut scan = Scan::new(counted, self.secrets, "layers");
        if self.origin == Origin::Engine {
            normalise(input, times, &mut scan).map_err(unwrapped)?;
            return Ok(Taken {
                layer: scan.into_inner().output.finish()?,
                original: None,
            });
        }
        let hashed = Hashed {
            input,
            hasher: Hasher::new(),
        };
        let hashed = normalise(hashed, times, &mut scan).map_err(unwrapped)?;
        let original = hashed.hasher.finish();
        let layer = scan.into_inner().output.finish()?;
        Ok(match &self.origin {
            Origin::Build { base } => {
                let own = base.iter().find(|layer| layer.diff_id == original);
                Taken {
                    layer: own.cloned().unwrap_or(layer),
                    original: None,
                }
            }
            _ => Taken {
                layer,
                original: Some(original),
            },
        })
    }
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

mod elf;
mod files;
mod pass;

pub use elf::architecture_of;
use files::{Files, Taken, blob};
pub use pass::Hashed;
use pass::{Counted, Recorded};
