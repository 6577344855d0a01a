//! Looking at the host: the engine's view and the ledger's, side by side.

use std::collections::BTreeMap;

use tfleet_proto::model::digest::Digest;

use crate::engine::{ContainerState, Engine, EngineError, OwnedContainer};
use crate::ledger::{ContainerDeed, Deeds};
use crate::steps::{Deed, Found, Life, PastStart, Scene, SceneContainer, SceneImage};

/// What was seen at one time.
#[derive(Debug)]
pub(super) struct Observation {
    pub scene: Scene,
    /// By name, with what only a report needs.
    pub found: BTreeMap<String, OwnedContainer>,
}

pub(super) async fn observe(
    engine: &Engine,
    fleet: &str,
    deeds: &Deeds,
    delivering: Option<Digest>,
) -> Result<Observation, EngineError> {
    let images = engine.images().await?;
    let found: BTreeMap<String, OwnedContainer> = engine
        .containers(fleet)
        .await?
        .into_iter()
        .map(|container| (container.name.clone(), container))
        .collect();

    let scene_images = deeds.images().iter().map(|(artifact, deed)| {
        let present = images
            .iter()
            .find(|image| image.engine_id == deed.engine_id);
        let image = SceneImage {
            engine_id: deed.engine_id.clone(),
            given: deed.tags.iter().cloned().collect(),
            present: present.map(|image| image.tags.iter().cloned().collect()),
        };
        (*artifact, image)
    });
    let mut containers: BTreeMap<String, SceneContainer> = BTreeMap::new();
    for (name, deed) in deeds.containers() {
        containers.entry(name.clone()).or_default().deed = Some(scene_deed(deed));
    }
    for (name, container) in &found {
        containers.entry(name.clone()).or_default().found = Some(scene_found(container));
    }
    let scene = Scene {
        images: scene_images.collect(),
        containers,
        delivering,
    };
    Ok(Observation { scene, found })
}

fn scene_deed(deed: &ContainerDeed) -> Deed {
    Deed {
        spec: deed.spec,
        artifact: deed.artifact,
        id: deed.id.clone(),
        started: deed.started,
        starting: deed.starting.map(|start| PastStart {
            restart_serial: start.restart_serial,
            start_serial: start.start_serial,
            before: start.before,
        }),
        stopping: deed.stopping,
        restart_serial: deed.restart_serial,
        start_serial: deed.start_serial,
    }
}

fn scene_found(container: &OwnedContainer) -> Found {
    Found {
        id: container.id.clone(),
        spec: container.spec_digest,
        life: match container.state {
            ContainerState::Created => Life::Created,
            ContainerState::Running | ContainerState::Paused | ContainerState::Restarting => {
                Life::Running
            }
            ContainerState::Exited | ContainerState::Dead => Life::Exited,
            ContainerState::Removing => Life::Leaving,
        },
        started_at: container.started_at,
    }
}
