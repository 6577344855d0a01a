//! Builds of a release's variants: started or joined, written down as they go, told to whoever watches.
//!
//! One task follows each build and writes it to the store, whether or not anybody watches. Watchers read what it has
//! written, so that who sees a build done can roll it out.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::{StreamExt as _, stream};
use tfleet_compat::Recipe;
use tfleet_proto::convert::wire_timestamp;
use tfleet_proto::model::name::{ReleaseRef, VariantId};
use tfleet_proto::wire;
use tokio::sync::watch;
use tonic::Status;
use tracing::error;

use super::super::Foresight;
use super::declined::Declined;
use super::releases::{wire_build, wire_phase};
use super::{Answers, OperatorService};
use crate::build::{
    self, Additions, BuildError, BuildStatus, Dockerfile, Flavour, Freshness, Order, UnknownFlavour,
};
use crate::store::{BuildPhase, Origin, Release, ReleaseRequest, Store, VariantBuild};

/// A watcher hears of one build at most so often.
const BETWEEN_EVENTS: Duration = Duration::from_millis(100);

type Events = HashMap<(ReleaseRef, VariantId), watch::Receiver<wire::BuildEvent>>;

/// The builds that are being followed, with the last event of each.
#[derive(Debug, Clone, Default)]
pub struct RunningBuilds {
    events: Arc<Mutex<Events>>,
}

impl OperatorService {
    pub(super) async fn build(
        &self,
        request: wire::BuildRequest,
    ) -> Result<Answers<wire::BuildEvent>, Declined> {
        let release = self.release("release", &request.release).await?;
        let events = match &release.origin {
            Origin::Planned { request, plan } => {
                let mut events = Vec::new();
                for variant in &plan.variants {
                    events.push(self.build_variant(&release, request, &variant.recipe)?);
                }
                events
            }
            Origin::Added { .. } => release.builds.iter().map(done_before).collect(),
        };
        let streams = events
            .into_iter()
            .map(|events| Box::pin(until_result(events)));
        let stop = self.stop.clone();
        let told = stream::select_all(streams).take_until(stop.cancelled_owned());
        Ok(Box::pin(told))
    }

    pub(super) async fn build_log(
        &self,
        request: wire::BuildLogRequest,
    ) -> Result<Answers<wire::BuildLogLine>, Declined> {
        let release = self.release("release", &request.release).await?;
        let Origin::Planned {
            request: spec,
            plan,
        } = &release.origin
        else {
            return Err(Declined::Unknown(format!(
                "{} was not built here, so there is no log",
                release.reference
            )));
        };
        let variants = || {
            plan.variants
                .iter()
                .map(|variant| variant.recipe.id.as_str())
        };
        let Some(variant) = plan
            .variants
            .iter()
            .find(|variant| variant.recipe.id.as_str() == request.variant)
        else {
            return Err(Declined::unknown("variant", &request.variant, variants()));
        };
        let order = self.order(spec, &variant.recipe)?;
        let mut lines = self.builds.log(&order.digest(), request.follow);
        // The first answer tells whether there is a log at all.
        let first = match lines.recv().await {
            Some(Err(BuildError::Io { source, .. }))
                if source.kind() == std::io::ErrorKind::NotFound =>
            {
                return Err(Declined::Unknown(format!(
                    "{} was not built yet, so there is no log; build it: tfleet build {}",
                    request.variant, release.reference
                )));
            }
            first => first,
        };
        let rest = tokio_stream::wrappers::ReceiverStream::new(lines);
        let lines = stream::iter(first).chain(rest).flat_map(|lines| {
            stream::iter(match lines {
                Ok(lines) => lines.into_iter().map(|line| Ok(wire_line(line))).collect(),
                Err(error) => vec![Err(Status::from(Declined::Build(error)))],
            })
        });
        Ok(Box::pin(lines))
    }

