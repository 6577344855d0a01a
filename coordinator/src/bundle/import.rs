//! The way of a bundle in: verified as it comes, and counting only once all of it did.

use std::collections::BTreeMap;
use std::io::Read;

use tfleet_proto::model::artifact::{ArtifactIndex, Chunk};
use tfleet_proto::model::digest::Digest;
use tfleet_proto::model::name::ReleaseRef;

use super::BundleError;
use super::document::Document;
use super::format::{Header, Kind, Reader};
use crate::artifact::{Artifacts, Import, StoreError};
use crate::build::Lock;
use crate::store::Release;
use crate::vault::{self, Vault};

/// What came with a bundle; its images and locks are stored by now.
#[derive(Debug)]
pub struct Arrived {
    /// As built, in the order of their names.
    pub releases: Vec<Release>,
    pub locks: Vec<Lock>,
    /// Bytes of chunks that came.
    pub chunk_bytes: u64,
    /// Bytes of wheels that came.
    pub wheel_bytes: u64,
}

/// Reads a bundle into the stores. `approve` is asked about its releases before anything else is read. `progress` is told
/// the bytes of the entries read so far.
///
/// # Errors
/// If it is not whole and right, or this site lacks what it builds on. Then no release and no image of it is there; wheels
/// that came stay in the vault, since each is what its name says.
pub fn receive<R: Read>(
    input: R,
    artifacts: &Artifacts,
    vault: &Vault,
    approve: &dyn Fn(&[Document]) -> Result<(), BundleError>,
    progress: &dyn Fn(u64),
) -> Result<Arrived, BundleError> {
    let mut reader = Reader::begin(input)?;
    let mut incoming = Incoming {
        artifacts,
        vault,
        import: Import::begin(artifacts),
        documents: Vec::new(),
        locks: BTreeMap::new(),
        indexes: BTreeMap::new(),
        wanted: BTreeMap::new(),
        is_approved: false,
        chunk_bytes: 0,
        wheel_bytes: 0,
    };
    let mut read_bytes = 0;
    while let Some(header) = reader.next_header()? {
        if header.kind > Kind::Release {
            incoming.ask(approve)?;
        }
        incoming.take(&header, &mut reader)?;
        read_bytes += header.length;
        progress(read_bytes);
    }
    incoming.ask(approve)?;
    incoming.keep()
}

struct Incoming<'a> {
    artifacts: &'a Artifacts,
    vault: &'a Vault,
    import: Import<'a>,
    documents: Vec<Document>,
    locks: BTreeMap<Digest, (Vec<u8>, Lock)>,
    indexes: BTreeMap<Digest, ArtifactIndex>,
    /// Chunks of the indexes.
    wanted: BTreeMap<Digest, Chunk>,
    is_approved: bool,
    chunk_bytes: u64,
    wheel_bytes: u64,
}

impl Incoming<'_> {
    fn ask(
        &mut self,
        approve: &dyn Fn(&[Document]) -> Result<(), BundleError>,
    ) -> Result<(), BundleError> {
        if !self.is_approved {
            approve(&self.documents)?;
            self.is_approved = true;
        }
        Ok(())
    }

    fn take<R: Read>(
        &mut self,
        header: &Header,
        reader: &mut Reader<R>,
    ) -> Result<(), BundleError> {
        let name = header.name;
        let unreadable = |what, why| BundleError::Content {
            what,
            digest: name,
            why,
        };
        match header.kind {
            Kind::Release => {
                let content = reader.content(header)?;
                self.documents.push(Document::read(&name, &content)?);
            }
            Kind::Lock => {
                let content = reader.content(header)?;
                let lock = serde_json::from_slice(&content)
                    .map_err(|error| unreadable("lock", error.to_string()))?;
                self.locks.insert(name, (content, lock));
            }
            Kind::Index => {
                let content = reader.content(header)?;
                let index = ArtifactIndex::from_canonical_json(&content)
                    .map_err(|error| unreadable("index", error.to_string()))?;
                let chunks = index.chunks();
                self.wanted
                    .extend(chunks.map(|chunk| (chunk.digest, *chunk)));
                self.indexes.insert(name, index);
            }
            Kind::Chunk => {
                let frame = reader.content(header)?;
                let chunk = self.wanted.get(&name);
                let chunk = chunk.ok_or(BundleError::Unwanted { digest: name })?;
                // What is wrong came with the bundle: nothing that is stored here is damaged.
                let stored = self.import.store(chunk, &frame);
                stored.map_err(|error| match error {
                    StoreError::Chunk { what, .. } => unreadable("chunk", what.to_owned()),
                    other => other.into(),
                })?;
                self.chunk_bytes += header.length;
            }
            Kind::Wheel => {
                self.vault.keep_as(vault::Kind::Wheel, &name, reader)?;
                self.wheel_bytes += header.length;
            }
        }
        Ok(())
    }

    fn keep(mut self) -> Result<Arrived, BundleError> {
        self.documents.sort_by_key(|document| {
            let ReleaseRef { name, revision } = document.reference();
            (name.to_string(), revision)
        });
        for document in &self.documents {
            for build in &document.builds {
                self.check_image("the image", build.artifact, document)?;
                if let Some((_, lock)) = build.lock.and_then(|lock| self.locks.get(&lock)) {
                    // Only a bundle with wheels brings bases; without them nothing is built from the lock.
                    lock.foundations()
                        .filter(|artifact| self.indexes.contains_key(artifact))
                        .try_for_each(|artifact| {
                            self.check_image("the base", artifact, document)
                        })?;
                }
            }
        }
        let indexes: Vec<_> = self.indexes.into_values().collect();
        self.import.keep(&indexes)?;
        for (text, _) in self.locks.values() {
            self.vault.keep(vault::Kind::Lock, &mut text.as_slice())?;
        }
        let artifacts = self.artifacts;
        let releases = self
            .documents
            .into_iter()
            .map(|document| document.release(artifacts))
            .collect::<Result<_, _>>()?;
        Ok(Arrived {
            releases,
            locks: self.locks.into_values().map(|(_, lock)| lock).collect(),
            chunk_bytes: self.chunk_bytes,
            wheel_bytes: self.wheel_bytes,
        })
    }

    /// Refuses an image that would not be whole.
    fn check_image(
        &self,
        what: &'static str,
        artifact: Digest,
        document: &Document,
    ) -> Result<(), BundleError> {
        let lacks = |what, digest| BundleError::Lacks {
            what,
            digest,
            release: document.reference(),
        };
        match self.indexes.get(&artifact) {
            Some(index) => match self.import.missing(index)? {
                Some(chunk) => Err(lacks("the chunk", chunk)),
                None => Ok(()),
            },
            None => match self.artifacts.known(&artifact)? {
                Some(_) => Ok(()),
                None => Err(lacks(what, artifact)),
            },
        }
    }
}
