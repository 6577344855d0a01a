//! Gives hosts the artifacts that they shall have: indexes, and chunks of layers in the order asked for.
//!
//! A stream reads two parts ahead and holds no more than those, so that thousands of slow hosts cost memory by the
//! megabyte and no thread waits for any of them. What is read is verified against what was written before its first
//! byte leaves.

mod frame;
mod handing_out;
mod neighbours;
mod patching;
mod transfer;

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, StreamExt as _, stream};
use tfleet_proto::model::artifact::{ArtifactIndex, Chunk, Layer};
use tfleet_proto::model::digest::Digest;
use tfleet_proto::wire;
use tfleet_proto::wire::join_request::Said;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::{Extensions, Request, Response, Status, Streaming};

pub use handing_out::{HandingOut, Step};
pub use neighbours::{Degree, Member, Neighbours};
pub use transfer::Participant;

use frame::{Part, frame_part, parts};
use transfer::Transfers;

use crate::artifact::{Artifacts, StoreError};
use crate::patch::Patches;

/// One on its way out, one being read.
const READ_AHEAD: usize = 2;

/// A host says its first word at once.
const FIRST_MESSAGE_WITHIN: Duration = Duration::from_secs(30);
/// What is on its way to one host that takes part in a transfer.
const MESSAGES_WAITING: usize = 4;

/// Who may have what.
pub trait Access: Send + Sync + 'static {
    /// Whether the peer of a request, as its connection's extensions tell, shall have the artifact.
    ///
    /// # Errors
    /// NOT_FOUND if not: a host learns nothing of other hosts' artifacts.
    fn check(&self, peer: &Extensions, artifact: &Digest) -> Result<(), Status>;

    /// Who the peer of a request is to other hosts, which reach it at `port`; zero: they don't.
    ///
    /// # Errors
    /// PERMISSION_DENIED if it is not a host, INVALID_ARGUMENT if the port is none.
    fn participant(&self, peer: &Extensions, port: u32) -> Result<Participant, Status>;
}

/// Serves `tfleet.v1.Artifacts`.
#[derive(Debug)]
pub struct ArtifactsService<A> {
    artifacts: Artifacts,
    access: Arc<A>,
    transfers: Transfers,
    patches: Arc<Patches>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl<A: Access> ArtifactsService<A> {
    /// Transfers, and the making of patches, run as tasks of `tasks` and end with `stop`.
    pub fn new(
        artifacts: Artifacts,
        access: Arc<A>,
        tasks: TaskTracker,
        stop: CancellationToken,
    ) -> Self {
        Self {
            patches: Arc::new(Patches::new(artifacts.clone(), tasks.clone(), stop.clone())),
            artifacts,
            access,
            transfers: Transfers::new(tasks.clone()),
            tasks,
            stop,
        }
    }

    /// With patches that others begin to make, too.
    #[must_use]
    pub fn with_patches(self, patches: Arc<Patches>) -> Self {
        Self { patches, ..self }
    }

    fn allowed(&self, peer: &Extensions, artifact: &str) -> Result<Digest, Status> {
        let digest: Digest = artifact
            .parse()
            .map_err(|error| Status::invalid_argument(format!("artifact: {error}")))?;
        self.access.check(peer, &digest)?;
        Ok(digest)
    }

    async fn index(&self, digest: Digest) -> Result<ArtifactIndex, Status> {
        let store = self.artifacts.clone();
        blocking(move || store.index(&digest))
            .await?
            .ok_or_else(|| unknown(&digest))
    }
}

#[tonic::async_trait]
impl<A: Access> wire::artifacts_server::Artifacts for ArtifactsService<A> {
    async fn get_index(
        &self,
        request: Request<wire::GetIndexRequest>,
    ) -> Result<Response<wire::GetIndexResponse>, Status> {
        let digest = self.allowed(request.extensions(), &request.get_ref().artifact)?;
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
        let digest = self.allowed(request.extensions(), &request.get_ref().artifact)?;
        let request = request.into_inner();
        let diff_id: Digest = request
            .diff_id
            .parse()
            .map_err(|error| Status::invalid_argument(format!("diff_id: {error}")))?;
        let layer = self
            .index(digest)
            .await?
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
        .map(move |part| chunk_message(store.clone(), part))
        .buffered(READ_AHEAD);
        Ok(Response::new(Box::pin(parts)))
    }

    type FetchPatchesStream = Pin<Box<dyn Stream<Item = Result<wire::Patch, Status>> + Send>>;

    async fn fetch_patches(
        &self,
        request: Request<wire::FetchPatchesRequest>,
    ) -> Result<Response<Self::FetchPatchesStream>, Status> {
        let digest = self.allowed(request.extensions(), &request.get_ref().artifact)?;
        let request = request.into_inner();
        let index = self.index(digest).await?;
        let kept = patching::kept(&self.artifacts, digest, request.kept).await?;
        let asked = patching::Asked {
            artifact: digest,
            index,
            missing: request.missing,
            kept,
            times_smaller: request.times_smaller.into(),
        };
        let patches = patching::patches(self.patches.clone(), asked).await?;
        Ok(Response::new(Box::pin(patches)))
    }

    type JoinStream = Pin<Box<dyn Stream<Item = Result<wire::JoinResponse, Status>> + Send>>;

    async fn join(
        &self,
        request: Request<Streaming<wire::JoinRequest>>,
    ) -> Result<Response<Self::JoinStream>, Status> {
        let (_, peer, mut incoming) = request.into_parts();
        let first = timeout(FIRST_MESSAGE_WITHIN, incoming.message())
            .await
            .map_err(|_| Status::deadline_exceeded("nothing was said"))??;
        let Some(Said::Joining(joining)) = first.and_then(|first| first.said) else {
            return Err(Status::invalid_argument(
                "the first message must be joining",
            ));
        };
        let digest = self.allowed(&peer, &joining.artifact)?;
        let participant = self.access.participant(&peer, joining.port)?;
        let index = self.index(digest).await?;
        let attendance = self.transfers.join(digest, &index, participant);
        let (outgoing, answers) = mpsc::channel(MESSAGES_WAITING);
        let (store, stop) = (self.artifacts.clone(), self.stop.clone());
        self.tasks
            .spawn(attendance.serve(incoming, outgoing, store, stop));
        Ok(Response::new(Box::pin(ReceiverStream::new(answers))))
    }
}

async fn chunk_message(store: Artifacts, part: Part) -> Result<wire::Chunk, Status> {
    Ok(wire::Chunk {
        number: part.number,
        frame_part: frame_part(store, part).await?,
        last_part: part.is_last(),
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
