//! Chunks of a layer, from the spool or from the coordinator, in order.

use bytes::Bytes;
use futures::{Stream, StreamExt as _, stream};
use tfleet_proto::model::artifact::{Chunk, Layer};
use tfleet_proto::model::digest::Digest;
use tfleet_proto::wire;
use tfleet_proto::wire::artifacts_client::ArtifactsClient;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tonic::Streaming;
use tonic::transport::Channel;
use tracing::{info, warn};

use super::blocking::blocking;
use super::crowd::Crowd;
use super::interruption::{FetchError, Interruption, SILENCE};
use super::patches::Patches;
use super::patience::Patience;
use super::spool::{RefusedFrame, Spool, SpoolError};
use super::{DeliveryError, ImageProgress};

/// How often a chunk may come with other content than the index says.
pub(super) const CORRUPTED_AT_MOST: u32 = 3;
/// One is verified while the next arrives.
const VERIFIED_AT_ONCE: usize = 2;

/// Brings the chunks of one artifact.
#[derive(Debug)]
pub(super) struct Fetcher {
    client: ArtifactsClient<Channel>,
    artifact: Digest,
    spool: Spool,
    progress: watch::Sender<ImageProgress>,
    /// Makes chunks from what is kept.
    patches: Option<Patches>,
    /// Brings chunks in another order, from other hosts too.
    crowd: Option<Crowd>,
}

/// Where contents go.
pub(super) trait Sink {
    /// False: no more is wanted.
    fn put(&mut self, content: Bytes) -> impl Future<Output = bool> + Send;
}

/// How a layer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LayerEnd {
    Whole,
    NotWanted,
}

impl Fetcher {
    pub fn new(
        client: ArtifactsClient<Channel>,
        artifact: Digest,
        spool: Spool,
        progress: watch::Sender<ImageProgress>,
    ) -> Self {
        Self {
            client,
            artifact,
            spool,
            progress,
            patches: None,
            crowd: None,
        }
    }

    pub fn client(&self) -> ArtifactsClient<Channel> {
        self.client.clone()
    }

    pub fn artifact(&self) -> Digest {
        self.artifact
    }

    /// From now on what patches make is waited for.
    pub fn set_patches(&mut self, patches: Option<Patches>) {
        self.patches = patches;
    }

    /// From now on what the crowd brings is waited for.
    pub fn set_crowd(&mut self, crowd: Option<Crowd>) {
        self.crowd = crowd;
    }

    /// Ends what this brings alone, and gives the crowd.
    pub fn into_crowd(self) -> Option<Crowd> {
        self.crowd
    }

    /// Puts the contents of a layer's chunks into the sink, in order. What is cut off is continued at the next missing
    /// chunk.
    pub async fn layer(
        &mut self,
        layer: &Layer,
        sink: &mut impl Sink,
    ) -> Result<LayerEnd, DeliveryError> {
        let mut next = 0;
        let mut patience = Patience::new();
        let mut corrupted = 0;
        while let Some(chunk) = layer.chunks.get(next) {
            if let Some(patches) = &mut self.patches {
                patches.settled(layer, next).await;
            }
            if let Some(crowd) = &mut self.crowd {
                crowd.arrival(layer, next).await?;
            }
            if let Some(content) = self.kept(*chunk).await? {
                next += 1;
                if !sink.put(content).await {
                    return Ok(LayerEnd::NotWanted);
                }
                continue;
            }
            let before = next;
            let interruption = match self.missing_run(layer, &mut next, sink).await? {
                RunEnd::Whole => continue,
                RunEnd::NotWanted => return Ok(LayerEnd::NotWanted),
                RunEnd::Interrupted(interruption) => interruption,
            };
            if next > before {
                (patience, corrupted) = (Patience::new(), 0);
            }
            if let Interruption::Corrupted { .. } = interruption {
                corrupted += 1;
                warn!(artifact = %self.artifact, %interruption, "a chunk is refused");
            }
            let goes_on = interruption.may_pass() && corrupted < CORRUPTED_AT_MOST;
            let Some(pause) = goes_on.then(|| patience.next_pause()).flatten() else {
                return Err(FetchError::new(self.artifact, interruption).into());
            };
            info!(layer = %layer.diff_id.short(), next, chunks = layer.chunks.len(), %interruption, "going on where it was cut");
            sleep(pause).await;
        }
        Ok(LayerEnd::Whole)
    }

