//! The measuring itself: both ways in turn, round after round, each round from empty engines.

use std::time::Duration;

use anyhow::Result;

use crate::main_job::image::Revision;
use crate::main_job::measure::Peaks;
use crate::main_job::stage::Stage;
use crate::main_job::{save_load, tfleet};
use crate::speak::tell;

/// One delivery.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    pub wall: Duration,
    pub wire_bytes: u64,
    /// The coordinator, or `docker save`.
    pub sender: Peaks,
    /// The agent, or `docker load`.
    pub receiver: Peaks,
}

/// The same delivery in both ways.
#[derive(Clone, Copy, Debug)]
pub struct Pair {
    pub ours: Sample,
    pub against: Sample,
}

#[derive(Clone, Copy, Debug)]
pub struct Round {
    pub first: Pair,
    pub rebuild: Pair,
}

/// `archives` are the sizes of what `docker save` writes, by revision.
pub fn run(stage: &Stage, count: u32, archives: &[u64; 2]) -> Result<Vec<Round>> {
    (0..count)
        .map(|number| {
            stage.begin_anew()?;
            // Who goes first has the quieter disk: they take turns.
            let ours_first = number % 2 == 0;
            let round = Round {
                first: pair(stage, Revision::First, archives[0], ours_first)?,
                rebuild: pair(stage, Revision::Rebuild, archives[1], ours_first)?,
            };
            tell(&format!(
                "round {} of {count}: first delivery {}; rebuild {}",
                number + 1,
                round.first.walls(),
                round.rebuild.walls(),
            ));
            Ok(round)
        })
        .collect()
}

fn pair(stage: &Stage, revision: Revision, archive_bytes: u64, ours_first: bool) -> Result<Pair> {
    let ours = || {
        rustix::fs::sync();
        tfleet::deliver(stage, revision)
    };
    let against = || {
        rustix::fs::sync();
        save_load::deliver(stage, revision, archive_bytes)
    };
    let pair = if ours_first {
        let ours = ours()?;
        Pair {
            ours,
            against: against()?,
        }
    } else {
        let against = against()?;
        Pair {
            ours: ours()?,
            against,
        }
    };
    stage.check_same(revision)?;
    Ok(pair)
}

impl Pair {
    fn walls(&self) -> String {
        let (ours, against) = (
            self.ours.wall.as_secs_f64(),
            self.against.wall.as_secs_f64(),
        );
        format!("{ours:.1} s against {against:.1} s")
    }
}
