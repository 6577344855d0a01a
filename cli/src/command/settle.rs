//! Waits until hosts have done what was written down for them, each for itself.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tfleet_proto::model::failure::Failure;
use tfleet_proto::model::name::ReleaseRef;
use tfleet_proto::model::status::{ContainerPhase, ImagePhase, ImageStatus};
use tfleet_proto::wire;
use tfleet_proto::wire::host_event::Event;

use super::Operator;
use crate::error::Error;
use crate::view::change::{HostChange, HostResult, HostResults, Outcome};
use crate::view::host::Host;
use crate::view::progress::{Progress, Step};
use crate::view::quantity::{bytes, duration};

/// A host whose connection is gone for longer than this is reported as pending, so that it holds up nobody.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a host's status means for what we wait for.
pub(super) enum Verdict {
    Working(Step),
    /// With what it is now.
    Done(String),
    Failed(Failure),
}

struct Waiting {
    change: HostChange,
    disconnected_since: Option<Instant>,
}

/// Watches the changed hosts until `judge` is content with each. It sees only statuses that were observed after the
/// change had been accepted.
pub(super) async fn settle(
    operator: &mut Operator,
    changes: Vec<HostChange>,
    judge: impl Fn(&Host) -> Verdict,
) -> Result<HostResults, Error> {
    let action = "watch the hosts";
    let mut results: BTreeMap<String, HostResult> = BTreeMap::new();
    let mut waiting: BTreeMap<String, Waiting> = BTreeMap::new();
    for mut change in changes {
        match change.settled.take() {
            Some(outcome) => drop(results.insert(change.host.clone(), result(&change, outcome))),
            None => drop(waiting.insert(
                change.host.clone(),
                Waiting {
                    change,
                    disconnected_since: None,
                },
            )),
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
    let mut events = operator
        .watch_hosts(request)
        .await
        .map_err(Error::call(action))?
        .into_inner();
    let mut progress = Progress::new();
    while !waiting.is_empty() {
        let event = tokio::select! {
            // Cancel-safe: a message that is half received stays in the stream's buffer.
            event = events.message() => {
                Some(event.map_err(Error::call(action))?.ok_or(Error::Cut { action })?)
            }
            () = progress.tick() => None,
        };
        let now = Instant::now();
        let mut settled: Vec<(String, Outcome)> = Vec::new();
        match event.and_then(|event| event.event) {
            Some(Event::Host(host)) => {
                let host = Host::try_from(host)?;
                let name = host.name.to_string();
                if let Some(waiting) = waiting.get_mut(&name) {
                    waiting.disconnected_since = match (host.connected, waiting.disconnected_since)
                    {
                        (true, _) => None,
                        (false, since) => since.or(Some(now)),
                    };
                    match weigh(&host, &waiting.change, &judge) {
                        Verdict::Working(step) => progress.show(&name, step),
                        Verdict::Done(detail) => settled.push((name, Outcome::Done { detail })),
                        Verdict::Failed(failure) => {
                            settled.push((name, Outcome::Failed { failure }))
                        }
                    }
                }
            }
            Some(Event::Removed(name)) => {
                let failure = Failure::new(
                    "host-removed",
                    "the host was removed from the fleet meanwhile",
                );
                settled.push((name, Outcome::Failed { failure }));
            }
            Some(Event::Synced(_)) | None => {}
        }
        let is_gone = |waiting: &Waiting| {
            waiting
                .disconnected_since
                .is_some_and(|since| now.duration_since(since) >= PATIENCE)
        };
        settled.extend(
            waiting
                .iter()
                .filter(|(_, waiting)| is_gone(waiting))
                .map(|(name, _)| (name.clone(), Outcome::Pending)),
        );
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

/// Before the host has accepted and looked again, what it says is about something older.
fn weigh(host: &Host, change: &HostChange, judge: impl Fn(&Host) -> Verdict) -> Verdict {
    let Some(status) = &host.status else {
        return Verdict::Working(step("asking", "no word from the host yet"));
    };
    if status.generation < change.generation {
        return match &status.fault {
            Some(fault) => Verdict::Failed(fault.clone()),
            None => Verdict::Working(step("asking", "")),
        };
    }
    if status.observed_generation < change.generation {
        return Verdict::Working(step("accepted", ""));
    }
    match (judge(host), &status.fault) {
        (Verdict::Working(_), Some(fault)) => Verdict::Working(step("waiting", &fault.to_string())),
        (verdict, _) => verdict,
    }
}

fn step(phase: &'static str, activity: &str) -> Step {
    Step {
        phase,
        activity: activity.to_owned(),
        ..Step::default()
    }
}

/// For a rollout: whether the release's image is there.
pub(super) fn image_is_present(host: &Host, release: &ReleaseRef) -> Verdict {
    let mut images = host.status.iter().flat_map(|status| &status.images);
    match images.find(|image| image.release == *release) {
        None => Verdict::Working(step("waiting", "")),
        Some(image) => weigh_image(image),
    }
}

fn weigh_image(image: &ImageStatus) -> Verdict {
    match image.phase {
        ImagePhase::Present => Verdict::Done(delivered(image)),
        ImagePhase::Failed => Verdict::Failed(
            image
                .failure
                .clone()
                .unwrap_or_else(|| Failure::new("unknown", "the host gave no reason")),
        ),
        ImagePhase::Waiting => Verdict::Working(step(
            "waiting",
            &image
                .failure
                .as_ref()
                .map(ToString::to_string)
                .unwrap_or_default(),
        )),
        ImagePhase::Transferring => Verdict::Working(Step {
            phase: "transferring",
            activity: format!(
                "fetched {}, on the wire {}",
                bytes(image.fetched_bytes),
                bytes(image.wire_bytes)
            ),
            done_bytes: image.present_bytes + image.loaded_bytes,
            total_bytes: image.content_bytes,
        }),
    }
}

/// "present: 4.9 GiB, of which 1.2 GiB were there; 1.9 GiB on the wire in 2m".
fn delivered(image: &ImageStatus) -> String {
    let there = match image.present_bytes {
        0 => String::new(),
        present if present >= image.content_bytes => ", all of it there before".to_owned(),
        present => format!(", of which {} were there before", bytes(present)),
    };
    let sent = match image.wire_bytes {
        0 => String::new(),
        sent => format!("; {} on the wire", bytes(sent)),
    };
    let took = match (image.started_at, image.finished_at) {
        (Some(started), Some(finished)) if image.wire_bytes > 0 => {
            let time = Duration::try_from(finished.duration_since(started)).unwrap_or_default();
            format!(" in {}", duration(time))
        }
        _ => String::new(),
    };
    format!("present: {}{there}{sent}{took}", bytes(image.content_bytes))
}

/// For `run`, `start` and `restart`: whether the container runs, or has ended well.
pub(super) fn container_runs(host: &Host, container: &str) -> Verdict {
    let desired = host.desired.iter().flat_map(|desired| &desired.containers);
    let desired = desired
        .into_iter()
        .find(|wanted| wanted.spec.name == container);
    let mut images = host.status.iter().flat_map(|status| &status.images);
    // While its image is on its way, that is what there is to see.
    let image =
        desired.and_then(|wanted| images.find(|image| image.artifact == wanted.spec.artifact));
    let arriving = image
        .map(weigh_image)
        .filter(|verdict| !matches!(verdict, Verdict::Done(_)));
    let Some(status) = status_of(host, container) else {
        return arriving.unwrap_or_else(|| Verdict::Working(step("creating", "")));
    };
    if desired.is_some_and(|wanted| status.restart_serial < wanted.restart_serial) {
        return Verdict::Working(step("restarting", ""));
    }
    match status.phase {
        ContainerPhase::Running => Verdict::Done("running".to_owned()),
        ContainerPhase::Exited if status.exit_code == Some(0) => {
            Verdict::Done("ended well (0)".to_owned())
        }
        ContainerPhase::Exited => Verdict::Failed(exited(container, status.exit_code)),
        ContainerPhase::Failed => Verdict::Failed(
            status
                .failure
                .clone()
                .unwrap_or_else(|| Failure::new("unknown", "the host gave no reason")),
        ),
        ContainerPhase::Created => Verdict::Working(step("starting", "")),
        ContainerPhase::Pending => arriving.unwrap_or_else(|| {
            Verdict::Working(step(
                "creating",
                &status
                    .failure
                    .as_ref()
                    .map(ToString::to_string)
                    .unwrap_or_default(),
            ))
        }),
    }
}

fn exited(container: &str, code: Option<i32>) -> Failure {
    let code = code.map(|code| format!(" with {code}")).unwrap_or_default();
    Failure::new("container-exited", format!("{container} ended{code}"))
        .with_remedy(format!("read what it said: tfleet logs {container}"))
}

/// For `stop`.
pub(super) fn container_is_stopped(host: &Host, container: &str) -> Verdict {
    match status_of(host, container).map(|status| status.phase) {
        Some(ContainerPhase::Running) => Verdict::Working(step("stopping", "")),
        _ => Verdict::Done("stopped".to_owned()),
    }
}

/// For `rm`.
pub(super) fn container_is_gone(host: &Host, container: &str) -> Verdict {
    match status_of(host, container) {
        Some(_) => Verdict::Working(step("removing", "")),
        None => Verdict::Done("removed".to_owned()),
    }
}

fn status_of<'a>(
    host: &'a Host,
    container: &str,
) -> Option<&'a tfleet_proto::model::status::ContainerStatus> {
    host.status
        .iter()
        .flat_map(|status| &status.containers)
        .find(|status| status.name == container)
}
