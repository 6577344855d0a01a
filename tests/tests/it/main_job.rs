//! The main job on every generation of engine: enrol, deliver, tag, run, look inside, stop, remove.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tfleet_tests::harness::{TestFleet, eventually};
use tfleet_tests::lab::{EngineKind, HostDescription, run};

/// What a host's owner allows in these tests.
const POLICY: &str = "exec = true\nbind_prefixes = [\"/srv/tfleet-test\"]\n";

/// A fleet with a builder.
pub fn fleet(hosts: Vec<HostDescription>) -> Result<TestFleet> {
    TestFleet::under_policy(POLICY, hosts)
}

fn gpu_host(name: &str, engine: EngineKind) -> HostDescription {
    HostDescription::new(name)
        .engine(engine)
        .driver("535.183.01")
        .gpu("NVIDIA A100-SXM4-40GB")
}

#[test]
fn one_image_runs_on_every_generation_of_engine() -> Result<()> {
    let engines = [
        ("docker20", EngineKind::System),
        ("docker26", EngineKind::Trixie),
        ("docker26c", EngineKind::TrixieContainerd),
        ("docker28", EngineKind::Forky),
    ];
    let fleet = fleet(
        engines
            .iter()
            .map(|(name, engine)| gpu_host(name, *engine))
            .collect(),
    )?;

    fleet.add_image("tiny", &[("etc/motd", b"tiny\n")], &[])?;
    // The same again, and now it is said that it needs a GPU.
    fleet.ok(["image", "add", "tiny", "--name", "tiny", "--needs-gpu"])?;
    fleet.ok(["rollout", "start", "tiny", "--all"])?;
    fleet.ok(["run", "tiny", "--name", "one", "--all", "--detach"])?;

    for (name, _) in engines {
        let engine = fleet.host(name)?.engine();
        let tags =
            run(engine
                .docker()
                .args(["image", "ls", "--format", "{{.Repository}}:{{.Tag}}"]))?;
        ensure!(tags.contains("tfleet/tiny:v2"), "{name} has {tags}");
    }
    let said = fleet.ok(["exec", "one", "--all", "--", "cat", "/etc/motd"])?;
    ensure!(said.stdout.matches("tiny").count() >= 4, "{}", said.stdout);
    let devices = fleet.ok(["exec", "one", "--all", "--", "ls", "/dev"])?;
    ensure!(
        devices.stdout.matches("nvidia0").count() == 4,
        "{}",
        devices.stdout
    );

    fleet.ok(["stop", "one", "--all"])?;
    for (name, _) in engines {
        ensure!(
            phase(&fleet, name, "one")? == "exited",
            "{name} goes on running"
        );
    }
    fleet.ok(["start", "one", "--all"])?;
    fleet.ok(["rm", "one", "--all"])?;
    for (name, _) in engines {
        let left = run(fleet
            .host(name)?
            .engine()
            .docker()
            .args(["ps", "--all", "--quiet"]))?;
        ensure!(left.trim().is_empty(), "{name} still has a container");
    }
    Ok(())
}

#[test]
fn logs_and_exit_codes_come_back_from_the_host_that_they_are_of() -> Result<()> {
    let fleet = fleet(vec![
        HostDescription::new("left"),
        HostDescription::new("right"),
    ])?;
    fleet.add_image("tiny", &[], &[])?;
    fleet.ok(["rollout", "start", "tiny", "--all"])?;
    fleet.ok([
        "run",
        "tiny",
        "--name",
        "talk",
        "--all",
        "--detach",
        "--",
        "sh",
        "-c",
        "echo one; echo two; sleep 1000",
    ])?;

    let logs = eventually(Duration::from_secs(20), || {
        let logs = fleet.ok(["logs", "talk", "--host", "left"])?;
        ensure!(logs.stdout.contains("two"), "{}", logs.stdout);
        Ok(logs)
    })?;
    ensure!(logs.stdout.lines().count() == 2, "{}", logs.stdout);

    fleet
        .tfleet([
            "exec", "talk", "--host", "right", "--", "sh", "-c", "exit 7",
        ])?
        .refused(7, "")?;
    fleet
        .tfleet(["exec", "talk", "--host", "middle", "--", "true"])?
        .refused(4, "middle")?;
    Ok(())
}

#[test]
fn a_policy_that_says_no_is_named() -> Result<()> {
    let fleet = fleet(vec![HostDescription::new("strict")])?;
    fleet.add_image("tiny", &[], &[])?;
    fleet.ok(["rollout", "start", "tiny", "--all"])?;
    let run_with = |name: &str, options: &[&str]| {
        let run = ["run", "tiny", "--name", name, "--all", "--detach"];
        fleet.fails("strict", &[&run, options].concat())
    };
    let failure = run_with("etc", &["-v", "/etc:/host"])?;
    ensure!(failure["rule"] == "bind_prefixes", "{failure}");
    let failure = run_with("lord", &["--privileged"])?;
    ensure!(failure["rule"] == "privileged", "{failure}");
    let left = run(fleet
        .host("strict")?
        .engine()
        .docker()
        .args(["ps", "--all", "--quiet"]))?;
    ensure!(left.trim().is_empty(), "a refused container was created");
    Ok(())
}

