//! The measuring itself: all ways in turn, round after round, each from an empty engine.

use std::time::Duration;

use anyhow::Result;

use super::image::Revision;
use super::measure::{DiskWrites, Peaks};
use super::stage::Stage;
use super::way::Way;
use crate::speak::tell;

/// One delivery.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    pub wall: Duration,
    /// What had to be moved to the host.
    pub moved_bytes: u64,
    /// By the whole machine meanwhile, until nothing was left to write. None where its disk does not count.
    pub written_bytes: Option<u64>,
    /// Of tfleet's programs. None for other ways.
    pub own: Option<Own>,
}

#[derive(Clone, Copy, Debug)]
pub struct Own {
    pub agent: Peaks,
    pub coordinator: Peaks,
}

/// Both deliveries by one way.
#[derive(Clone, Copy, Debug)]
pub struct Pass {
    pub way: Way,
    pub first: Sample,
    pub rebuild: Sample,
}

/// All ways, `count` times.
pub fn run(stage: &Stage, count: u32) -> Result<Vec<Pass>> {
    let mut passes = Vec::new();
    for number in 0..count {
        tell(&format!("\nround {} of {count}", number + 1));
        // Who goes first has the quieter disk: they take turns.
        let mut ways = Way::ALL;
        ways.rotate_left(number as usize % Way::ALL.len());
        for way in ways {
            passes.push(pass(stage, way)?);
        }
    }
    Ok(passes)
}

fn pass(stage: &Stage, way: Way) -> Result<Pass> {
    way.begin_anew(stage)?;
    let pass = Pass {
        way,
        first: delivery(stage, way, Revision::First)?,
        rebuild: delivery(stage, way, Revision::Rebuild)?,
    };
    tell(&format!(
        "  {:<26} first {:>6.1} s, one package changed {:>6.1} s",
        way.name(),
        pass.first.wall.as_secs_f64(),
        pass.rebuild.wall.as_secs_f64(),
    ));
    Ok(pass)
}

fn delivery(stage: &Stage, way: Way, revision: Revision) -> Result<Sample> {
    let writes = DiskWrites::start(&stage.folder())?;
    let delivered = way.deliver(stage, revision)?;
    let written_bytes = writes.end()?;
    stage.check(way, revision)?;
    Ok(Sample {
        wall: delivered.wall,
        moved_bytes: delivered.moved_bytes,
        written_bytes,
        own: delivered.own,
    })
}
