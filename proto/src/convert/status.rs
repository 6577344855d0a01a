//! `HostStatus` and what it holds.

use super::Refusal;
use super::field::{
    enumeration, enumeration_pairs, list, optional, optional_enumeration, optional_text,
    optional_timestamp, parsed, parsed_optional, text, wire_list, wire_timestamp,
};
use crate::model::status::{ContainerPhase, ContainerStatus, HostStatus, ImagePhase, ImageStatus};
use crate::wire;

enumeration_pairs!(
    wire::ImagePhase,
    ImagePhase,
    Waiting <=> Waiting,
    Transferring <=> Transferring,
    Present <=> Present,
    Failed <=> Failed,
);
enumeration_pairs!(
    wire::ContainerPhase,
    ContainerPhase,
    Pending <=> Pending,
    Created <=> Created,
    Running <=> Running,
    Exited <=> Exited,
    Failed <=> Failed,
    Restarting <=> Restarting,
);

impl TryFrom<wire::HostStatus> for HostStatus {
    type Error = Refusal;

    fn try_from(status: wire::HostStatus) -> Result<Self, Refusal> {
        Ok(Self {
            incarnation: status.incarnation,
            generation: status.generation,
            observed_generation: status.observed_generation,
            images: list("images", status.images)?,
            containers: list("containers", status.containers)?,
            fault: optional("fault", status.fault)?,
        })
    }
}

impl From<HostStatus> for wire::HostStatus {
    fn from(status: HostStatus) -> Self {
        Self {
            incarnation: status.incarnation,
            generation: status.generation,
            observed_generation: status.observed_generation,
            images: wire_list(status.images),
            containers: wire_list(status.containers),
            fault: status.fault.map(Into::into),
        }
    }
}

impl TryFrom<wire::ImageStatus> for ImageStatus {
    type Error = Refusal;

    fn try_from(image: wire::ImageStatus) -> Result<Self, Refusal> {
        Ok(Self {
            artifact: parsed("artifact", &image.artifact)?,
            release: parsed("release", &image.release)?,
            variant: parsed("variant", &image.variant)?,
            phase: enumeration::<wire::ImagePhase, _>("phase", image.phase)?,
            content_bytes: image.content_bytes,
            present_bytes: image.present_bytes,
            fetched_bytes: image.fetched_bytes,
            kept_bytes: image.kept_bytes,
            wire_bytes: image.wire_bytes,
            peer_bytes: image.peer_bytes,
            loaded_bytes: image.loaded_bytes,
            started_at: optional_timestamp("started_at", image.started_at)?,
            finished_at: optional_timestamp("finished_at", image.finished_at)?,
            failure: optional("failure", image.failure)?,
            tags: image.tags,
        })
    }
}

impl From<ImageStatus> for wire::ImageStatus {
    fn from(image: ImageStatus) -> Self {
        Self {
            artifact: image.artifact.to_string(),
            release: image.release.to_string(),
            variant: image.variant.to_string(),
            phase: wire::ImagePhase::from(image.phase).into(),
            content_bytes: image.content_bytes,
            present_bytes: image.present_bytes,
            fetched_bytes: image.fetched_bytes,
            kept_bytes: image.kept_bytes,
            wire_bytes: image.wire_bytes,
            peer_bytes: image.peer_bytes,
            loaded_bytes: image.loaded_bytes,
            started_at: image.started_at.map(wire_timestamp),
            finished_at: image.finished_at.map(wire_timestamp),
            failure: image.failure.map(Into::into),
            tags: image.tags,
        }
    }
}

impl TryFrom<wire::ContainerStatus> for ContainerStatus {
    type Error = Refusal;

    fn try_from(container: wire::ContainerStatus) -> Result<Self, Refusal> {
        Ok(Self {
            name: text("name", container.name)?,
            phase: enumeration::<wire::ContainerPhase, _>("phase", container.phase)?,
            container_id: optional_text(container.container_id),
            release: parsed_optional("release", &container.release)?,
            variant: parsed_optional("variant", &container.variant)?,
            exit_code: container.exit_code,
            started_at: optional_timestamp("started_at", container.started_at)?,
            finished_at: optional_timestamp("finished_at", container.finished_at)?,
            failure: optional("failure", container.failure)?,
            gpu_mode: optional_enumeration::<wire::GpuMode, _>("gpu_mode", container.gpu_mode)?,
            ports: list("ports", container.ports)?,
            restart_serial: container.restart_serial,
            command: container.command,
        })
    }
}

impl From<ContainerStatus> for wire::ContainerStatus {
    fn from(container: ContainerStatus) -> Self {
        Self {
            name: container.name,
            phase: wire::ContainerPhase::from(container.phase).into(),
            container_id: container.container_id.unwrap_or_default(),
            release: container
                .release
                .map(|release| release.to_string())
                .unwrap_or_default(),
            variant: container
                .variant
                .map(|variant| variant.to_string())
                .unwrap_or_default(),
            exit_code: container.exit_code,
            started_at: container.started_at.map(wire_timestamp),
            finished_at: container.finished_at.map(wire_timestamp),
            failure: container.failure.map(Into::into),
            gpu_mode: container
                .gpu_mode
                .map(wire::GpuMode::from)
                .unwrap_or_default()
                .into(),
            ports: wire_list(container.ports),
            restart_serial: container.restart_serial,
            command: container.command,
        }
    }
}
