//! The memory of the real programs while an image passes that is larger than what they may hold.

use std::fs;

use anyhow::{Context, Result, ensure};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tfleet_tests::harness::TestFleet;
use tfleet_tests::lab::{EngineKind, HostDescription, TestLab};

const LAYER_BYTES: usize = 1_100_000_000;
const MOST_MEBIBYTES: u64 = 100;

/// The highest resident memory of a process since its start.
fn peak_mebibytes(pid: i32) -> Result<u64> {
    memory_of(pid, "VmHWM:")
}

pub fn resident_mebibytes(pid: i32) -> Result<u64> {
    memory_of(pid, "VmRSS:")
}

fn memory_of(pid: i32, which: &str) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(which));
    let kibibytes: u64 = line
        .and_then(|line| line.trim().strip_suffix("kB"))
        .context("it is not told")?
        .trim()
        .parse()?;
    Ok(kibibytes / 1024)
}

/// Bytes that compress to about a half, as libraries do.
fn content() -> Vec<u8> {
    let mut content = vec![0; LAYER_BYTES];
    let mut random = StdRng::seed_from_u64(11);
    for block in content.chunks_mut(4096) {
        let half = block.len() / 2;
        random.fill_bytes(&mut block[..half]);
    }
    content
}

#[test]
fn coordinator_and_agent_pass_a_layer_of_over_a_gigabyte_in_less_than_100_mebibytes_each()
-> Result<()> {
    let lab = TestLab::builder()
        .builder_engine(EngineKind::System)
        .host(HostDescription::new("host"));
    let fleet = TestFleet::up(lab.up()?)?;
    let coordinator = fleet.coordinator().pid().context("the coordinator runs")?;
    let process = fleet.host("host")?.agent().process().running();
    let agent = process.context("the agent runs")?.as_raw_nonzero().get();

    fleet.add_image("large", &[("large", &content())], &[])?;
    let storing = peak_mebibytes(coordinator)?;
    fleet.ok(["rollout", "start", "large", "--all"])?;
    let serving = peak_mebibytes(coordinator)?;
    // A process that was started again in between is another one, and cannot be read.
    let loading = peak_mebibytes(agent)?;
    let image = fleet.shown("host")?["status"]["images"][0].clone();
    ensure!(
        image["fetched_bytes"].as_u64() >= Some(LAYER_BYTES as u64),
        "{image}"
    );
    println!("coordinator: {storing} MiB storing, {serving} MiB serving; agent: {loading} MiB");
    ensure!(
        storing < MOST_MEBIBYTES && serving < MOST_MEBIBYTES && loading < MOST_MEBIBYTES,
        "coordinator: {storing} MiB storing, {serving} MiB serving; agent: {loading} MiB"
    );
    Ok(())
}
