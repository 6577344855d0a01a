//! One delivery by tfleet, measured from outside.

use std::time::Instant;

use anyhow::{Result, ensure};

use crate::main_job::image::Revision;
use crate::main_job::measure::Watch;
use crate::main_job::rounds::Sample;
use crate::main_job::stage::Stage;

/// From the operator's command to its answer that the image is present. The bytes are those that the host's network
/// interface saw, so TLS, TCP and acknowledgements count.
pub fn deliver(stage: &Stage, revision: Revision) -> Result<Sample> {
    let (coordinator, agent) = (stage.coordinator_pid()?, stage.agent_pid()?);
    let sender = Watch::start(coordinator, Some(stage.fleet().coordinator().data()))?;
    let receiver = Watch::start(agent, Some(stage.ours()?.agent().data_folder()))?;
    let wire_before = wire_bytes(stage)?;

    let began = Instant::now();
    stage.deliver(revision)?;
    let wall = began.elapsed();

    let wire_bytes = wire_bytes(stage)? - wire_before;
    let sample = Sample {
        wall,
        wire_bytes,
        sender: sender.end()?,
        receiver: receiver.end()?,
    };
    let same = (coordinator, agent) == (stage.coordinator_pid()?, stage.agent_pid()?);
    ensure!(
        same,
        "a program was started again in the middle: what was measured is not one delivery"
    );
    Ok(sample)
}

/// What went through the cable of `ours`, both ways.
fn wire_bytes(stage: &Stage) -> Result<u64> {
    let network = stage.ours()?.network();
    Ok(network.sent_bytes()? + network.received_bytes()?)
}
