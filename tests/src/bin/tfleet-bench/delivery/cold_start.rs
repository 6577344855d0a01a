//! How long an agent takes until the coordinator hears of it, with an empty cache and with ten gigabytes in it.

use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;
use rustix::fs::{FallocateFlags, fallocate};
use tfleet_proto::model::digest::Digest;
use tfleet_tests::harness::TestFleet;
use tfleet_tests::lab::{HostDescription, Programs, TestLab};

use super::arguments::Arguments;
use super::row::{Goal, Part, Row, median, seconds};
use crate::speak::tell;

const HOST: &str = "host";
const ARTIFACTS: u32 = 10;
const CHUNKS: u32 = 250;
const CHUNK_BYTES: u64 = 4_000_000;

pub fn measured(arguments: &Arguments) -> Result<Vec<Row>> {
    tell("\nStarting an agent with an empty cache, and with 10 GB in it");
    let fleet = TestFleet::up(TestLab::with_host(HostDescription::new(HOST)).up()?)?;
    let agent = fleet.host(HOST)?.agent();
    agent.stop()?;
    let config = fs::read_to_string(agent.config())?;
    fs::write(agent.config(), format!("cache = \"100GB\"\n{config}"))?;
    let spool = agent.data_folder().join("delivery/spool");
    let (mut empty, mut full) = (Vec::new(), Vec::new());
    for _ in 0..arguments.rounds.max(3) {
        empty.push(start(&fleet)?);
        fill(&spool)?;
        full.push(start(&fleet)?);
        fs::remove_dir_all(&spool)?;
    }
    let middle = |times: Vec<f64>| Duration::from_secs_f64(median(times).unwrap_or_default());
    let what = "from start to session, 10 GB in the cache";
    Ok(vec![seconds(Part::ColdStart, what, middle(full)).against(
        "with an empty cache",
        middle(empty).as_secs_f64(),
        Goal::Within(1.5),
    )])
}

fn start(fleet: &TestFleet) -> Result<f64> {
    let host = fleet.host(HOST)?;
    let began = Instant::now();
    host.start_agent(&Programs::beside_this_program()?.agent()?)?;
    fleet.ok(["hosts", "wait", HOST])?;
    let time = began.elapsed().as_secs_f64();
    // It does now what it does about the cache.
    std::thread::sleep(Duration::from_secs(2));
    host.agent().stop()?;
    Ok(time)
}

/// Files that take room, as those of finished images do.
fn fill(spool: &Path) -> Result<()> {
    for artifact in 0..ARTIFACTS {
        let folder = spool.join(Digest::of(&artifact.to_le_bytes()).hex());
        fs::create_dir_all(&folder)?;
        for chunk in 0..CHUNKS {
            let name = Digest::of(&[artifact.to_le_bytes(), chunk.to_le_bytes()].concat()).hex();
            let file = File::create(folder.join(name))?;
            fallocate(&file, FallocateFlags::empty(), 0, CHUNK_BYTES)?;
        }
        fs::write(folder.join(".finished"), [])?;
    }
    Ok(())
}
