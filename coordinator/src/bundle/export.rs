//! What goes into a bundle, and its way out.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;

use tfleet_proto::model::artifact::{ArtifactIndex, Chunk};
use tfleet_proto::model::digest::Digest;
use tfleet_proto::model::name::{ReleaseRef, VariantId};

use super::document::Document;
use super::format::{self, Header, Kind, Writer};
use super::{BundleError, Have};
use crate::artifact::Artifacts;
use crate::build::{Lock, installer};
use crate::store::Release;
use crate::vault::{self, Vault};

/// Everything that a bundle will hold, in its order.
#[derive(Debug)]
pub struct Contents {
    artifacts: Artifacts,
    entries: BTreeMap<(Kind, Digest), Source>,
}

#[derive(Debug)]
enum Source {
    Text(Vec<u8>),
    Chunk(Chunk),
    File { path: PathBuf, size_bytes: u64 },
}

/// What the other side lacks of `releases`; with wheels also of what they can be built from again.
///
/// # Errors
/// If a variant is not built, or anything of it is gone.
pub fn gather(
    releases: &[Release],
    artifacts: &Artifacts,
    vault: &Vault,
    have: &Have,
    with_wheels: bool,
) -> Result<Contents, BundleError> {
    let mut contents = Contents {
        artifacts: artifacts.clone(),
        entries: BTreeMap::new(),
    };
    for release in releases {
        let document = Document::of(release)?;
        for build in &release.builds {
            let of = Of {
                release: &release.reference,
                variant: &build.variant,
                have,
                vault,
            };
            if let Some(artifact) = build.artifact {
                contents.add_artifact(&of, artifact)?;
            }
            if let Some(lock) = build.lock {
                contents.add_lock(&of, lock, with_wheels)?;
            }
        }
        let text = document.json();
        let key = (Kind::Release, Digest::of(&text));
        contents.entries.insert(key, Source::Text(text));
    }
    Ok(contents)
}

/// Whose entry it is, and who lacks it.
struct Of<'a> {
    release: &'a ReleaseRef,
    variant: &'a VariantId,
    have: &'a Have,
    vault: &'a Vault,
}

impl Contents {
    /// Bytes of the bundle, but for the few of its manifest.
    pub fn bytes(&self) -> u64 {
        format::length(self.entries.values().map(Source::length))
    }

    /// Writes the bundle. Memory is bounded by one chunk.
    ///
    /// # Errors
    /// If the output fails, or something that is stored is found damaged.
    pub fn write<W: Write>(self, output: W) -> Result<W, BundleError> {
        let mut writer = Writer::begin(output).map_err(read_error)?;
        for ((kind, name), source) in self.entries {
            let header = Header {
                kind,
                name,
                length: source.length(),
            };
            match source {
                Source::Text(text) => writer.add(&header, &mut text.as_slice()),
                Source::Chunk(chunk) => {
                    self.artifacts.verify_frame(&chunk)?;
                    let frame = self
                        .artifacts
                        .read_frame_part(&chunk, 0, chunk.frame_bytes)?;
                    writer.add(&header, &mut frame.as_slice())
                }
                Source::File { path, .. } => {
                    File::open(path).and_then(|mut file| writer.add(&header, &mut file))
                }
            }
            .map_err(read_error)?;
        }
        writer.finish().map_err(read_error)
    }

    fn add_artifact(&mut self, of: &Of<'_>, artifact: Digest) -> Result<(), BundleError> {
        let index = self.artifacts.known(&artifact)?;
        let index = index.ok_or_else(|| BundleError::Gone {
            release: of.release.clone(),
            variant: of.variant.clone(),
            artifact,
        })?;
        self.add_index(of, artifact, &index);
        Ok(())
    }

    fn add_index(&mut self, of: &Of<'_>, artifact: Digest, index: &ArtifactIndex) {
        if of.have.has(Kind::Index, &artifact) {
            return;
        }
        let text = Source::Text(index.canonical_json());
        self.entries.insert((Kind::Index, artifact), text);
        for chunk in index.chunks() {
            if !of.have.has(Kind::Chunk, &chunk.digest) {
                let key = (Kind::Chunk, chunk.digest);
                self.entries.insert(key, Source::Chunk(*chunk));
            }
        }
    }

    fn add_lock(
        &mut self,
        of: &Of<'_>,
        digest: Digest,
        with_wheels: bool,
    ) -> Result<(), BundleError> {
        let Some(text) = of.vault.lock(&digest)? else {
            // Built by a version that did not keep it. Without wheels it is of no use to anybody.
            return if with_wheels {
                Err(of.not_kept(format!("the lock {digest}")))
            } else {
                Ok(())
            };
        };
        if with_wheels {
            let lock: Lock =
                serde_json::from_slice(&text).map_err(|error| BundleError::Content {
                    what: "lock",
                    digest,
                    why: error.to_string(),
                })?;
            for artifact in lock.foundations() {
                self.add_artifact(of, artifact)?;
            }
            let uv = installer(lock.architecture);
            for wheel in lock.wheels().chain([&uv]) {
                self.add_wheel(of, wheel.sha256, &wheel.file)?;
            }
        }
        if !of.have.has(Kind::Lock, &digest) {
            self.entries
                .insert((Kind::Lock, digest), Source::Text(text));
        }
        Ok(())
    }

    fn add_wheel(&mut self, of: &Of<'_>, digest: Digest, file: &str) -> Result<(), BundleError> {
        let key = (Kind::Wheel, digest);
        if of.have.has(Kind::Wheel, &digest) || self.entries.contains_key(&key) {
            return Ok(());
        }
        let kept = of.vault.verify(vault::Kind::Wheel, &digest)?;
        let kept = kept.ok_or_else(|| of.not_kept(format!("the wheel {file}")))?;
        let source = Source::File {
            path: of.vault.path(vault::Kind::Wheel, &digest),
            size_bytes: kept.size_bytes,
        };
        self.entries.insert(key, source);
        Ok(())
    }
}

impl Of<'_> {
    fn not_kept(&self, what: String) -> BundleError {
        BundleError::NotKept {
            release: self.release.clone(),
            variant: self.variant.clone(),
            what,
        }
    }
}

impl Source {
    fn length(&self) -> u64 {
        match self {
            Self::Text(text) => text.len() as u64,
            Self::Chunk(chunk) => chunk.frame_bytes,
            Self::File { size_bytes, .. } => *size_bytes,
        }
    }
}

fn read_error(error: io::Error) -> BundleError {
    BundleError::Format(super::format::FormatError::from_read(error))
}