    pub(super) fn order(
        &self,
        request: &ReleaseRequest,
        recipe: &Recipe,
    ) -> Result<Order, BuildError> {
        // Both were checked when the release was asked for.
        let flavours = flavours(request)?;
        let dockerfile = request.dockerfile.clone().map(Dockerfile::new).transpose();
        let additions = Additions {
            python_packages: request.python_packages.clone(),
            debian_packages: request.debian_packages.clone(),
            environment: request.environment.clone(),
            ports: request.ports.clone(),
            base: request.base.clone(),
            flavours,
            authorized_keys: request.authorized_keys.clone(),
            dockerfile: dockerfile.map_err(|error| kept("Dockerfile", error.to_string()))?,
        };
        self.builds.order(recipe.clone(), additions)
    }

    /// Starts a variant's build, or joins the one that runs.
    fn build_variant(
        &self,
        release: &Release,
        request: &ReleaseRequest,
        recipe: &Recipe,
    ) -> Result<watch::Receiver<wire::BuildEvent>, Declined> {
        let variant: VariantId = recipe
            .id
            .as_str()
            .parse()
            .map_err(|error| Declined::field("release", format!("{error}")))?;
        if let Some(build) = release.builds.iter().find(|build| {
            build.variant == variant
                && build.phase == BuildPhase::Done
                && build
                    .artifact
                    .is_some_and(|artifact| self.is_stored(&artifact))
        }) {
            return Ok(done_before(build));
        }
        let key = (release.reference.clone(), variant.clone());
        let mut running = self.running_builds.lock();
        if let Some(events) = running.get(&key) {
            return Ok(events.clone());
        }
        let order = self.order(request, recipe)?;
        let freshness = self.freshness(release, request, &variant)?;
        let status = self.builds.start(order, freshness)?;
        let waiting = VariantBuild::waiting(variant);
        let (sender, events) = watch::channel(event(&waiting, &status.borrow()));
        running.insert(key, events.clone());
        drop(running);
        let followed = Follower {
            store: self.store.clone(),
            running: self.running_builds.clone(),
            release: release.reference.clone(),
            build: waiting,
            events: sender,
            foresight: self.foresight.clone(),
        };
        self.tasks.spawn(followed.follow(status));
        Ok(events)
    }

    /// What was built once, and is gone, is built of its own lock again.
    fn freshness(
        &self,
        release: &Release,
        request: &ReleaseRequest,
        variant: &VariantId,
    ) -> Result<Freshness, BuildError> {
        let build = release
            .builds
            .iter()
            .find(|build| build.variant == *variant);
        let built = build.filter(|build| build.artifact.is_some());
        Ok(match built.and_then(|build| build.lock) {
            Some(lock) if self.builds.keeps_lock(&lock)? => Freshness::Of(lock),
            _ if request.anew => Freshness::Since(release.created_at),
            _ => Freshness::Locked,
        })
    }

    fn is_stored(&self, artifact: &tfleet_proto::model::digest::Digest) -> bool {
        matches!(self.artifacts.known(artifact), Ok(Some(_)))
    }
}

impl RunningBuilds {
    fn lock(&self) -> MutexGuard<'_, Events> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes one build down as it goes.
struct Follower {
    store: Store,
    running: RunningBuilds,
    release: ReleaseRef,
    build: VariantBuild,
    events: watch::Sender<wire::BuildEvent>,
    foresight: Foresight,
}

impl Follower {
    async fn follow(mut self, mut status: watch::Receiver<BuildStatus>) {
        loop {
            let now = status.borrow_and_update().clone();
            let is_over = now.outcome.is_some();
            if self.take(&now) {
                let kept = self
                    .store
                    .put_build(self.release.clone(), self.build.clone())
                    .await;
                if let Err(error) = kept {
                    error!(release = %self.release, variant = %self.build.variant, error = &error as &dyn std::error::Error, "a build was not written down");
                }
            }
            self.events.send_replace(event(&self.build, &now));
            if is_over || status.changed().await.is_err() {
                break;
            }
        }
        if let Some(artifact) = self.build.artifact.filter(|_| self.build.failure.is_none()) {
            self.foresight.stored(artifact);
        }
        let key = (self.release, self.build.variant);
        self.running.lock().remove(&key);
    }

