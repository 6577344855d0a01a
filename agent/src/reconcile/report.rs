//! What the coordinator is told about this host: pure, from what was seen and what stands in the ledger.

use std::collections::BTreeMap;

use tfleet_proto::model::desired::{DesiredContainer, DesiredImage, DesiredPhase, DesiredState};
use tfleet_proto::model::failure::Failure;
use tfleet_proto::model::status::{
    ContainerPhase, ContainerStatus, HostStatus, ImagePhase, ImageStatus,
};

use super::holds::{Holds, is_final};
use super::in_flight;
use super::observe::Observation;
use crate::engine::{ContainerState, OwnedContainer};
use crate::ledger::{ContainerDeed, Deeds};
use crate::steps::{Holding, Life, Subject};

/// Everything that a report is made of.
pub(super) struct Sight<'a> {
    pub desired: &'a DesiredState,
    pub observation: &'a Observation,
    pub deeds: &'a Deeds,
    pub holds: &'a Holds,
    pub blocked: &'a BTreeMap<Subject, Failure>,
    pub delivery: Option<in_flight::Sight>,
}

/// The fault is left to who knows of one.
pub(super) fn report(sight: &Sight<'_>) -> HostStatus {
    let wanted = sight
        .desired
        .containers
        .iter()
        .map(|container| sight.wanted_container(container));
    let is_unwanted = |name: &&String| {
        sight
            .desired
            .containers
            .iter()
            .all(|container| container.spec.name != **name)
    };
    let unwanted = sight
        .deeds
        .containers()
        .keys()
        .filter(is_unwanted)
        .filter_map(|name| sight.unwanted_container(name));
    HostStatus {
        incarnation: sight.desired.incarnation,
        generation: sight.desired.generation,
        observed_generation: sight.desired.generation,
        images: sight
            .desired
            .images
            .iter()
            .map(|image| sight.image(image))
            .collect(),
        containers: wanted.chain(unwanted).collect(),
        fault: None,
    }
}

