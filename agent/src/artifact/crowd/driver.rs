//! What happens in a transfer, told to [`Download`], and what it decides, done.

mod arrival;

use std::collections::BTreeSet;
use std::future::pending;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::BoxFuture;
use tfleet_proto::model::artifact::{Chunk, Layer};
use tfleet_proto::model::digest::Digest;
use tfleet_proto::model::swarm::{ChunkNumber, ChunkSet, Neighbourhood, Peer};
use tfleet_proto::wire::artifacts_client::ArtifactsClient;
use tfleet_proto::wire::join_response::Said;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};
use tonic::transport::Channel;
use tracing::{debug, info, warn};

use super::super::interruption::{FetchError, Interruption, SILENCE};
use super::super::patience::Patience;
use super::super::spool::Spool;
use super::super::{DeliveryError, ImageProgress};
use super::Order;
use super::coordinator::Conversation;
use super::lines::Lines;
use super::linger::{linger, set_askers};
use super::verification::Verification;
use crate::peers::{Artifact, Event, Incoming, IncomingError, Peers, Request, Share};
use crate::swarm::{Action, Download, Settings, Source};

/// How often to plan without other cause.
const TICK: Duration = Duration::from_millis(50);
/// A coordinator that names no neighbours, not even none, for so long does not know how.
const INTRODUCED_WITHIN: Duration = Duration::from_secs(1);

pub(super) struct Driver {
    peers: Peers,
    client: ArtifactsClient<Channel>,
    artifact: Digest,
    layers: Vec<Layer>,
    chunks: Arc<[Chunk]>,
    spool: Spool,
    progress: watch::Sender<ImageProgress>,
    share: Arc<Share>,
    arrived: Arc<Mutex<ChunkSet>>,
    download: Download,
    began: Instant,
    lines: Lines,
    verification: Verification,
    coordinator: Option<Conversation>,
    /// Chunks on their way from the coordinator, …
    incoming: Incoming,
    /// … of which these were asked for by number.
    named: BTreeSet<ChunkNumber>,
    /// Whether the coordinator said who the neighbours are. Before, nothing is asked for: most of it would be taken back.
    introduced: bool,
    heard_at: Instant,
    /// Rises with each failure in a row; any chunk makes it new.
    patience: Patience,
    corrupted: u32,
}

impl Driver {
    /// Shares what is `kept`, and fetches what `have` lacks.
    pub fn new(
        peers: Peers,
        order: &Order<'_>,
        chunks: Arc<[Chunk]>,
        kept: ChunkSet,
        have: ChunkSet,
        arrived: Arc<Mutex<ChunkSet>>,
    ) -> Self {
        let frames = Arc::new(order.spool.clone());
        let share = peers.share(order.artifact, chunks.clone(), frames.clone());
        kept.iter().for_each(|chunk| share.keeps(chunk));
        Self {
            client: order.client.clone(),
            artifact: order.artifact,
            layers: order.index.layers.clone(),
            spool: order.spool.clone(),
            progress: order.progress.clone(),
            verification: Verification::new(order.spool.clone()),
            download: Download::new(&have, settings(), rand::random(), Duration::ZERO),
            lines: Lines::new(
                peers.clone(),
                Artifact {
                    digest: order.artifact,
                    chunks: chunks.clone(),
                    frames: frames.clone(),
                },
            ),
            peers,
            chunks,
            share,
            arrived,
            began: Instant::now(),
            coordinator: None,
            incoming: Incoming::new(frames),
            named: BTreeSet::new(),
            introduced: false,
            heard_at: Instant::now(),
            patience: Patience::new(),
            corrupted: 0,
        }
    }

