//! `kill -9` of coordinator, agent and engine in the middle of their work. The same command then finishes, nothing is
//! there twice, and nothing unfinished is left.

use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tfleet_tests::harness::{TestFleet, eventually, files_below};
use tfleet_tests::lab::{EngineKind, HostDescription, TestLab, run};

use crate::variants::{RELEASE, fleet_that_builds};

/// Some seconds of work for every part. It does not compress, so that it crosses the wire as it is.
const IMAGE_BYTES: usize = 400_000_000;
const ROLLOUT: [&str; 4] = ["rollout", "start", "large", "--all"];

fn fleet() -> Result<TestFleet> {
    let lab = TestLab::builder()
        .builder_engine(EngineKind::System)
        .host(HostDescription::new("host"));
    TestFleet::up(lab.up()?)
}

fn add_large(fleet: &TestFleet) -> Result<()> {
    let mut content = vec![0; IMAGE_BYTES];
    StdRng::seed_from_u64(6).fill_bytes(&mut content);
    fleet.add_image("large", &[("large", &content)], &[])
}

fn spool(fleet: &TestFleet) -> Result<Vec<PathBuf>> {
    let agent = fleet.host("host")?.agent();
    Ok(files_below(&agent.data_folder().join("delivery/spool")))
}

/// Starts the rollout and returns in the middle of it.
fn begin_rollout(fleet: &TestFleet) -> Result<Child> {
    let mut command = fleet.operator().command(ROLLOUT);
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    let rollout = command.stderr(Stdio::piped()).spawn()?;
    let began = Instant::now();
    while spool(fleet)?.len() < 8 {
        ensure!(
            began.elapsed() < Duration::from_secs(60),
            "no chunk arrives at the host"
        );
        std::thread::sleep(Duration::from_millis(2));
    }
    Ok(rollout)
}

fn tags(fleet: &TestFleet) -> Result<Vec<String>> {
    let mut list = fleet.host("host")?.engine().docker();
    let said = run(list.args([
        "image",
        "ls",
        "--all",
        "--format",
        "{{.Repository}}:{{.Tag}}",
    ]))?;
    let mut tags: Vec<String> = said.lines().map(str::to_owned).collect();
    tags.sort();
    Ok(tags)
}

/// The image is there once, came over the wire about once, and nothing unfinished is left.
fn all_is_well(fleet: &TestFleet) -> Result<()> {
    let tags = tags(fleet)?;
    let ours = |tag: &String| tag.starts_with("tfleet/large:v1");
    ensure!(tags.len() == 2 && tags.iter().all(ours), "{tags:?}");
    let sent = fleet.host("host")?.network().sent_bytes()?;
    ensure!(
        sent < IMAGE_BYTES as u64 / 4 * 5,
        "{sent} bytes were sent for an image of {IMAGE_BYTES}"
    );
    let left = spool(fleet)?;
    let is = |file: &PathBuf, what| {
        file.file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with(what))
    };
    ensure!(
        left.iter().any(|file| is(file, ".finished")) && !left.iter().any(|file| is(file, ".new-")),
        "chunks are kept for the next image, and nothing else: {left:?}"
    );
    nothing_unfinished(fleet)
}

fn nothing_unfinished(fleet: &TestFleet) -> Result<()> {
    let agents = fleet.hosts().iter().map(|host| host.agent().data_folder());
    let folders = agents.chain([fleet.coordinator().data()]);
    let files = folders.flat_map(|folder| files_below(&folder));
    let unfinished = |file: &PathBuf| {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        name.ends_with(".part") || name.ends_with(".tmp") || name.starts_with(".tmp")
    };
    let left: Vec<_> = files.filter(unfinished).collect();
    ensure!(left.is_empty(), "unfinished files are left: {left:?}");
    Ok(())
}

#[test]
fn a_coordinator_that_is_killed_while_it_sends_an_image_goes_on_where_it_was() -> Result<()> {
    let fleet = fleet()?;
    add_large(&fleet)?;
    let rollout = begin_rollout(&fleet)?;
    fleet.coordinator().kill()?;
    ensure!(
        tags(&fleet)?.iter().all(|tag| tag.contains("loading")),
        "the image was there already"
    );
    let said = rollout.wait_with_output()?;
    ensure!(!said.status.success(), "nobody was there to say so");

    fleet.coordinator().start()?;
    fleet
        .operator()
        .until_ok(&["fleet"], Duration::from_secs(30))?;
    fleet.ok(["hosts", "wait", "host", "--timeout", "60s"])?;
    fleet.ok(ROLLOUT)?;
    all_is_well(&fleet)
}

