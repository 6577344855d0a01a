//! Chunks of one artifact, fetched from other hosts and from the coordinator, in whatever order is best for all.
//!
//! They go to the spool, from which the loader takes them in their own order. When all are here, this host goes on
//! serving the others until everybody has everything.

mod coordinator;
mod driver;
mod lines;
mod linger;
mod verification;

use std::sync::{Arc, Mutex, PoisonError};

use tfleet_proto::model::artifact::{ArtifactIndex, Chunk, Layer};
use tfleet_proto::model::digest::Digest;
use tfleet_proto::model::swarm::{ChunkNumber, ChunkSet};
use tfleet_proto::wire::artifacts_client::ArtifactsClient;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::Code;
use tonic::transport::Channel;

use super::blocking::blocking;
use super::interruption::Interruption;
use super::numbering::Numbering;
use super::spool::Spool;
use super::{DeliveryError, ImageProgress};
use crate::peers::Peers;
use coordinator::Conversation;
use driver::Driver;

/// What is fetched, of which artifact, and where it goes.
pub(super) struct Order<'a> {
    pub client: ArtifactsClient<Channel>,
    pub artifact: Digest,
    pub index: &'a ArtifactIndex,
    /// So many layers are in the engine, and not needed.
    pub present: usize,
    pub spool: Spool,
    pub progress: watch::Sender<ImageProgress>,
}

/// A transfer that this host takes part in. Dropping it ends that; see [`Crowd::linger`].
#[derive(Debug)]
pub(super) struct Crowd {
    numbering: Numbering,
    arrived: Arc<Mutex<ChunkSet>>,
    /// How many chunks arrived; closed when the transfer ended for this host.
    arrivals: watch::Receiver<u32>,
    /// Why it ended, unless all arrived.
    failure: oneshot::Receiver<DeliveryError>,
    task: JoinHandle<()>,
    end: DropGuard,
}

impl Crowd {
    /// Takes part in the transfer; `None` if the coordinator knows none, being older.
    pub async fn join(peers: &Peers, order: Order<'_>) -> Result<Option<Self>, Interruption> {
        let mut client = order.client.clone();
        let port = peers.port();
        let conversation = match Conversation::open(&mut client, &order.artifact, port).await {
            Ok(conversation) => Some(conversation),
            Err(Interruption::Status(status)) if status.code() == Code::Unimplemented => {
                return Ok(None);
            }
            Err(interruption) if interruption.may_pass() => None,
            Err(interruption) => return Err(interruption),
        };
        let chunks: Arc<[Chunk]> = order.index.chunks().copied().collect();
        let numbering = Numbering::of(order.index);
        let (spool, known) = (order.spool.clone(), chunks.clone());
        let (kept, mut have) = blocking(move || {
            let nothing = ChunkSet::empty(known.len() as u32);
            let (mut kept, mut have) = (nothing.clone(), nothing);
            for (number, chunk) in (0..).zip(known.iter()) {
                if spool.has(chunk) {
                    kept.insert(ChunkNumber(number));
                }
                // What was made here in another frame cannot be given to others.
                if spool.has_content(chunk) {
                    have.insert(ChunkNumber(number));
                }
            }
            (kept, have)
        })
        .await;
        for number in 0..numbering.after(order.present) {
            have.insert(ChunkNumber(number));
        }

        let arrived = Arc::new(Mutex::new(have.clone()));
        let (arrivals_sender, arrivals) = watch::channel(0);
        let (failure_sender, failure) = oneshot::channel();
        let driver = Driver::new(peers.clone(), &order, chunks, kept, have, arrived.clone());
        let ending = CancellationToken::new();
        let end = ending.clone().drop_guard();
        let task = peers.tasks().spawn(async move {
            let transfer = driver.run(conversation, &arrivals_sender);
            if let Some(Err(error)) = ending.run_until_cancelled(transfer).await {
                let _ = failure_sender.send(error);
            }
            // Only now: whoever sees that nothing comes any more looks for the reason.
            drop(arrivals_sender);
        });
        Ok(Some(Self {
            numbering,
            arrived,
            arrivals,
            failure,
            task,
            end,
        }))
    }

    /// Waits until chunk `place` of a layer is in the spool.
    pub async fn arrival(&mut self, layer: &Layer, place: usize) -> Result<(), DeliveryError> {
        let chunk = self.numbering.number(layer, place);
        loop {
            self.arrivals.borrow_and_update();
            if self.has(chunk) {
                return Ok(());
            }
            if self.arrivals.changed().await.is_err() {
                // What did not arrive is fetched in another way, if there is no reason not to.
                return self.failure.try_recv().map_or(Ok(()), Err);
            }
        }
    }

    fn has(&self, chunk: ChunkNumber) -> bool {
        let arrived = self.arrived.lock().unwrap_or_else(PoisonError::into_inner);
        arrived.contains(chunk)
    }

    /// Goes on serving others while they need it, and calls `afterwards`.
    pub fn linger(self, peers: &Peers, afterwards: impl FnOnce() + Send + 'static) {
        self.end.disarm();
        let task = self.task;
        peers.tasks().spawn(async move {
            // However it ended.
            let _ = task.await;
            let _ = tokio::task::spawn_blocking(afterwards).await;
        });
    }
}

#[cfg(test)]
mod tests;