    /// Fetches everything, counting it in `arrivals`, then serves until nobody needs it.
    pub async fn run(
        mut self,
        conversation: Option<Conversation>,
        arrivals: &watch::Sender<u32>,
    ) -> Result<(), DeliveryError> {
        if let Some(conversation) = conversation {
            self.begin_conversation(conversation);
        }
        let mut joining: Option<BoxFuture<'static, Result<Conversation, Interruption>>> = None;
        while !self.download.is_complete() {
            self.act();
            if self.coordinator.is_none() && joining.is_none() {
                joining = Some(self.join_again()?);
            }
            let silent_at = self.heard_at + SILENCE;
            tokio::select! {
                // Each keeps what it has not given, so dropping it loses nothing.
                said = hear(&mut self.coordinator) => match said {
                    Ok(Some(said)) => {
                        self.heard_at = Instant::now();
                        self.heard(said).await?;
                    }
                    Ok(None) => self.lost_coordinator(&Interruption::Ended),
                    Err(interruption) => self.lost_coordinator(&interruption),
                },
                joined = join(&mut joining) => {
                    joining = None;
                    match joined {
                        Ok(conversation) => self.begin_conversation(conversation),
                        Err(interruption) if interruption.may_pass() => debug!(%interruption, "the coordinator is away"),
                        Err(interruption) => return Err(FetchError::new(self.artifact, interruption).into()),
                    }
                }
                (peer, event) = self.lines.hear() => self.happened(peer, event),
                verified = self.verification.next() => {
                    self.verified(verified)?;
                    arrivals.send_modify(|arrivals| *arrivals += 1);
                }
                () = sleep_until(silent_at), if self.coordinator.is_some() => {
                    self.lost_coordinator(&Interruption::Silence);
                }
                // Nobody wants it any more, and its chunks may be gone.
                () = self.share.ended().cancelled() => return Ok(()),
                () = sleep(TICK) => {}
            }
        }
        arrivals.send_modify(|arrivals| *arrivals += 1);
        self.lines.clear();
        if let Some(coordinator) = self.coordinator.take() {
            linger(coordinator, &self.share).await;
        }
        Ok(())
    }

    fn now(&self) -> Duration {
        self.began.elapsed()
    }

