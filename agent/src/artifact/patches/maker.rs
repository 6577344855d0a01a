//! From a patch and kept chunks to a chunk.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use tfleet_proto::model::artifact::{Chunk, LARGEST_PATCH_BYTES, MOST_REFERENCES};
use tfleet_proto::model::digest::Digest;
use tfleet_proto::wire;
use tracing::warn;
use zstd::zstd_safe::DCtx;

use super::super::kept::Kept;
use super::super::spool::{Spool, SpoolError};

/// Contents that were needed last: the next chunk's references are mostly among them.
const CONTENTS_HELD: usize = MOST_REFERENCES + 1;

/// Makes chunks of one artifact. Holds the contents of a few chunks.
#[derive(Debug)]
pub(super) struct Maker {
    /// By their numbers.
    chunks: Arc<[Chunk]>,
    spool: Spool,
    kept: Vec<Kept>,
    /// Which of the kept artifacts has a chunk.
    owners: HashMap<Digest, (usize, Chunk)>,
    contents: VecDeque<(Digest, Bytes)>,
    prefix: Vec<u8>,
    /// Of the frames that are kept.
    level: i32,
}

/// Why a patch did not make its chunk.
#[derive(Debug, thiserror::Error)]
enum MakeError {
    #[error("it is malformed")]
    Malformed,
    #[error("chunk {0}, which it refers to, is not kept")]
    Gone(Digest),
    #[error("it makes other content than the index says")]
    OtherContent,
    #[error(transparent)]
    Spool(#[from] SpoolError),
}

impl Maker {
    /// Blocks.
    pub fn new(chunks: Arc<[Chunk]>, spool: Spool, kept: Vec<Kept>, level: i32) -> Self {
        let mut owners = HashMap::new();
        for (place, kept) in kept.iter().enumerate() {
            for chunk in kept.index.chunks().filter(|chunk| kept.has(chunk)) {
                owners.entry(chunk.digest).or_insert((place, *chunk));
            }
        }
        Self {
            chunks,
            spool,
            kept,
            owners,
            contents: VecDeque::new(),
            prefix: Vec::new(),
            level,
        }
    }

    /// Puts the chunk into the spool, and gives the length of its content. None: it is fetched as usual. Blocks.
    pub fn make(&mut self, patch: &wire::Patch) -> Option<u64> {
        match self.made(patch) {
            Ok(content_bytes) => Some(content_bytes),
            Err(error) => {
                warn!(chunk = patch.chunk, %error, "a patch cannot be used; the chunk is fetched");
                None
            }
        }
    }

    fn made(&mut self, patch: &wire::Patch) -> Result<u64, MakeError> {
        let chunk = usize::try_from(patch.chunk)
            .ok()
            .and_then(|number| self.chunks.get(number));
        let chunk = *chunk.ok_or(MakeError::Malformed)?;
        if patch.references.len() > MOST_REFERENCES || patch.frame.len() > LARGEST_PATCH_BYTES {
            return Err(MakeError::Malformed);
        }
        self.prefix.clear();
        for reference in &patch.references {
            let digest = reference
                .as_slice()
                .try_into()
                .map_err(|_| MakeError::Malformed)?;
            let content = self.content(Digest::from_bytes(digest))?;
            self.prefix.extend_from_slice(&content);
        }
        let Some(content) = decoded(&self.prefix, &patch.frame, &chunk) else {
            self.prove_references();
            return Err(MakeError::OtherContent);
        };
        self.spool.put_made(&chunk, content.into(), self.level)?;
        Ok(chunk.content_bytes)
    }

    /// Something is wrong with a patch, or with what it refers to: what is damaged is removed.
    fn prove_references(&mut self) {
        for (digest, _) in self.contents.drain(..) {
            let owner = self.owners.get(&digest);
            let kept = owner.and_then(|(place, chunk)| Some((self.kept.get(*place)?, chunk)));
            if let Some(Err(error)) = kept.map(|(kept, chunk)| kept.spool().read(chunk)) {
                warn!(%error, "a kept chunk cannot be proven");
            }
        }
    }

    fn content(&mut self, digest: Digest) -> Result<Bytes, MakeError> {
        if let Some((_, content)) = self.contents.iter().find(|(held, _)| *held == digest) {
            return Ok(content.clone());
        }
        let (owner, chunk) = self.owners.get(&digest).ok_or(MakeError::Gone(digest))?;
        let owner = self.kept.get(*owner).ok_or(MakeError::Gone(digest))?;
        let content = match owner.spool().read_unproven(chunk) {
            Some(content) => content.into(),
            // What is damaged is removed, and another frame of it may be there.
            None => owner.spool().read(chunk)?.ok_or(MakeError::Gone(digest))?,
        };
        if self.contents.len() == CONTENTS_HELD {
            self.contents.pop_front();
        }
        self.contents.push_back((digest, content.clone()));
        Ok(content)
    }
}

/// The chunk's content, if it is what the frame makes. No frame makes this use more memory than that.
fn decoded(prefix: &[u8], frame: &[u8], chunk: &Chunk) -> Option<Vec<u8>> {
    let mut content = Vec::with_capacity(usize::try_from(chunk.content_bytes).ok()?);
    let mut context = DCtx::create();
    context.ref_prefix(prefix).ok()?;
    context.decompress(&mut content, frame).ok()?;
    let is_it = content.len() as u64 == chunk.content_bytes && Digest::of(&content) == chunk.digest;
    is_it.then_some(content)
}
