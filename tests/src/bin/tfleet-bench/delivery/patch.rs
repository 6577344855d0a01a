//! A patch release of TensorFlow, for hosts that have the one before, over links of 1 Gb/s; and the same recipe built twice.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tfleet_tests::harness::{TestFleet, files_below};
use tfleet_tests::lab::{EngineKind, Host, HostDescription, Programs, TestLab, run};

use super::arguments::Arguments;
use super::link::limit_host;
use super::measure::{Peaks, Watch};
use super::row::{Goal, Part, Row, bytes, peaks, seconds};
use crate::speak::tell;

const RELEASE: &str = "patch";
/// The first to get the newer image, while patches are made for it.
const FIRST: &str = "first";
/// Gets it when they are made.
const LATER: &str = "later";
/// Keeps nothing, and gets whole layers.
const PLAIN: &str = "plain";
/// In bytes per second.
const GIGABIT: f64 = 125e6;
/// 15 MB.
const MOST_MIB: f64 = 14.3;
/// For coding patches, and everything else that the coordinator does.
const CODING_MIB: f64 = 512.0;
const GENERATED_BYTES: usize = 300 << 20;

/// One delivery of the newer image.
struct Sample {
    wall: Duration,
    moved_bytes: u64,
    agent: Peaks,
    coordinator: Peaks,
}

pub fn measured(arguments: &Arguments) -> Result<Vec<Row>> {
    tell("\nStarting three hosts that get a patch release over links of 1 Gb/s");
    let mut lab = TestLab::builder().builder_engine(EngineKind::System);
    for name in [FIRST, LATER, PLAIN] {
        lab = lab.host(HostDescription::new(name));
    }
    let fleet = TestFleet::up(lab.up()?)?;
    keep_nothing(fleet.host(PLAIN)?)?;
    fleet.ok(["hosts", "wait", PLAIN])?;
    make(&fleet, arguments.small, "2.15.0", 0)?;
    fleet.ok(["rollout", "start", &format!("{RELEASE}:v1"), "--all"])?;
    make(&fleet, arguments.small, "2.15.1", 1)?;
    for host in fleet.hosts() {
        limit_host(host, GIGABIT)?;
    }
    let mut samples = Vec::new();
    for name in [FIRST, LATER, PLAIN] {
        let sample = deliver(&fleet, name)?;
        tell(&format!(
            "  {name}: {:.1} s, {} bytes",
            sample.wall.as_secs_f64(),
            sample.moved_bytes
        ));
        samples.push(sample);
    }
    let [first, later, plain] = <[Sample; 3]>::try_from(samples)
        .ok()
        .context("three hosts")?;
    let kept_bytes: u64 = files_below(&fleet.host(LATER)?.agent().data_folder())
        .iter()
        .filter_map(|path| fs::metadata(path).ok())
        // A file that two images have counts once; blocks of stat(2) have 512 bytes.
        .map(|metadata| metadata.blocks() * 512 / metadata.nlink())
        .sum();
    let coordinator = first.coordinator.or_higher(later.coordinator);
    let agent = first.agent.or_higher(later.agent);
    let part = Part::Patch;
    let mut rows = vec![
        bytes(part, "bytes to the host", later.moved_bytes as f64).against(
            "whole layers",
            plain.moved_bytes as f64,
            Goal::BelowMib(MOST_MIB),
        ),
        seconds(part, "wall time, patches being made", first.wall).against(
            "whole layers",
            plain.wall.as_secs_f64(),
            Goal::Times(1.0),
        ),
        seconds(part, "wall time, patches made", later.wall).against(
            "whole layers",
            plain.wall.as_secs_f64(),
            Goal::Times(1.0),
        ),
        bytes(
            part,
            "kept on the host's disk, both images",
            kept_bytes as f64,
        ),
        Row {
            goal: Some(Goal::BelowMib(CODING_MIB)),
            ..bytes(
                part,
                "peak memory, coordinator",
                coordinator.memory_bytes as f64,
            )
        },
    ];
    rows.extend(peaks(part, "agent", agent));
    if !arguments.small {
        rows.push(rebuilt(&fleet)?);
    }
    Ok(rows)
}