impl Sight<'_> {
    fn image(&self, image: &DesiredImage) -> ImageStatus {
        let mut status = ImageStatus {
            artifact: image.artifact,
            release: image.release.clone(),
            variant: image.variant.clone(),
            phase: ImagePhase::Waiting,
            content_bytes: 0,
            present_bytes: 0,
            fetched_bytes: 0,
            kept_bytes: 0,
            wire_bytes: 0,
            peer_bytes: 0,
            loaded_bytes: 0,
            started_at: None,
            finished_at: None,
            failure: self.failure(&Subject::Image(image.artifact)).cloned(),
            tags: image.tags.clone(),
        };
        if status.failure.as_ref().is_some_and(is_final) {
            status.phase = ImagePhase::Failed;
        }
        if let Some(delivery) = self
            .delivery
            .as_ref()
            .filter(|delivery| delivery.artifact == image.artifact)
        {
            let progress = &delivery.progress;
            status.phase = ImagePhase::Transferring;
            status.started_at = Some(delivery.started_at);
            status.content_bytes = progress.content_bytes;
            status.present_bytes = progress.present_bytes;
            status.fetched_bytes = progress.fetched_bytes;
            status.kept_bytes = progress.kept_bytes;
            status.wire_bytes = progress.wire_bytes;
            status.peer_bytes = progress.peer_bytes;
            status.loaded_bytes = progress.loaded_bytes;
        } else if let Some(deed) = self.deeds.images().get(&image.artifact)
            && self.observation.scene.has_image(&image.artifact)
        {
            status.phase = ImagePhase::Present;
            status.content_bytes = deed.content_bytes;
            status.present_bytes = deed.present_bytes;
            status.fetched_bytes = deed.fetched_bytes;
            status.kept_bytes = deed.kept_bytes;
            status.wire_bytes = deed.wire_bytes;
            status.peer_bytes = deed.peer_bytes;
            status.loaded_bytes = deed.content_bytes.saturating_sub(deed.present_bytes);
            status.started_at = deed.started_at;
            status.finished_at = Some(deed.finished_at);
        }
        status
    }

    fn wanted_container(&self, wanted: &DesiredContainer) -> ContainerStatus {
        let spec = &wanted.spec;
        let failure = self
            .failure(&Subject::Container(spec.name.clone()))
            .cloned();
        let blank = ContainerStatus {
            name: spec.name.clone(),
            phase: if failure.is_some() {
                ContainerPhase::Failed
            } else {
                ContainerPhase::Pending
            },
            container_id: None,
            release: Some(spec.release.clone()),
            variant: Some(spec.variant.clone()),
            exit_code: None,
            started_at: None,
            finished_at: None,
            failure,
            gpu_mode: None,
            ports: spec.ports.clone(),
            restart_serial: 0,
            command: spec.command.clone(),
        };
        match self.ours(&spec.name) {
            // One that shall be replaced is not the one that is asked for.
            Some((deed, found, life)) if deed.spec == spec.digest() => {
                // We shall start it again: how it ended then is no longer news.
                let starts = wanted.phase == DesiredPhase::Running
                    && (!deed.started || deed.stopping || wanted.start_serial > deed.start_serial);
                let life = match life {
                    Life::Exited if starts => Life::Created,
                    life => life,
                };
                fill(blank, deed, found, life)
            }
            // One that shall rest and runs is told as running, however it was made.
            Some((deed, found, life @ Life::Running)) if wanted.phase == DesiredPhase::Stopped => {
                fill(blank, deed, found, life)
            }
            _ => blank,
        }
    }

    /// One that is on its way out.
    fn unwanted_container(&self, name: &str) -> Option<ContainerStatus> {
        let (deed, found, life) = self.ours(name)?;
        let label = |key: &str| {
            found
                .labels
                .get(key)
                .map(String::as_str)
                .unwrap_or_default()
        };
        let blank = ContainerStatus {
            name: name.to_owned(),
            phase: ContainerPhase::Pending,
            container_id: None,
            release: label("io.tfleet.release").parse().ok(),
            variant: label("io.tfleet.variant").parse().ok(),
            exit_code: None,
            started_at: None,
            finished_at: None,
            failure: self.failure(&Subject::Container(name.to_owned())).cloned(),
            gpu_mode: None,
            ports: Vec::new(),
            restart_serial: 0,
            command: Vec::new(),
        };
        Some(fill(blank, deed, found, life))
    }

    fn ours(&self, name: &str) -> Option<(&ContainerDeed, &OwnedContainer, Life)> {
        match self.observation.scene.containers.get(name)?.holding() {
            Holding::Ours(_, found) => Some((
                self.deeds.containers().get(name)?,
                self.observation.found.get(name)?,
                found.life,
            )),
            Holding::Nothing | Holding::Gone | Holding::Foreign => None,
        }
    }

    fn failure(&self, subject: &Subject) -> Option<&Failure> {
        self.blocked
            .get(subject)
            .or_else(|| self.holds.failure(subject))
    }
}

/// What runs is told as running also where something about it failed; what does not run and failed is told as failed.
fn fill(
    blank: ContainerStatus,
    deed: &ContainerDeed,
    found: &OwnedContainer,
    life: Life,
) -> ContainerStatus {
    // To the engine, one that ended and shall be started again is a kind of running. To a person it is not: it may never
    // have come further than its first line.
    let restarts = found.state == ContainerState::Restarting;
    let phase = match life {
        Life::Running if restarts => ContainerPhase::Restarting,
        Life::Running => ContainerPhase::Running,
        _ if blank.failure.is_some() => ContainerPhase::Failed,
        Life::Created => ContainerPhase::Created,
        Life::Exited | Life::Leaving => ContainerPhase::Exited,
    };
    let has_ended = life == Life::Exited || restarts;
    ContainerStatus {
        phase,
        container_id: Some(found.id.clone()),
        exit_code: found.exit_code.filter(|_| has_ended),
        started_at: found.started_at,
        finished_at: found.finished_at.filter(|_| has_ended),
        gpu_mode: deed.gpu_mode,
        restart_serial: deed.restart_serial,
        ..blank
    }
}

#[cfg(test)]
mod tests;