#[test]
fn an_agent_that_is_killed_in_a_load_begins_it_again_with_what_it_has() -> Result<()> {
    let fleet = fleet()?;
    add_large(&fleet)?;
    let rollout = begin_rollout(&fleet)?;
    fleet.host("host")?.agent().kill()?;
    ensure!(
        tags(&fleet)?.iter().all(|tag| tag.contains("loading")),
        "the image was there already"
    );
    // Its supervisor starts it again, and the command that waits sees it finish.
    let said = rollout.wait_with_output()?;
    if !said.status.success() {
        bail!("{}", String::from_utf8_lossy(&said.stderr));
    }
    fleet.ok(ROLLOUT)?;
    all_is_well(&fleet)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_coordinator_that_is_killed_in_a_build_builds_it_when_it_is_asked_again() -> Result<()> {
    let (fleet, _index) = fleet_that_builds(vec![HostDescription::new("cpu")]).await?;
    fleet.ok(RELEASE)?;
    let phase = || -> Result<String> {
        let shown = fleet.ok(["release", "show", "train", "--output", "json"])?;
        let phase = shown.json()?["builds"][0]["phase"]
            .as_str()
            .map(str::to_owned);
        phase.context("a phase")
    };
    let mut build = fleet.operator().command(["build", "train"]);
    build.stdin(Stdio::null()).stdout(Stdio::null());
    let mut build = build.stderr(Stdio::null()).spawn()?;
    eventually(Duration::from_secs(120), || {
        let phase = phase()?;
        ensure!(phase == "building", "it is {phase}");
        Ok(())
    })?;
    fleet.coordinator().kill()?;
    ensure!(!build.wait()?.success(), "nobody was there to say so");

    fleet.coordinator().start()?;
    fleet
        .operator()
        .until_ok(&["fleet"], Duration::from_secs(30))?;
    ensure!(phase()? == "waiting", "nothing is under way: {}", phase()?);
    fleet.ok(["build", "train"])?;
    ensure!(phase()? == "done", "it is {}", phase()?);
    let mut list = fleet.builder()?.docker();
    let left = run(list.args(["image", "ls", "--quiet", "tfleet/build"]))?;
    ensure!(left.is_empty(), "the builder keeps {left}");
    nothing_unfinished(&fleet)
}

/// An engine that was killed ends, when it is back, what it finds running; 20.10 then takes it for stopped by hand, and
/// does not start it again whatever its restart policy says.
#[test]
fn a_container_of_an_engine_that_is_killed_runs_again_when_it_is_asked_for_and_there_is_no_second_one()
-> Result<()> {
    let fleet = fleet()?;
    fleet.add_image("tiny", &[], &[])?;
    fleet.ok(["rollout", "start", "tiny", "--all"])?;
    let command = ["run", "tiny", "--name", "one", "--all", "--detach"];
    fleet.ok(command)?;
    let engine = fleet.host("host")?.engine();
    let listed = || {
        let mut list = engine.docker();
        run(list.args([
            "ps",
            "--all",
            "--no-trunc",
            "--format",
            "{{.ID}} {{.State}}",
        ]))
    };
    let before = listed()?;
    ensure!(before.trim().ends_with(" running"), "{before}");

    engine.kill_dockerd()?;
    eventually(Duration::from_secs(60), || {
        let shown = fleet.shown("host")?;
        let fault = &shown["inventory"]["engine"]["fault"]["code"];
        ensure!(fault == "engine-down", "{shown}");
        Ok(())
    })?;
    engine.start()?;
    eventually(Duration::from_secs(60), || fleet.ok(command).map(drop))?;
    let after = listed()?;
    ensure!(before == after, "{before} became {after}");
    let shown = fleet.shown("host")?;
    let containers = shown["status"]["containers"]
        .as_array()
        .context("containers")?;
    ensure!(
        containers.len() == 1 && containers[0]["phase"] == "running",
        "{containers:?}"
    );
    Ok(())
}