    /// True: something that is written down has changed.
    fn take(&mut self, status: &BuildStatus) -> bool {
        let before = self.build.clone();
        self.build.phase = phase(status.phase);
        self.build.lock = status.lock.or(self.build.lock);
        self.build.failure = None;
        match &status.outcome {
            None => {}
            Some(Ok(built)) => {
                self.build.lock = Some(built.lock);
                self.build.artifact = Some(built.artifact);
                self.build.content_bytes = built.content_bytes;
                self.build.stored_bytes = built.stored_bytes;
            }
            Some(Err(failure)) => self.build.failure = Some(failure.clone()),
        }
        self.build != before
    }
}

/// The flavours of a release that is written down.
pub(super) fn flavours(request: &ReleaseRequest) -> Result<BTreeSet<Flavour>, BuildError> {
    let flavours = request.flavours.iter().map(|flavour| flavour.parse());
    flavours
        .collect::<Result<_, UnknownFlavour>>()
        .map_err(|error| kept("flavours", error.to_string()))
}

fn kept(what: &str, why: String) -> BuildError {
    BuildError::Format {
        file: format!("the {what} of the release"),
        why,
    }
}

/// The events of one build as they come, the one with the result last.
fn until_result(
    events: watch::Receiver<wire::BuildEvent>,
) -> impl stream::Stream<Item = Result<wire::BuildEvent, Status>> {
    stream::unfold(Some((events, true)), |state| async {
        let (mut events, first) = state?;
        if !first {
            tokio::time::sleep(BETWEEN_EVENTS).await;
            // An error means that the follower is done; its last event is still there.
            let _ = events.changed().await;
        }
        let event = events.borrow_and_update().clone();
        if event.result.is_some() {
            return Some((Ok(event), None));
        }
        if events.has_changed().is_err() {
            let stopping = Status::unavailable("the coordinator is stopping; build again");
            return Some((Err(stopping), None));
        }
        Some((Ok(event), Some((events, false))))
    })
}

fn done_before(build: &VariantBuild) -> watch::Receiver<wire::BuildEvent> {
    let event = wire::BuildEvent {
        variant: build.variant.to_string(),
        phase: wire_phase(build.phase).into(),
        activity: "built before".to_owned(),
        done_bytes: 0,
        total_bytes: 0,
        result: Some(wire_build(build)),
        cached: true,
    };
    watch::channel(event).1
}

fn event(build: &VariantBuild, status: &BuildStatus) -> wire::BuildEvent {
    wire::BuildEvent {
        variant: build.variant.to_string(),
        phase: wire_phase(phase(status.phase)).into(),
        activity: status.activity.clone(),
        done_bytes: status.done_bytes,
        total_bytes: status.total_bytes,
        result: status.outcome.as_ref().map(|_| wire_build(build)),
        cached: matches!(&status.outcome, Some(Ok(built)) if built.cached),
    }
}

fn phase(phase: build::BuildPhase) -> BuildPhase {
    match phase {
        build::BuildPhase::Waiting => BuildPhase::Waiting,
        build::BuildPhase::Locking => BuildPhase::Locking,
        build::BuildPhase::Base => BuildPhase::Base,
        build::BuildPhase::Building => BuildPhase::Building,
        build::BuildPhase::Storing => BuildPhase::Storing,
        build::BuildPhase::Done => BuildPhase::Done,
        build::BuildPhase::Failed => BuildPhase::Failed,
    }
}

fn wire_line(line: build::LogLine) -> wire::BuildLogLine {
    wire::BuildLogLine {
        at: Some(wire_timestamp(line.at)),
        line: line.line,
    }
}
