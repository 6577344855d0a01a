//! One delivery by tfleet, measured from outside.

use std::time::Instant;

use anyhow::{Result, ensure};

use super::Delivered;
use crate::delivery::image::Revision;
use crate::delivery::measure::Watch;
use crate::delivery::rounds::Own;
use crate::delivery::stage::Stage;

/// From the operator's command to its answer that the image is present. The bytes are those that the host's network
/// interface saw, so TLS, TCP and acknowledgements count.
pub fn deliver(stage: &Stage, revision: Revision) -> Result<Delivered> {
    let programs = (stage.coordinator_pid()?, stage.agent_pid()?);
    let coordinator = Watch::start(programs.0, Some(stage.fleet().coordinator().data()))?;
    let agent = Watch::start(programs.1, Some(stage.ours()?.agent().data_folder()))?;
    let network = stage.ours()?.network();
    let before = network.passed_bytes()?;

    let began = Instant::now();
    stage.deliver(revision)?;
    let wall = began.elapsed();

    let moved_bytes = network.passed_bytes()? - before;
    let own = Own {
        agent: agent.end()?,
        coordinator: coordinator.end()?,
    };
    let same = programs == (stage.coordinator_pid()?, stage.agent_pid()?);
    ensure!(
        same,
        "a program was started again in the middle: what was measured is not one delivery"
    );
    Ok(Delivered {
        wall,
        moved_bytes,
        own: Some(own),
    })
}
