//! The fleet's containers, as the engine has them.

use std::collections::{BTreeMap, HashMap};

use bollard::errors::Error as ClientError;
use bollard::models::{ContainerInspectResponse, ContainerStateStatusEnum};
use bollard::query_parameters::ListContainersOptionsBuilder;
use jiff::Timestamp;
use tfleet_proto::model::digest::Digest;

use super::{Engine, EngineError};

const FLEET_LABEL: &str = "io.tfleet.fleet";
const SPEC_LABEL: &str = "io.tfleet.spec";

/// A container that carries the fleet's label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnedContainer {
    pub id: String,
    pub name: String,
    /// `None`: its label cannot be read.
    pub spec_digest: Option<Digest>,
    pub labels: BTreeMap<String, String>,
    pub state: ContainerState,
    /// Set once it has ended.
    pub exit_code: Option<i32>,
    /// The last start.
    pub started_at: Option<Timestamp>,
    /// The last end.
    pub finished_at: Option<Timestamp>,
    pub image_id: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ContainerState {
    Created,
    Running,
    Paused,
    Restarting,
    Exited,
    Dead,
    Removing,
}

impl Engine {
    /// All containers that carry the label of this fleet. A label alone does not prove that we made them: an image's
    /// labels merge into its containers'.
    pub async fn containers(&self, fleet: &str) -> Result<Vec<OwnedContainer>, EngineError> {
        let docker = self.quick().await?;
        let filters = HashMap::from([("label", vec![format!("{FLEET_LABEL}={fleet}")])]);
        let options = ListContainersOptionsBuilder::default()
            .all(true)
            .filters(&filters)
            .build();
        let summaries = self
            .ask("list its containers", docker.list_containers(Some(options)))
            .await?;
        let mut containers = Vec::with_capacity(summaries.len());
        for id in summaries.into_iter().filter_map(|summary| summary.id) {
            match docker.inspect_container(&id, None).await {
                Ok(seen) => containers.push(owned(seen).ok_or(EngineError::Incomplete {
                    operation: "look at a container",
                    what: "its name, image or state",
                })?),
                // Removed meanwhile.
                Err(ClientError::DockerResponseServerError {
                    status_code: 404, ..
                }) => {}
                Err(error) => return Err(self.failed("look at a container", error)),
            }
        }
        Ok(containers)
    }
}

fn owned(seen: ContainerInspectResponse) -> Option<OwnedContainer> {
    let state = seen.state?;
    let labels: BTreeMap<String, String> = seen
        .config?
        .labels
        .unwrap_or_default()
        .into_iter()
        .collect();
    let status = container_state(state.status?)?;
    let ended = matches!(
        status,
        ContainerState::Exited | ContainerState::Dead | ContainerState::Restarting
    );
    Some(OwnedContainer {
        id: seen.id?,
        name: seen.name?.trim_start_matches('/').to_owned(),
        spec_digest: labels
            .get(SPEC_LABEL)
            .and_then(|digest| digest.parse().ok()),
        labels,
        state: status,
        exit_code: state
            .exit_code
            .filter(|_| ended)
            .and_then(|code| i32::try_from(code).ok()),
        started_at: moment(state.started_at),
        finished_at: moment(state.finished_at),
        image_id: seen.image?,
    })
}

fn container_state(status: ContainerStateStatusEnum) -> Option<ContainerState> {
    match status {
        ContainerStateStatusEnum::CREATED => Some(ContainerState::Created),
        ContainerStateStatusEnum::RUNNING | ContainerStateStatusEnum::STOPPING => {
            Some(ContainerState::Running)
        }
        ContainerStateStatusEnum::PAUSED => Some(ContainerState::Paused),
        ContainerStateStatusEnum::RESTARTING => Some(ContainerState::Restarting),
        ContainerStateStatusEnum::EXITED => Some(ContainerState::Exited),
        ContainerStateStatusEnum::DEAD => Some(ContainerState::Dead),
        ContainerStateStatusEnum::REMOVING => Some(ContainerState::Removing),
        ContainerStateStatusEnum::EMPTY => None,
    }
}

/// Engines write the year 1 for "never".
fn moment(text: Option<String>) -> Option<Timestamp> {
    text?
        .parse()
        .ok()
        .filter(|moment| *moment > Timestamp::UNIX_EPOCH)
}
