//! Gives hosts the artifacts that they shall have: indexes, and chunks of layers in the order asked for.
//!
//! A stream reads two parts ahead and holds no more than those, so that thousands of slow hosts cost memory by the
//! megabyte and no thread waits for any of them. What is read is verified against what was written before its first
//! byte leaves.

mod handing_out;
mod neighbours;

use std::pin::Pin;
use std::sync::Arc;

use futures::{Stream, StreamExt as _, stream};
use tfleet_proto::model::artifact::{Chunk, Layer};
use tfleet_proto::model::digest::Digest;
use tfleet_proto::wire;
use tonic::{Extensions, Request, Response, Status};

pub use handing_out::{HandingOut, Step};
pub use neighbours::{Degree, Member, Neighbours};

use crate::artifact::{Artifacts, StoreError};

/// Large enough to cost little per byte, small enough for the receiver's window.
const PART_BYTES: u64 = 512 << 10;

/// One on its way out, one being read.
const READ_AHEAD: usize = 2;

/// Who may have what.
pub trait Access: Send + Sync + 'static {
    /// Whether the peer of a request, as its connection's extensions tell, shall have the artifact.
    ///
    /// # Errors
    /// NOT_FOUND if not: a host learns nothing of other hosts' artifacts.
    fn check(&self, peer: &Extensions, artifact: &Digest) -> Result<(), Status>;
}

/// Serves `tfleet.v1.Artifacts`.
#[derive(Debug)]
pub struct ArtifactsService<A> {
    artifacts: Artifacts,
    access: Arc<A>,
}

impl<A: Access> ArtifactsService<A> {
    pub fn new(artifacts: Artifacts, access: Arc<A>) -> Self {
        Self { artifacts, access }
    }

    fn allowed<T>(&self, request: &Request<T>, artifact: &str) -> Result<Digest, Status> {
        let digest: Digest = artifact
            .parse()
            .map_err(|error| Status::invalid_argument(format!("artifact: {error}")))?;
        self.access.check(request.extensions(), &digest)?;
        Ok(digest)
    }
}

#[tonic::async_trait]
impl<A: Access> wire::artifacts_server::Artifacts for ArtifactsService<A> {
    async fn get_index(
        &self,
        request: Request<wire::GetIndexRequest>,
    ) -> Result<Response<wire::GetIndexResponse>, Status> {
        let digest = self.allowed(&request, &request.get_ref().artifact)?;
        let store = self.artifacts.clone();
        let index = blocking(move || store.index_text(&digest))
            .await?
            .ok_or_else(|| unknown(&digest))?;
        Ok(Response::new(wire::GetIndexResponse { index }))
    }

    type FetchChunksStream = Pin<Box<dyn Stream<Item = Result<wire::Chunk, Status>> + Send>>;

    async fn fetch_chunks(
        &self,
        request: Request<wire::FetchChunksRequest>,
    ) -> Result<Response<Self::FetchChunksStream>, Status> {
        let digest = self.allowed(&request, &request.get_ref().artifact)?;
        let request = request.into_inner();
        let diff_id: Digest = request
            .diff_id
            .parse()
            .map_err(|error| Status::invalid_argument(format!("diff_id: {error}")))?;
        let store = self.artifacts.clone();
        let index = blocking(move || store.index(&digest))
            .await?
            .ok_or_else(|| unknown(&digest))?;
        let layer = index
            .layers
            .into_iter()
            .find(|layer| layer.diff_id == diff_id)
            .ok_or_else(|| {
                Status::not_found(format!("artifact {digest} has no layer {diff_id}"))
            })?;
        let chunks = asked(&layer, request.first_chunk, request.chunk_count)?;
        let store = self.artifacts.clone();
        let parts = stream::iter(
            chunks
                .into_iter()
                .flat_map(|(number, chunk)| parts(number, chunk)),
        )
        .map(move |part| read(store.clone(), part))
        .buffered(READ_AHEAD);
        Ok(Response::new(Box::pin(parts)))
    }
}

/// A piece of a chunk's frame that becomes one message.
#[derive(Debug, Clone, Copy)]
struct Part {
    number: u32,
    chunk: Chunk,
    offset: u64,
    length: u64,
}

fn parts(number: u32, chunk: Chunk) -> impl Iterator<Item = Part> {
    let count = chunk.frame_bytes.div_ceil(PART_BYTES);
    (0..count).map(move |part| {
        let offset = part * PART_BYTES;
        Part {
            number,
            chunk,
            offset,
            length: PART_BYTES.min(chunk.frame_bytes - offset),
        }
    })
}

async fn read(store: Artifacts, part: Part) -> Result<wire::Chunk, Status> {
    let Part {
        number,
        chunk,
        offset,
        length,
    } = part;
    let frame_part = blocking(move || {
        if offset == 0 {
            store.verify_frame(&chunk)?;
        }
        store.read_frame_part(&chunk, offset, length)
    })
    .await?;
    Ok(wire::Chunk {
        number,
        frame_part: frame_part.into(),
        last_part: offset + length == chunk.frame_bytes,
    })
}

/// The chunks from `first` on, `count` of them or, if that is zero, all.
fn asked(layer: &Layer, first: u32, count: u32) -> Result<Vec<(u32, Chunk)>, Status> {
    let beyond = || {
        let (diff_id, chunks) = (layer.diff_id, layer.chunks.len());
        Status::out_of_range(format!(
            "layer {diff_id} has {chunks} chunks; {count} from number {first} on were asked for"
        ))
    };
    let start = usize::try_from(first).map_err(|_| beyond())?;
    let end = match count {
        0 => layer.chunks.len(),
        _ => start
            .checked_add(usize::try_from(count).map_err(|_| beyond())?)
            .ok_or_else(beyond)?,
    };
    let chunks = layer.chunks.get(start..end).ok_or_else(beyond)?;
    Ok((first..).zip(chunks.iter().copied()).collect())
}

async fn blocking<T: Send + 'static>(
    read: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, Status> {
    match tokio::task::spawn_blocking(read).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(status(&error)),
        Err(_) => Err(Status::unavailable("the coordinator is stopping")),
    }
}

/// The peer learns that the coordinator's copy is bad, the log where.
fn status(error: &StoreError) -> Status {
    tracing::error!(error = %error.failure(), "cannot serve an artifact");
    match error {
        StoreError::Chunk { digest, .. } => {
            Status::data_loss(format!("the coordinator's chunk {digest} is damaged"))
        }
        StoreError::Index { digest, .. } | StoreError::IndexDigest { digest } => {
            Status::data_loss(format!("the coordinator's index {digest} is damaged"))
        }
        StoreError::Io { .. } | StoreError::Full { .. } => {
            Status::unavailable("the coordinator's store cannot be read")
        }
    }
}

fn unknown(artifact: &Digest) -> Status {
    Status::not_found(format!("there is no artifact {artifact}"))
}

#[cfg(test)]
mod tests;
