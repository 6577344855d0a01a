//! Brings the host to what is desired: observe, plan, one step, observe again. Events only wake it.
//!
//! What is desired comes from a `watch` that holds the last accepted state, so losing the coordinator changes nothing
//! here. One image at a time is delivered beside the loop; everything else is done in it, one step after another.

mod act;
mod admission;
mod compatibility;
mod holds;
mod image;
mod in_flight;
mod observe;
mod report;

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::{FutureExt as _, Stream, StreamExt as _};
use tfleet_compat::Catalog;
use tfleet_proto::model::desired::DesiredState;
use tfleet_proto::model::failure::Failure;
use tfleet_proto::model::inventory::Inventory;
use tfleet_proto::model::status::HostStatus;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tonic::transport::Channel;
use tracing::{error, info, warn};

use crate::artifact::Delivery;
use crate::engine::Engine;
use crate::ledger::Deeds;
use crate::policy::Policy;
use crate::steps::{self, Plan, Step, Subject};

use holds::Holds;
use in_flight::InFlight;
use observe::Observation;

/// The host is looked at this often although nothing happened: an event may have been missed.
const LOOK_AGAIN: Duration = Duration::from_secs(30);
/// While an image is on its way its progress is told this often.
const TELL_PROGRESS: Duration = Duration::from_millis(300);
/// Events come in swarms; the host is looked at after the swarm.
const SWARM: Duration = Duration::from_millis(100);
/// The operator hears of it when the engine takes longer than this for what it does at once, or beyond the grace of what it
/// stops.
const SLOW: Duration = Duration::from_secs(15);
/// An engine that does not answer is asked again after this.
const ASK_ENGINE_AGAIN: Duration = Duration::from_secs(3);

/// What does the work.
pub struct Reconciler {
    engine: Engine,
    delivery: Delivery,
    policy: Arc<Policy>,
    catalog: &'static Catalog,
    /// The label that tells this fleet's containers from another's.
    fleet: String,
    deeds: Deeds,
    holds: Holds,
    in_flight: InFlight,
    /// (incarnation, generation) of the desired state that the last round worked for.
    worked_for: Option<(u64, u64)>,
    /// [`SLOW`], but for tests.
    slow: Duration,
    /// The desired state for which the remains of earlier deliveries were removed.
    tidied: Option<(u64, u64)>,
    ends: Ends,
}

/// What the reconciler works with.
pub struct Means {
    pub engine: Engine,
    pub delivery: Delivery,
    pub policy: Arc<Policy>,
    pub fleet: String,
    pub deeds: Deeds,
}

/// The ends of the channels to the agent's other parts.
pub struct Ends {
    /// `None` until the first desired state was accepted: nothing is touched before that.
    pub desired: watch::Receiver<Option<Arc<DesiredState>>>,
    pub inventory: watch::Receiver<Option<Arc<Inventory>>>,
    /// Where images come from; `None` while there is no session.
    pub channel: watch::Receiver<Option<Channel>>,
    pub status: watch::Sender<Arc<HostStatus>>,
}

impl Reconciler {
    pub fn new(means: Means, ends: Ends) -> Self {
        let Means {
            engine,
            delivery,
            policy,
            fleet,
            deeds,
        } = means;
        Self {
            engine,
            delivery,
            policy,
            catalog: Catalog::builtin(),
            fleet,
            deeds,
            holds: Holds::default(),
            in_flight: InFlight::default(),
            worked_for: None,
            slow: SLOW,
            tidied: None,
            ends,
        }
    }

    /// Works until it is dropped.
    pub async fn run(mut self) -> Infallible {
        let mut events = Box::pin(self.engine.events());
        let mut engine_answers = true;
        // Whether a container may be made depends on what the host has. An inspector that is gone is about to end us too.
        let _ = self.ends.inventory.wait_for(Option::is_some).await;
        loop {
            let again_at = match self.round(&mut engine_answers).await {
                Round::Again => continue,
                Round::Rest { until } => until,
            };
            tokio::select! {
                // Each of these only says that something changed; what, is seen in the next round.
                Ok(()) = self.ends.desired.changed() => {}
                Ok(()) = self.ends.inventory.changed() => {}
                Ok(()) = self.ends.channel.changed() => self.holds.release(image::NO_SESSION),
                Some(_) = events.next() => {
                    tokio::select! {
                        () = sleep(SWARM) => {}
                        // A delivery makes events, and somebody waits for its end.
                        () = self.in_flight.finished() => {}
                    }
                    drain(&mut events);
                }
                () = self.in_flight.finished() => {}
                () = sleep_until(again_at) => {}
            }
        }
    }