    fn join_again(
        &mut self,
    ) -> Result<BoxFuture<'static, Result<Conversation, Interruption>>, DeliveryError> {
        let Some(pause) = self.patience.next_pause() else {
            return Err(FetchError::new(self.artifact, Interruption::Silence).into());
        };
        let (mut client, artifact) = (self.client.clone(), self.artifact);
        let port = self.peers.port();
        Ok(Box::pin(async move {
            sleep(pause).await;
            Conversation::open(&mut client, &artifact, port).await
        }))
    }

    /// Numbers of hosts are the coordinator's, and may be others than before.
    fn begin_conversation(&mut self, conversation: Conversation) {
        self.coordinator = Some(conversation);
        self.heard_at = Instant::now();
        self.introduced = false;
        self.named.clear();
    }

    fn lost_coordinator(&mut self, interruption: &Interruption) {
        info!(artifact = %self.artifact.short(), %interruption, "joining the transfer again");
        self.coordinator = None;
        self.incoming.clear();
        self.named.clear();
        self.download.lost(Source::Coordinator, self.now());
    }

    /// From the coordinator.
    async fn heard(&mut self, said: Said) -> Result<(), DeliveryError> {
        let now = self.now();
        match said {
            Said::Neighbourhood(told) => match Neighbourhood::try_from(told) {
                Ok(told) => self.meet(told),
                Err(refusal) => {
                    warn!(%refusal, "the coordinator's word about neighbours is not understood");
                }
            },
            Said::Offer(_) => {
                let wanted = self.download.turn(now);
                self.tell(|coordinator| coordinator.want(wanted.as_ref()));
            }
            Said::KeepAlive(_) => {}
            Said::Nothing(_) => self.download.turn_begins(None, now),
            Said::Begins(number) => {
                let chunk = ChunkNumber(number);
                self.incoming.expect(chunk);
                if !self.named.contains(&chunk) {
                    self.download.turn_begins(Some(chunk), now);
                }
            }
            Said::Damaged(number) => {
                let chunk = ChunkNumber(number);
                self.incoming.forget(chunk);
                self.named.remove(&chunk);
                self.bad(Source::Coordinator, chunk)?;
            }
            Said::Part(part) => {
                let bytes = part.frame_part.len() as u64;
                self.progress
                    .send_modify(|progress| progress.wire_bytes += bytes);
                match self.incoming.take(part, &self.chunks).await {
                    Ok(Some((chunk, frame))) => self.came(Source::Coordinator, chunk, frame),
                    Ok(None) => {}
                    Err(IncomingError::Disk(error)) => {
                        return Err(self.spool.landing_failed(error).into());
                    }
                    Err(error) => {
                        warn!(%error, "the coordinator does not keep to the protocol");
                        self.lost_coordinator(&Interruption::Malformed(
                            "a chunk longer than its index says",
                        ));
                    }
                }
            }
        }
        Ok(())
    }

    /// At a neighbour.
    fn happened(&mut self, peer: Peer, event: Event) {
        let now = self.now();
        match event {
            Event::Has(have) => self.download.has(peer, &have, now),
            Event::Gained(chunks) => self.download.gained(peer, &chunks, now),
            Event::Heard(bytes) => {
                self.download.heard(peer, now);
                if bytes > 0 {
                    self.progress.send_modify(|progress| {
                        progress.wire_bytes += bytes;
                        progress.peer_bytes += bytes;
                    });
                }
            }
            Event::Frame(chunk, frame) => self.came(Source::Peer(peer), chunk, frame),
            Event::Busy(chunk) => self.download.failed(Source::Peer(peer), chunk, now),
            Event::Lost => self.download.lost(Source::Peer(peer), now),
        }
    }

    fn meet(&mut self, told: Neighbourhood) {
        if !std::mem::replace(&mut self.introduced, true) {
            self.lines.clear();
            self.download.forget_neighbours();
        }
        set_askers(&self.share, &told.askers);
        let now = self.now();
        let named: Vec<_> = told
            .neighbours
            .iter()
            .map(|neighbour| (neighbour.peer, neighbour.distance))
            .collect();
        self.download.set_neighbours(&named, now);
        if !told.neighbours.is_empty() {
            info!(artifact = %self.artifact.short(), hosts = told.neighbours.len(), "fetching from other hosts, too");
        }
        self.lines.set(told.neighbours);
    }

    /// Does what follows from what happened.
    fn act(&mut self) {
        if !self.introduced && self.began.elapsed() < INTRODUCED_WITHIN {
            return;
        }
        // What was said and not heard yet shall not look like silence.
        while let Some((peer, event)) = self.lines.heard() {
            self.happened(peer, event);
        }
        let mut actions = Vec::new();
        self.download.plan(self.now(), &mut actions);
        for action in actions {
            match action {
                Action::Ask { source, chunk } => self.ask(source, chunk),
                Action::Cancel { source, chunk } => self.cancel(source, chunk),
                Action::AskForTurn => {
                    self.tell(Conversation::ask_any);
                }
                Action::Reconnect { peer } => self.lines.redial(peer),
            }
        }
    }

    fn ask(&mut self, source: Source, chunk: ChunkNumber) {
        match source {
            Source::Coordinator => {
                if self.tell(|coordinator| coordinator.ask(chunk)) {
                    self.named.insert(chunk);
                }
            }
            Source::Peer(peer) => {
                if !self.lines.say(peer, Request::Ask(chunk)) {
                    self.download.failed(source, chunk, self.now());
                }
            }
        }
    }

    fn cancel(&mut self, source: Source, chunk: ChunkNumber) {
        match source {
            Source::Coordinator => {
                self.incoming.forget(chunk);
                self.named.remove(&chunk);
                self.tell(|coordinator| coordinator.cancel(chunk));
            }
            Source::Peer(peer) => {
                // Bytes that come all the same are thrown away.
                self.lines.say(peer, Request::Cancel(chunk));
            }
        }
    }

    /// Says something to the coordinator. False: it is not there, or does not read.
    fn tell(&mut self, say: impl FnOnce(&Conversation) -> bool) -> bool {
        match &self.coordinator {
            Some(coordinator) if say(coordinator) => return true,
            Some(_) => self.lost_coordinator(&Interruption::Silence),
            None => self.download.lost(Source::Coordinator, self.now()),
        }
        false
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.peers.unshare(&self.artifact, &self.share);
    }
}

/// A host whose disk is busy is silent for a while, and ours may be the one that is busy.
fn settings() -> Settings {
    Settings {
        silence: Duration::from_secs(4),
        ..Settings::default()
    }
}

async fn hear(coordinator: &mut Option<Conversation>) -> Result<Option<Said>, Interruption> {
    match coordinator {
        Some(coordinator) => coordinator.hear().await,
        None => pending().await,
    }
}

async fn join(
    joining: &mut Option<BoxFuture<'static, Result<Conversation, Interruption>>>,
) -> Result<Conversation, Interruption> {
    match joining {
        Some(joining) => joining.await,
        None => pending().await,
    }
}
