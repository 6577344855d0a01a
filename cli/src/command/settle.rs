//! Waits until hosts have done what was written down for them, each for itself.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use clap::Args;
use jiff::Timestamp;
use tfleet_proto::model::failure::Failure;
use tfleet_proto::wire;
use tfleet_proto::wire::host_event::Event;

use super::Operator;
use super::token::parse_life;
use super::verdict::{RUNNING, TRANSFERRING, Verdict, weigh};
use crate::error::Error;
use crate::view::change::{HostChange, HostResult, HostResults, Outcome};
use crate::view::host::Host;
use crate::view::progress::{Progress, Step};
use crate::view::quantity::duration;

/// A host whose connection is gone for longer than this is reported as pending, so that it holds up nobody.
const DISCONNECTED: Duration = Duration::from_secs(30);
/// A host that tries in vain for longer than this is reported as failed. It goes on trying.
const IN_VAIN: Duration = Duration::from_secs(60);

/// A command that still runs after this is told as running. One that cannot even begin (a misspelt module, a missing file)
/// has ended by then.
const STEADY: Duration = Duration::from_secs(2);

const ACTION: &str = "watch the hosts";

/// How long to wait: the flags that changing commands share.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct Patience {
    /// Return once it is written down, and wait for no host
    #[arg(long)]
    pub(super) no_wait: bool,
    /// Wait at most this long: 90s, 10m. What is not done by then goes on without us
    #[arg(long, value_name = "TIME", value_parser = parse_life, conflicts_with = "no_wait")]
    timeout: Option<Duration>,
}

/// A host that is waited for.
struct Waiting {
    change: HostChange,
    disconnected_since: Option<Instant>,
    /// Whether it was not so at the first look.
    has_waited: bool,
    in_vain_since: Option<Instant>,
    /// Whether its last word was that it failed and tries again.
    is_retrying: bool,
    /// How far the image on its way ever came, in bytes.
    furthest_bytes: u64,
    /// Since when it runs as far as we saw, and since when by the host's word.
    lasting: Option<(Instant, Option<Timestamp>)>,
    /// What it said last: how it goes, and why it tries again.
    last: String,
    failure: Option<Failure>,
}

/// Watches the changed hosts until `judge` is content with each. It sees only statuses that were observed after the
/// change had been accepted.
pub(super) async fn settle(
    operator: &mut Operator,
    changes: Vec<HostChange>,
    patience: &Patience,
    judge: impl Fn(&Host) -> Verdict,
) -> Result<HostResults, Error> {
    let mut results: BTreeMap<String, HostResult> = BTreeMap::new();
    let mut waiting: BTreeMap<String, Waiting> = BTreeMap::new();
    for mut change in changes {
        match change
            .settled
            .take()
            .or(patience.no_wait.then_some(Outcome::Asked))
        {
            Some(outcome) => drop(results.insert(change.host.clone(), result(&change, outcome))),
            None => drop(waiting.insert(change.host.clone(), Waiting::new(change))),
        }
    }
    if waiting.is_empty() {
        return Ok(HostResults(results.into_values().collect()));
    }
    let names = waiting.keys().cloned().collect();
    let selector = wire::Selector {
        names,
        ..wire::Selector::default()
    };
    let request = wire::ListHostsRequest {
        selector: Some(selector),
    };
    let answer = operator
        .watch_hosts(request)
        .await
        .map_err(Error::call(ACTION))?;
    let mut events = answer.into_inner();
    let mut progress = Progress::new();
    let began = Instant::now();
    while !waiting.is_empty() {
        let event = tokio::select! {
            // Cancel-safe: a message that is half received stays in the stream's buffer.
            event = events.message() => {
                event.map_err(Error::call(ACTION))?.ok_or(Error::Cut { action: ACTION })?.event
            }
            () = progress.tick() => None,
        };
        let now = Instant::now();
        let mut settled: Vec<(String, Outcome)> = Vec::new();
        match event {
            Some(Event::Host(host)) => {
                let host = Host::try_from(host)?;
                let name = host.name.to_string();
                if let Some(waiting) = waiting.get_mut(&name) {
                    match waiting.look(&host, now, &judge) {
                        Look::Working(step) => progress.show(&name, step),
                        Look::Settled(outcome) => settled.push((name, outcome)),
                    }
                }
            }
            Some(Event::Removed(name)) => {
                let gone = "the host was removed from the fleet meanwhile";
                let failure = Failure::new("host-removed", gone);
                settled.push((name, Outcome::Failed { failure }));
            }
            // By name they are always selected.
            Some(Event::Unmatched(_) | Event::Synced(_)) | None => {}
        }
        let too_long = patience
            .timeout
            .filter(|limit| now.duration_since(began) >= *limit);
        let given_up = |(name, waiting): (&String, &Waiting)| {
            waiting
                .ended_waiting(now, too_long)
                .map(|outcome| (name.clone(), outcome))
        };
        settled.extend(waiting.iter().filter_map(given_up));
        for (name, outcome) in settled {
            let Some(Waiting { change, .. }) = waiting.remove(&name) else {
                continue;
            };
            progress.finish(&name, &last_word(&outcome));
            results.insert(name, result(&change, outcome));
        }
    }
    Ok(HostResults(results.into_values().collect()))
}