    async fn round(&mut self, engine_answers: &mut bool) -> Round {
        let desired = self.ends.desired.borrow_and_update().clone();
        self.notice_newer(desired.as_deref());
        self.settle_delivery(desired.as_deref()).await;
        self.drop_remains(desired.as_deref()).await;
        let observed = observe::observe(
            &self.engine,
            &self.fleet,
            &self.deeds,
            self.in_flight.artifact(),
        );
        let observation = match tell_if_slow(&self.ends.status, self.slow, observed).await {
            Ok(observation) => observation,
            Err(error) => {
                let reason: &dyn std::error::Error = &error;
                if std::mem::replace(engine_answers, false) {
                    error!(
                        error = reason,
                        "the engine does not answer; asking again until it does"
                    );
                }
                publish_fault(&self.ends.status, error.failure());
                return Round::Rest {
                    until: Instant::now() + ASK_ENGINE_AGAIN,
                };
            }
        };
        if !std::mem::replace(engine_answers, true) {
            info!("the engine answers again");
            self.holds.clear();
            self.tidied = None;
        }
        let Some(desired) = desired else {
            return Round::Rest {
                until: Instant::now() + LOOK_AGAIN,
            };
        };
        self.refuse_early(&desired, &observation).await;
        let plan = steps::next(
            &desired,
            &observation.scene,
            &self.holds.held(Instant::now()),
        );
        self.publish(&desired, &observation, &plan);
        let Some(step) = plan.step else {
            return self.rest();
        };
        let subject = step.subject();
        // A delivery that has begun has not gone well yet: its end tells.
        let ends_here = !matches!(step, Step::Deliver(_));
        let status = self.ends.status.clone();
        let limit = self.slow + self.grace_of(&step);
        match tell_if_slow(&status, limit, self.carry_out(step, &desired)).await {
            Ok(()) if ends_here => self.holds.done(&subject),
            Ok(()) => {}
            Err(failure) => self.hold_back(subject, failure),
        }
        Round::Again
    }

    /// What was held back gets a new chance when something else is desired. Told by the numbers and not by the wake-up:
    /// what is accepted in the middle of a round is seen at the start of the next, and wakes nobody.
    fn notice_newer(&mut self, desired: Option<&DesiredState>) {
        let pair = desired.map(|desired| (desired.incarnation, desired.generation));
        if std::mem::replace(&mut self.worked_for, pair) != pair {
            self.holds.clear();
        }
    }

    /// Tried again later. The log has a failure once, however often it is tried again.
    fn hold_back(&mut self, subject: Subject, failure: Failure) {
        if self
            .holds
            .note(subject.clone(), failure.clone(), Instant::now())
        {
            warn!(%subject, %failure, "cannot be as desired now");
        }
    }

    fn rest(&self) -> Round {
        let now = Instant::now();
        let pause = if self.in_flight.artifact().is_some() {
            TELL_PROGRESS
        } else {
            LOOK_AGAIN
        };
        let until = self
            .holds
            .next_release(now)
            .map_or(now + pause, |release| release.min(now + pause));
        Round::Rest { until }
    }

    fn publish(&self, desired: &DesiredState, observation: &Observation, plan: &Plan) {
        let status = report::report(&report::Sight {
            desired,
            observation,
            deeds: &self.deeds,
            holds: &self.holds,
            blocked: &plan.blocked,
            delivery: self.in_flight.sight(),
        });
        send(&self.ends.status, status);
    }
}

/// What was last seen stays told; that it cannot be looked at now is told beside it.
fn publish_fault(sender: &watch::Sender<Arc<HostStatus>>, fault: Failure) {
    let mut status = (**sender.borrow()).clone();
    status.fault = Some(fault);
    send(sender, status);
}

fn send(sender: &watch::Sender<Arc<HostStatus>>, status: HostStatus) {
    sender.send_if_modified(|last| {
        let is_news = **last != status;
        if is_news {
            *last = Arc::new(status);
        }
        is_news
    });
}

/// Waits for the engine, and says so in the status when that lasts. The next look takes it back.
async fn tell_if_slow<T>(
    status: &watch::Sender<Arc<HostStatus>>,
    limit: Duration,
    work: impl Future<Output = T>,
) -> T {
    let mut work = pin!(work);
    if let Ok(done) = timeout(limit, &mut work).await {
        return done;
    }
    let message = format!(
        "the engine has not answered for {} seconds; this host waits for it",
        limit.as_secs()
    );
    warn!("{message}");
    let fault = Failure::new("engine-slow", message).with_remedy(
        "see the engine's log and the host's load; if it is stuck, restart the engine",
    );
    publish_fault(status, fault);
    work.await
}

/// Takes what waits and does not wait for more: one look is enough for a whole swarm.
fn drain(events: &mut (impl Stream<Item = ()> + Unpin)) {
    while let Some(Some(())) = events.next().now_or_never() {}
}

enum Round {
    /// Something was done: look again.
    Again,
    /// Nothing to do before this.
    Rest { until: Instant },
}

#[cfg(test)]
mod tests;