fn keep_nothing(host: &Host) -> Result<()> {
    let agent = host.agent();
    agent.stop()?;
    let config = fs::read_to_string(agent.config())?;
    fs::write(agent.config(), format!("cache = \"0\"\n{config}"))?;
    host.start_agent(&Programs::beside_this_program()?.agent()?)?;
    Ok(())
}

fn make(fleet: &TestFleet, small: bool, version: &str, changes: usize) -> Result<()> {
    if small {
        return fleet.add_image(RELEASE, &[("library.so", &generated(changes))], &[]);
    }
    tell(&format!("Building TensorFlow {version}"));
    let specifier = format!("=={version}");
    let create = [
        "release",
        "create",
        RELEASE,
        "--tensorflow",
        &specifier,
        "--all",
    ];
    fleet.operator().in_view(create)?;
    fleet.operator().in_view(["build", RELEASE])?;
    Ok(())
}

/// A library in which, with changes, everything stands a little later, and an address in each 4 KiB is another.
fn generated(changes: usize) -> Vec<u8> {
    let mut code = vec![0; GENERATED_BYTES];
    StdRng::seed_from_u64(1).fill_bytes(&mut code);
    let mut random = StdRng::seed_from_u64(2);
    for page in code.chunks_mut(4096).filter(|_| changes > 0) {
        random.fill_bytes(&mut page[100..104]);
    }
    [vec![1; 5000 * changes], code].concat()
}

fn deliver(fleet: &TestFleet, name: &str) -> Result<Sample> {
    let host = fleet.host(name)?;
    let agent = host.agent().process().running().context("the agent runs")?;
    let coordinator = fleet.coordinator().pid().context("the coordinator runs")?;
    let agent = Watch::start(
        agent.as_raw_nonzero().get(),
        Some(host.agent().data_folder()),
    )?;
    let coordinator = Watch::start(coordinator, None)?;
    let before = host.network().passed_bytes()?;
    let began = Instant::now();
    fleet.ok(["rollout", "start", &format!("{RELEASE}:v2"), "--host", name])?;
    Ok(Sample {
        wall: began.elapsed(),
        moved_bytes: host.network().passed_bytes()? - before,
        agent: agent.end()?,
        coordinator: coordinator.end()?,
    })
}

/// Forgets the newer image, builds it again from nothing but its lock, and gives what a host would have to fetch.
fn rebuilt(fleet: &TestFleet) -> Result<Row> {
    tell("Building the same recipe again");
    let release = format!("{RELEASE}:v2");
    let before = artifact(fleet, &release)?;
    let hex = before.trim_start_matches("sha256:");
    let index = files_below(&fleet.coordinator().data())
        .into_iter()
        .find(|path| path.ends_with(format!("indexes/{hex}")))
        .context("the index is stored")?;
    fs::remove_file(index)?;
    run(fleet
        .builder()?
        .docker()
        .args(["system", "prune", "--all", "--force"]))?;
    fleet.operator().in_view(["build", &release])?;
    let after = artifact(fleet, &release)?;
    let fetched = if after == before {
        0.0
    } else {
        let sample = deliver(fleet, LATER)?;
        sample.moved_bytes as f64
    };
    Ok(Row {
        goal: Some(Goal::BelowMib(0.001)),
        ..bytes(
            Part::Patch,
            "the same recipe built again: bytes to the host",
            fetched,
        )
    })
}

fn artifact(fleet: &TestFleet, release: &str) -> Result<String> {
    let shown = fleet
        .ok(["release", "show", release, "--output", "json"])?
        .json()?;
    let artifact = shown["builds"][0]["artifact"].as_str();
    Ok(artifact.context("the release is built")?.to_owned())
}
