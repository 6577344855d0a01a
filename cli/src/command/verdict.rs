//! What a host's status means for a change that is waited for. Pure.

use std::time::Duration;

use jiff::Timestamp;
use tfleet_proto::model::failure::Failure;
use tfleet_proto::model::name::ReleaseRef;
use tfleet_proto::model::status::{ContainerPhase, ContainerStatus, ImagePhase, ImageStatus};

use crate::view::host::Host;
use crate::view::progress::Step;
use crate::view::quantity::{bytes, duration};

/// The phase of a step that moves an image's bytes.
pub(super) const TRANSFERRING: &str = "transferring";
/// What is said of a container that runs.
pub(super) const RUNNING: &str = "running";

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    Working(Step),
    /// It did not work, and the host tries again by itself.
    Retrying(Failure),
    /// With what it is now.
    Done(String),
    /// The image is there, and how it came: news only for who saw it come.
    Delivered {
        image: String,
        how: String,
    },
    /// A command runs, since when the host says. Done once that has lasted: many a command ends before it has begun.
    Lasting(Option<Timestamp>),
    Failed(Failure),
}

/// Before the host has accepted the change and looked again, what it says is about something older.
pub(super) fn weigh(host: &Host, generation: u64, judge: impl Fn(&Host) -> Verdict) -> Verdict {
    let Some(status) = &host.status else {
        return Verdict::Working(step("asking", "no word from the host yet"));
    };
    let verdict = if status.generation < generation {
        Verdict::Working(step("asking", ""))
    } else if status.observed_generation < generation {
        Verdict::Working(step("accepted", ""))
    } else {
        judge(host)
    };
    match (&verdict, &status.fault) {
        (Verdict::Failed(_) | Verdict::Retrying(_), _) | (_, None) => verdict,
        // What it says of itself is then from before: it cannot look.
        (_, Some(fault)) => Verdict::Retrying(fault.clone()),
    }
}

/// For a rollout: whether the release's image is there.
pub(super) fn image_is_present(host: &Host, release: &ReleaseRef) -> Verdict {
    let mut images = host.status.iter().flat_map(|status| &status.images);
    let is_wanted = host.desired.as_ref().is_none_or(|desired| {
        let mut images = desired.images.iter();
        images.any(|image| image.release == *release)
    });
    match images.find(|image| image.release == *release) {
        None if !is_wanted => Verdict::Failed(superseded(release)),
        None => Verdict::Working(step("waiting", "")),
        Some(image) => weigh_image(image),
    }
}

/// For `run`, `start` and `restart`: whether the container runs, or has ended well.
pub(super) fn container_runs(host: &Host, container: &str) -> Verdict {
    let mut desired = host.desired.iter().flat_map(|desired| &desired.containers);
    let desired = desired.find(|wanted| wanted.spec.name == container);
    let mut images = host.status.iter().flat_map(|status| &status.images);
    // While its image is on its way, that is what there is to see.
    let image =
        desired.and_then(|wanted| images.find(|image| image.artifact == wanted.spec.artifact));
    let arriving = image
        .map(weigh_image)
        .filter(|verdict| !matches!(verdict, Verdict::Delivered { .. }));
    let Some(status) = status_of(host, container) else {
        return arriving.unwrap_or_else(|| Verdict::Working(step("creating", "")));
    };
    let restarts = desired.is_some_and(|wanted| status.restart_serial < wanted.restart_serial);
    match status.phase {
        // Why it cannot be comes before whether it was restarted: what cannot be created is never restarted.
        ContainerPhase::Failed => Verdict::Failed(reason(status.failure.as_ref())),
        ContainerPhase::Pending => {
            arriving.unwrap_or_else(|| retrying(status.failure.as_ref(), "creating"))
        }
        _ if restarts => retrying(status.failure.as_ref(), "restarting"),
        ContainerPhase::Created => Verdict::Working(step("starting", "")),
        ContainerPhase::Running if status.command.is_empty() => Verdict::Done(RUNNING.to_owned()),
        ContainerPhase::Running => Verdict::Lasting(status.started_at),
        // Sooner or later the engine's tries may succeed; what ended right after its start is told at once.
        ContainerPhase::Restarting => Verdict::Failed(restarting(container, status.exit_code)),
        ContainerPhase::Exited if status.exit_code == Some(0) => {
            Verdict::Done("ended well (0)".to_owned())
        }
        ContainerPhase::Exited => Verdict::Failed(exited(container, status.exit_code)),
    }
}