    /// Fetches from chunk `next` to the next one that is kept, counting `next` up with each that went into the sink.
    async fn missing_run(
        &mut self,
        layer: &Layer,
        next: &mut usize,
        sink: &mut impl Sink,
    ) -> Result<RunEnd, DeliveryError> {
        let spool = self.spool.clone();
        // A crowd brings all but what is damaged on the disk; what patches may yet make is not fetched.
        let patches = self.patches.as_ref();
        let most = match self.crowd {
            Some(_) => 1,
            None => patches.map_or(usize::MAX, |patches| patches.settled_from(layer, *next)),
        };
        let rest: Vec<Chunk> = layer.chunks[*next..].iter().take(most).copied().collect();
        let run = blocking(move || {
            let count = 1 + rest
                .iter()
                .skip(1)
                .take_while(|chunk| !spool.has_content(chunk))
                .count();
            rest[..count].to_vec()
        })
        .await;
        let first = *next;
        let last = first + run.len();
        let stream = match self.ask(layer, first, run.len()).await {
            Ok(stream) => stream,
            Err(interruption) => return Ok(RunEnd::Interrupted(interruption)),
        };
        let verified = frames(stream, first, run, self.progress.clone())
            .map(|frame| verify(frame, layer.diff_id, self.spool.clone()))
            .buffered(VERIFIED_AT_ONCE);
        tokio::pin!(verified);
        while let Some(content) = verified.next().await {
            match content? {
                Ok(content) => {
                    *next += 1;
                    let content_bytes = content.len() as u64;
                    self.progress
                        .send_modify(|progress| progress.fetched_bytes += content_bytes);
                    if !sink.put(content).await {
                        return Ok(RunEnd::NotWanted);
                    }
                }
                Err(interruption) => return Ok(RunEnd::Interrupted(interruption)),
            }
        }
        Ok(if *next == last {
            RunEnd::Whole
        } else {
            RunEnd::Interrupted(Interruption::Ended)
        })
    }

    async fn ask(
        &mut self,
        layer: &Layer,
        first: usize,
        count: usize,
    ) -> Result<Streaming<wire::Chunk>, Interruption> {
        let number = |number: usize| {
            u32::try_from(number).map_err(|_| Interruption::Malformed("an endless layer"))
        };
        let request = wire::FetchChunksRequest {
            artifact: self.artifact.to_string(),
            diff_id: layer.diff_id.to_string(),
            first_chunk: number(first)?,
            chunk_count: number(count)?,
        };
        match timeout(SILENCE, self.client.fetch_chunks(request)).await {
            Ok(Ok(response)) => Ok(response.into_inner()),
            Ok(Err(status)) => Err(status.into()),
            Err(_) => Err(Interruption::Silence),
        }
    }

    async fn kept(&self, chunk: Chunk) -> Result<Option<Bytes>, SpoolError> {
        let spool = self.spool.clone();
        blocking(move || spool.read(&chunk)).await
    }
}

enum RunEnd {
    Whole,
    NotWanted,
    Interrupted(Interruption),
}

/// A chunk's frame as it came, with its number in the layer.
struct Frame {
    number: usize,
    chunk: Chunk,
    bytes: Vec<u8>,
}

/// Puts the parts of frames together. Ends after the first interruption.
fn frames(
    stream: Streaming<wire::Chunk>,
    first: usize,
    run: Vec<Chunk>,
    progress: watch::Sender<ImageProgress>,
) -> impl Stream<Item = Result<Frame, Interruption>> {
    let state = Some((stream, (first..).zip(run)));
    stream::unfold(state, move |state| {
        let progress = progress.clone();
        async move {
            let (mut stream, mut chunks) = state?;
            let (number, chunk) = chunks.next()?;
            match frame(&mut stream, number, &chunk, &progress).await {
                Ok(bytes) => Some((
                    Ok(Frame {
                        number,
                        chunk,
                        bytes,
                    }),
                    Some((stream, chunks)),
                )),
                Err(interruption) => Some((Err(interruption), None)),
            }
        }
    })
}

async fn frame(
    stream: &mut Streaming<wire::Chunk>,
    number: usize,
    chunk: &Chunk,
    progress: &watch::Sender<ImageProgress>,
) -> Result<Vec<u8>, Interruption> {
    let length = usize::try_from(chunk.frame_bytes)
        .map_err(|_| Interruption::Malformed("an endless chunk"))?;
    let mut bytes = Vec::with_capacity(length);
    loop {
        let part = timeout(SILENCE, stream.message())
            .await
            .map_err(|_| Interruption::Silence)??;
        let part = part.ok_or(Interruption::Ended)?;
        if bytes.is_empty() && usize::try_from(part.number) != Ok(number) {
            return Err(Interruption::Malformed("another chunk than was asked for"));
        }
        if bytes.len() + part.frame_part.len() > length {
            return Err(Interruption::Malformed(
                "a chunk longer than its index says",
            ));
        }
        progress.send_modify(|progress| progress.wire_bytes += part.frame_part.len() as u64);
        bytes.extend_from_slice(&part.frame_part);
        if part.last_part {
            return Ok(bytes);
        }
    }
}

async fn verify(
    frame: Result<Frame, Interruption>,
    diff_id: Digest,
    spool: Spool,
) -> Result<Result<Bytes, Interruption>, SpoolError> {
    let Frame {
        number,
        chunk,
        bytes,
    } = match frame {
        Ok(frame) => frame,
        Err(interruption) => return Ok(Err(interruption)),
    };
    blocking(move || match spool.take(&chunk, &bytes) {
        Ok(content) => Ok(Ok(content)),
        Err(RefusedFrame::Corrupted) => Ok(Err(Interruption::Corrupted { diff_id, number })),
        Err(RefusedFrame::Spool(error)) => Err(error),
    })
    .await
}
