//! Containers in a desired state: made, started, stopped, restarted, removed. Saying the same twice changes nothing, but
//! for a restart, and for a start: whether what shall run does run is known on the host only, so that one is asked.

use tfleet_proto::model::desired::{
    ContainerSpec, DesiredContainer, DesiredPhase, DesiredState, RestartPolicy,
};
use tfleet_proto::model::failure::Failure;

use super::nearest;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContainerChange {
    Start,
    Stop,
    Restart,
    Remove,
}

/// Makes the container desired and running. One that is, and shall always be, is started if it has ended; one that runs
/// once has had its run. One of the same name and another specification is in the way, unless it shall be replaced.
pub fn run_container(
    desired: &mut DesiredState,
    spec: ContainerSpec,
    replace: bool,
) -> Result<(), Failure> {
    let now = now(desired);
    let before = desired
        .containers
        .iter_mut()
        .find(|container| container.spec.name == spec.name);
    match before {
        None => desired.containers.push(DesiredContainer {
            spec,
            phase: DesiredPhase::Running,
            restart_serial: 0,
            start_serial: 0,
        }),
        Some(container) if container.spec == spec => match spec.restart_policy {
            RestartPolicy::Always | RestartPolicy::UnlessStopped => start(container, now),
            RestartPolicy::No | RestartPolicy::OnFailure { .. } => {
                container.phase = DesiredPhase::Running;
            }
        },
        Some(container) if replace => {
            container.spec = spec;
            container.phase = DesiredPhase::Running;
        }
        Some(container) => {
            let message = format!(
                "a container {} is there already, of {} and made otherwise",
                spec.name, container.spec.release
            );
            return Err(Failure::new("name-taken", message)
                .with_remedy("replace it with --replace, or take another --name"));
        }
    }
    Ok(())
}

/// Changes containers by name: all of them, or none if one is unknown.
pub fn change_containers(
    desired: &mut DesiredState,
    change: ContainerChange,
    names: &[String],
) -> Result<(), Failure> {
    let now = now(desired);
    for name in names {
        let Some(index) = desired
            .containers
            .iter()
            .position(|container| container.spec.name == *name)
        else {
            return Err(unknown(desired, name));
        };
        let container = &mut desired.containers[index];
        match change {
            ContainerChange::Start => start(container, now),
            ContainerChange::Stop => container.phase = DesiredPhase::Stopped,
            ContainerChange::Restart => {
                container.phase = DesiredPhase::Running;
                container.restart_serial = after(container.restart_serial, now);
            }
            ContainerChange::Remove => drop(desired.containers.remove(index)),
        }
    }
    Ok(())
}

/// A change of phase is word enough for the host; where there is none, it is asked to look.
fn start(container: &mut DesiredContainer, now: u64) {
    if container.phase == DesiredPhase::Running {
        container.start_serial = after(container.start_serial, now);
    }
    container.phase = DesiredPhase::Running;
}

/// Grows with each change and with each restoring of an older state.
fn now(desired: &DesiredState) -> u64 {
    desired.incarnation.saturating_add(desired.generation)
}

/// A serial that no host has heeded yet: higher than any that was given before this change, also for a container of the
/// same name that was removed since, or in a state that was lost.
fn after(serial: u64, now: u64) -> u64 {
    serial.max(now).saturating_add(1)
}

fn unknown(desired: &DesiredState, name: &str) -> Failure {
    let known = || {
        desired
            .containers
            .iter()
            .map(|container| container.spec.name.as_str())
    };
    let failure = Failure::new("container-unknown", format!("there is no container {name}"));
    match nearest(name, known()) {
        Some(near) => failure.with_remedy(format!("did you mean {near}?")),
        None => failure.with_remedy("`tfleet ps` lists what there is"),
    }
}

#[cfg(test)]
mod tests;
