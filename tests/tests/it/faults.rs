//! What goes wrong in real fleets: each gets a clear word, and nothing is lost.

use std::fs;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use tfleet_tests::harness::{TestFleet, eventually, files_below};
use tfleet_tests::lab::{EngineKind, HostDescription, Programs, TestLab, run};

fn one_host() -> Result<TestFleet> {
    let lab = TestLab::builder()
        .builder_engine(EngineKind::System)
        .host(HostDescription::new("host"));
    TestFleet::up(lab.up()?)
}

/// What the agent says when it is run by hand on the host with this token.
fn enrol_by_hand(fleet: &TestFleet, token: &str) -> Result<(bool, String)> {
    let host = fleet.host("host")?;
    let agent = Programs::beside_this_program()?.agent()?;
    let output = host
        .command(agent)
        .args(["enrol", "--config"])
        .arg(host.agent_config_path())
        .args(["--token", token])
        .output()?;
    Ok((
        output.status.success(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    ))
}

#[test]
fn a_token_is_good_once_and_for_its_fleet() -> Result<()> {
    let lab = || TestLab::builder().host(HostDescription::new("host")).up();
    let fleet = TestFleet::without_agents(lab()?)?;
    let token = fleet
        .ok(["token", "create", "host", "--output", "text"])?
        .stdout
        .trim()
        .to_owned();

    let mut parts: Vec<&str> = token.split('.').collect();
    let another_ca = "0".repeat(64);
    parts[3] = &another_ca;
    let (enrolled, said) = enrol_by_hand(&fleet, &parts.join("."))?;
    ensure!(
        !enrolled && said.contains("CA"),
        "another fleet's token: {said}"
    );

    let mut parts: Vec<&str> = token.split('.').collect();
    let guess = "A".repeat(parts[2].len());
    parts[2] = &guess;
    let (enrolled, said) = enrol_by_hand(&fleet, &parts.join("."))?;
    ensure!(
        !enrolled && said.contains("token"),
        "a guessed token: {said}"
    );

    let (enrolled, said) = enrol_by_hand(&fleet, &token)?;
    ensure!(enrolled, "the right token: {said}");

    fs::remove_dir_all(fleet.host("host")?.agent().data_folder())?;
    let (enrolled, said) = enrol_by_hand(&fleet, &token)?;
    ensure!(
        !enrolled && said.contains("token"),
        "a used token with a new key: {said}"
    );
    Ok(())
}

#[test]
fn silent_sockets_keep_nobody_out() -> Result<()> {
    let fleet = one_host()?;
    fleet.coordinator().stop()?;
    fleet.coordinator().start_with_files(96)?;
    fleet
        .operator()
        .until_ok(&["fleet"], Duration::from_secs(30))?;

    let address = fleet.address();
    let mut silent = Vec::new();
    for port in [7443, 7444] {
        for _ in 0..150 {
            silent.push(TcpStream::connect((address, port))?);
        }
    }
    // Each of these dials anew, and none has to wait for a silent one to be given up.
    for _ in 0..3 {
        let began = Instant::now();
        fleet.ok(["fleet"])?;
        ensure!(
            began.elapsed() < Duration::from_secs(5),
            "kept out for {:?}",
            began.elapsed()
        );
    }
    drop(silent);
    fleet.operator().until_ok(
        &["hosts", "wait", "host", "--timeout", "60s"],
        Duration::from_secs(90),
    )?;
    Ok(())
}

#[test]
fn a_removed_host_is_out_at_once_and_may_come_back_with_a_new_token_and_what_it_ran_goes_on()
-> Result<()> {
    let fleet = one_host()?;
    fleet.add_image("tiny", &[], &[])?;
    fleet.ok(["rollout", "start", "tiny", "--all"])?;
    fleet.ok(["run", "tiny", "--name", "one", "--all", "--detach"])?;
    let running = || {
        let mut list = fleet.host("host")?.engine().docker();
        Ok::<_, anyhow::Error>(run(list.args(["ps", "--format", "{{.Names}} {{.ID}}"]))?)
    };
    let one = running()?;
    ensure!(one.starts_with("one "), "{one}");
    fleet.ok(["hosts", "rm", "host"])?;
    fleet
        .tfleet(["hosts", "show", "host"])?
        .refused(4, "host")?;
    // Its agent goes on trying; it stays out.
    std::thread::sleep(Duration::from_secs(3));
    fleet
        .tfleet(["hosts", "show", "host"])?
        .refused(4, "host")?;

    // The agent that runs knows the earlier membership alone.
    let token = ["token", "create", "host", "--output", "text"];
    let (enrolled, said) = enrol_by_hand(&fleet, fleet.ok(token)?.stdout.trim())?;
    ensure!(!enrolled && said.contains("stop it first"), "{said}");

    fleet.host("host")?.agent().stop()?;
    fleet.enrol("host")?;
    fleet.ok(["hosts", "wait", "host", "--timeout", "60s"])?;
    fleet.ok(["rollout", "start", "tiny", "--all"])?;
    fleet.ok(["run", "tiny", "--name", "two", "--all", "--detach"])?;
    let both = running()?;
    ensure!(both.contains(one.trim()) && both.contains("two "), "{both}");
    // Nobody's now: it stays until somebody removes it by hand.
    let failure = fleet.fails(
        "host",
        &["run", "tiny", "--name", "one", "--all", "--detach"],
    )?;
    ensure!(failure["code"] == "name-taken", "{failure}");
    Ok(())
}

#[test]
fn an_engine_that_is_down_is_told_and_the_work_is_done_when_it_is_back() -> Result<()> {
    let fleet = one_host()?;
    fleet.add_image("tiny", &[], &[])?;
    let engine = fleet.host("host")?.engine();
    engine.stop()?;
    let failure = fleet.fails(
        "host",
        &["rollout", "start", "tiny", "--all", "--timeout", "20s"],
    )?;
    ensure!(failure["code"] == "engine-down", "{failure}");
    let remedy = failure["remedy"].as_str().unwrap_or_default();
    ensure!(remedy.contains("systemctl start docker"), "{failure}");
    engine.start()?;
    eventually(Duration::from_secs(90), || {
        let tags =
            run(engine
                .docker()
                .args(["image", "ls", "--format", "{{.Repository}}:{{.Tag}}"]))?;
        ensure!(tags.contains("tfleet/tiny:v1"), "{tags}");
        Ok(())
    })
}

#[test]
fn a_missing_nvidia_runtime_is_told_with_the_remedy() -> Result<()> {
    let host = HostDescription::new("host")
        .driver("535.183.01")
        .gpu("NVIDIA A100-SXM4-40GB")
        .gpu_access(&[]);
    let lab = TestLab::builder()
        .builder_engine(EngineKind::System)
        .host(host);
    let fleet = TestFleet::up(lab.up()?)?;
    fleet.add_image("tiny", &[], &[])?;
    fleet.ok(["rollout", "start", "tiny", "--all"])?;
    let failure = fleet.fails(
        "host",
        &["run", "tiny", "--name", "gpu", "--all", "--detach"],
    )?;
    ensure!(failure["code"] == "runtime-missing", "{failure}");
    let remedy = failure["remedy"].as_str().unwrap_or_default();
    ensure!(remedy.contains("nvidia-ctk runtime configure"), "{failure}");
    Ok(())
}

#[test]
fn a_damaged_chunk_is_refused_and_never_reaches_an_engine() -> Result<()> {
    let fleet = one_host()?;
    fleet.add_image("tiny", &[], &[])?;
    let mut damaged = 0;
    let chunks = files_below(&fleet.coordinator().data().join("artifacts/chunks"));
    ensure!(!chunks.is_empty(), "there is nothing to damage");
    for chunk in chunks {
        let mut content = fs::read(&chunk)?;
        let middle = content.len() / 2;
        content[middle] ^= 0xff;
        fs::write(&chunk, content)?;
        damaged += 1;
    }
    ensure!(damaged > 0, "no chunks were found to damage");
    fleet
        .tfleet(["rollout", "start", "tiny", "--all", "--timeout", "30s"])?
        .refused(1, "chunk")?;
    let images = run(fleet
        .host("host")?
        .engine()
        .docker()
        .args(["image", "ls", "--quiet"]))?;
    ensure!(images.trim().is_empty(), "a damaged image was loaded");
    Ok(())
}

#[test]
fn what_does_not_exist_is_told_with_the_nearest_name() -> Result<()> {
    let fleet = one_host()?;
    fleet.add_image("tiny", &[], &[])?;
    fleet
        .tfleet(["hosts", "show", "hots"])?
        .refused(4, "did you mean host?")?;
    fleet
        .tfleet(["rollout", "start", "tyni", "--all"])?
        .refused(4, "did you mean tiny")?;
    fleet
        .tfleet(["rollout", "start", "tiny:v7", "--all"])?
        .refused(4, "did you mean tiny:v1?")?;
    fleet
        .tfleet(["hosts", "--where", "drivr >= 470"])?
        .refused(2, "the fields are name, connected, label.KEY, driver")?;
    Ok(())
}