/// For `stop`.
pub(super) fn container_is_stopped(host: &Host, container: &str) -> Verdict {
    match status_of(host, container) {
        Some(status)
            if matches!(
                status.phase,
                ContainerPhase::Running | ContainerPhase::Restarting
            ) =>
        {
            retrying(status.failure.as_ref(), "stopping")
        }
        _ => Verdict::Done("stopped".to_owned()),
    }
}

/// For `rm`.
pub(super) fn container_is_gone(host: &Host, container: &str) -> Verdict {
    match status_of(host, container) {
        Some(status) => retrying(status.failure.as_ref(), "removing"),
        None => Verdict::Done("removed".to_owned()),
    }
}

fn weigh_image(image: &ImageStatus) -> Verdict {
    match image.phase {
        ImagePhase::Present => Verdict::Delivered {
            image: format!("present: {}", bytes(image.content_bytes)),
            how: how_it_came(image),
        },
        ImagePhase::Failed => Verdict::Failed(reason(image.failure.as_ref())),
        ImagePhase::Waiting => retrying(image.failure.as_ref(), "waiting"),
        ImagePhase::Transferring => {
            let (fetched, sent) = (bytes(image.fetched_bytes), bytes(image.wire_bytes));
            Verdict::Working(Step {
                phase: TRANSFERRING,
                activity: format!("fetched {fetched}, on the wire {sent}{}", from_hosts(image)),
                done_bytes: image.present_bytes.saturating_add(image.loaded_bytes),
                total_bytes: image.content_bytes,
            })
        }
    }
}

fn superseded(release: &ReleaseRef) -> Failure {
    Failure::new(
        "superseded",
        format!("another rollout took the place of {release} on this host"),
    )
    .with_remedy("see what is wanted there now: tfleet hosts show NAME")
}

fn retrying(failure: Option<&Failure>, phase: &'static str) -> Verdict {
    match failure {
        Some(failure) => Verdict::Retrying(failure.clone()),
        None => Verdict::Working(step(phase, "")),
    }
}

fn reason(failure: Option<&Failure>) -> Failure {
    failure
        .cloned()
        .unwrap_or_else(|| Failure::new("unknown", "the host gave no reason"))
}

fn step(phase: &'static str, activity: &str) -> Step {
    Step {
        phase,
        activity: activity.to_owned(),
        ..Step::default()
    }
}

/// ", of which 1.2 GiB were there before, 0.8 GiB kept of earlier ones; 1.9 GiB on the wire in 2m".
fn how_it_came(image: &ImageStatus) -> String {
    let there = match image.present_bytes {
        0 => String::new(),
        present if present >= image.content_bytes => ", all of it there before".to_owned(),
        present => format!(", of which {} were there before", bytes(present)),
    };
    let kept = match image.kept_bytes {
        0 => String::new(),
        kept if there.is_empty() => {
            format!(", of which {} were kept of earlier ones", bytes(kept))
        }
        kept => format!(", {} kept of earlier ones", bytes(kept)),
    };
    let sent = match image.wire_bytes {
        0 => String::new(),
        sent => format!("; {} on the wire{}", bytes(sent), from_hosts(image)),
    };
    let took = match (image.started_at, image.finished_at) {
        (Some(started), Some(finished)) if image.wire_bytes > 0 => {
            let time = Duration::try_from(finished.duration_since(started)).unwrap_or_default();
            format!(" in {}", duration(time))
        }
        _ => String::new(),
    };
    format!("{there}{kept}{sent}{took}")
}

/// " (0.9 GiB from other hosts)".
fn from_hosts(image: &ImageStatus) -> String {
    match image.peer_bytes {
        0 => String::new(),
        peers => format!(" ({} from other hosts)", bytes(peers)),
    }
}

fn exited(container: &str, code: Option<i32>) -> Failure {
    let code = code.map(|code| format!(" with {code}")).unwrap_or_default();
    Failure::new("container-exited", format!("{container} ended{code}"))
        .with_remedy(format!("read what it said: tfleet logs {container}"))
}

fn restarting(container: &str, code: Option<i32>) -> Failure {
    let code = code.map(|code| format!(" with {code}")).unwrap_or_default();
    let message = format!("{container} ended{code}, and its restart policy starts it again");
    Failure::new("container-restarting", message)
        .with_remedy(format!("read what it said: tfleet logs {container}"))
}

fn status_of<'a>(host: &'a Host, container: &str) -> Option<&'a ContainerStatus> {
    let mut containers = host.status.iter().flat_map(|status| &status.containers);
    containers.find(|status| status.name == container)
}

#[cfg(test)]
mod tests;