enum Look {
    Working(Step),
    Settled(Outcome),
}

impl Waiting {
    fn new(change: HostChange) -> Self {
        Self {
            change,
            disconnected_since: None,
            has_waited: false,
            in_vain_since: None,
            is_retrying: false,
            furthest_bytes: 0,
            lasting: None,
            last: "no word from the host yet".to_owned(),
            failure: None,
        }
    }

    fn look(&mut self, host: &Host, now: Instant, judge: impl Fn(&Host) -> Verdict) -> Look {
        self.disconnected_since = if host.connected {
            None
        } else {
            self.disconnected_since.or(Some(now))
        };
        self.hear(weigh(host, self.change.generation, judge), now)
    }

    fn hear(&mut self, verdict: Verdict, now: Instant) -> Look {
        self.lasting = match &verdict {
            // Another start is another life, also where nobody saw the end of the last one.
            Verdict::Lasting(since) => self
                .lasting
                .filter(|(_, before)| before == since)
                .or(Some((now, *since))),
            _ => None,
        };
        let step = match verdict {
            Verdict::Lasting(_) => Step {
                phase: RUNNING,
                ..Step::default()
            },
            Verdict::Done(detail) => return Look::Settled(Outcome::Done { detail }),
            Verdict::Delivered { image, how } => {
                let detail = match self.has_waited {
                    true => image + &how,
                    false => image + ", as before",
                };
                return Look::Settled(Outcome::Done { detail });
            }
            Verdict::Failed(failure) => return Look::Settled(Outcome::Failed { failure }),
            Verdict::Working(step) => {
                self.is_retrying = false;
                // A try that comes further than those before it, or another step, means that they were not in vain. One
                // that only begins anew may fail like the last.
                let begins_anew =
                    step.phase == TRANSFERRING && step.done_bytes <= self.furthest_bytes;
                if !begins_anew {
                    self.in_vain_since = None;
                    self.failure = None;
                }
                self.furthest_bytes = self.furthest_bytes.max(step.done_bytes);
                step
            }
            Verdict::Retrying(failure) => {
                self.is_retrying = true;
                self.in_vain_since = self.in_vain_since.or(Some(now));
                let activity = failure.to_string();
                self.failure = Some(failure);
                Step {
                    phase: "trying again",
                    activity,
                    ..Step::default()
                }
            }
        };
        self.has_waited = true;
        self.last = match step.activity.as_str() {
            "" => step.phase.to_owned(),
            activity => format!("{}: {activity}", step.phase),
        };
        Look::Working(step)
    }

    /// What to report of a host for which there is no point in waiting longer.
    fn ended_waiting(&self, now: Instant, too_long: Option<Duration>) -> Option<Outcome> {
        let lasts = |since: Option<Instant>, limit| {
            since.is_some_and(|since| now.duration_since(since) >= limit)
        };
        let lasting = self.lasting.map(|(since, _)| since);
        if lasts(lasting, STEADY) || (lasting.is_some() && too_long.is_some()) {
            let detail = RUNNING.to_owned();
            return Some(Outcome::Done { detail });
        }
        if lasts(self.disconnected_since, DISCONNECTED) {
            return Some(Outcome::Pending);
        }
        // A try that is under way may still go well.
        let in_vain = self.is_retrying && lasts(self.in_vain_since, IN_VAIN);
        match (&self.failure, too_long) {
            (Some(failure), limit) if limit.is_some() || in_vain => Some(Outcome::Failed {
                failure: failure.clone(),
            }),
            (_, Some(limit)) => {
                let message = format!("not done after {} ({})", duration(limit), self.last);
                let remedy = "the host goes on with it; look again later";
                let failure = Failure::new("timeout", message).with_remedy(remedy);
                Some(Outcome::Failed { failure })
            }
            _ => None,
        }
    }
}

fn last_word(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Done { detail } => detail.clone(),
        Outcome::Asked => "asked".to_owned(),
        Outcome::Pending => "not connected; it will do this when it comes back".to_owned(),
        Outcome::Failed { failure } => format!("failed: {failure}"),
    }
}

fn result(change: &HostChange, outcome: Outcome) -> HostResult {
    HostResult {
        host: change.host.clone(),
        variant: change.variant.clone(),
        outcome,
    }
}

#[cfg(test)]
mod tests;