#[test]
fn a_name_or_a_port_that_is_taken_is_told_and_nothing_of_others_is_touched() -> Result<()> {
    let fleet = fleet(vec![HostDescription::new("busy")])?;
    let engine = fleet.host("busy")?.engine();
    fleet.add_image("tiny", &[], &[])?;
    fleet.ok(["rollout", "start", "tiny", "--all"])?;
    run(engine.docker().args([
        "run",
        "--detach",
        "--name",
        "theirs",
        "--publish",
        "8888:8888",
        "tfleet/tiny:v1",
        "sleep",
        "1000",
    ]))?;

    let run_with = |name: &str, options: &[&str]| {
        let run = ["run", "tiny", "--name", name, "--all", "--detach"];
        fleet.fails("busy", &[&run, options].concat())
    };
    let failure = run_with("theirs", &[])?;
    ensure!(failure["code"] == "name-taken", "{failure}");
    let remedy = failure["remedy"].as_str().unwrap_or_default();
    ensure!(remedy.contains("another name"), "{failure}");
    let failure = run_with("mine", &["-p", "8888:8888"])?;
    ensure!(failure["code"] == "port-taken", "{failure}");
    let remedy = failure["remedy"].as_str().unwrap_or_default();
    ensure!(remedy.contains("choose another port"), "{failure}");
    fleet.tfleet(["rm", "theirs", "--all"])?;
    let theirs = run(engine
        .docker()
        .args(["inspect", "--format", "{{.State.Status}}", "theirs"]))?;
    ensure!(
        theirs.trim() == "running",
        "a container that is not ours was touched: {theirs}"
    );
    Ok(())
}

#[test]
fn one_dead_host_holds_up_nobody() -> Result<()> {
    let fleet = fleet(vec![
        HostDescription::new("alive"),
        HostDescription::new("dead"),
    ])?;
    fleet.add_image("tiny", &[], &[])?;
    fleet.ok(["rollout", "start", "tiny", "--all"])?;
    fleet.host("dead")?.agent().stop()?;
    eventually(Duration::from_secs(60), || {
        let host = fleet
            .ok(["hosts", "show", "dead", "--output", "json"])?
            .json()?;
        ensure!(host["connected"] == Value::Bool(false), "still connected");
        Ok(())
    })?;

    let answer = fleet.tfleet([
        "run", "tiny", "--name", "one", "--all", "--detach", "--output", "json",
    ])?;
    ensure!(answer.code == 1, "{answer:?}");
    let results = answer.json()?;
    let outcomes = results.as_array().context("results")?.iter();
    let outcomes: Vec<_> = outcomes
        .map(|result| (result["host"].as_str(), result["outcome"].as_str()))
        .collect();
    ensure!(
        outcomes
            == [
                (Some("alive"), Some("done")),
                (Some("dead"), Some("pending"))
            ],
        "{results}"
    );
    ensure!(phase(&fleet, "alive", "one")? == "running");
    let said = fleet.tfleet(["exec", "one", "--all", "--", "echo", "here"])?;
    ensure!(
        said.code == 1 && said.stdout.contains("here") && said.stderr.contains("dead"),
        "{said:?}"
    );

    fleet
        .host("dead")?
        .start_agent(&tfleet_tests::lab::Programs::beside_this_program()?.agent()?)?;
    eventually(Duration::from_secs(60), || {
        ensure!(
            phase(&fleet, "dead", "one")? == "running",
            "what was asked while it was away is not done"
        );
        Ok(())
    })
}

#[test]
fn killing_everything_loses_nothing() -> Result<()> {
    let fleet = fleet(vec![HostDescription::new("host")])?;
    fleet.add_image("tiny", &[], &[])?;
    fleet.ok(["rollout", "start", "tiny", "--all"])?;
    fleet.ok(["run", "tiny", "--name", "one", "--all", "--detach"])?;
    let engine = fleet.host("host")?.engine();
    let started = || {
        run(engine.docker().args([
            "inspect",
            "--format",
            "{{.State.StartedAt}} {{.State.Status}}",
            "one",
        ]))
    };
    let before = started()?;

    fleet.coordinator().kill()?;
    fleet.host("host")?.agent().kill()?;
    fleet.coordinator().start()?;
    eventually(Duration::from_secs(90), || {
        let host = fleet
            .ok(["hosts", "show", "host", "--output", "json"])?
            .json()?;
        ensure!(
            host["connected"] == Value::Bool(true),
            "not connected again"
        );
        Ok(())
    })?;
    ensure!(
        started()? == before,
        "the workload was touched: {before} became {}",
        started()?
    );
    fleet.ok(["restart", "one", "--all"])?;
    ensure!(started()? != before, "restart did nothing");
    Ok(())
}

fn phase(fleet: &TestFleet, host: &str, container: &str) -> Result<String> {
    let host = fleet.shown(host)?;
    let containers = host["status"]["containers"]
        .as_array()
        .context("no containers in the status")?;
    let found = containers
        .iter()
        .find(|one| one["name"] == container)
        .context("no such container")?;
    Ok(found["phase"].as_str().context("a phase")?.to_owned())
}
