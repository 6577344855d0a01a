//! Hosts that fetch an image from each other: real agents, real engines, and a coordinator whose link is slow.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tfleet_tests::harness::{TestFleet, eventually, files_below};
use tfleet_tests::lab::{HostDescription, run};

/// Does not compress, so that it crosses the wire as it is.
const IMAGE_BYTES: usize = 150_000_000;
const HOSTS: [&str; 5] = ["one", "two", "three", "four", "five"];
const ROLLOUT: [&str; 4] = ["rollout", "start", "large", "--all"];

fn fleet() -> Result<TestFleet> {
    let hosts = HOSTS.map(|name| HostDescription::new(name).peers());
    let fleet = TestFleet::under_policy("peers = true\n", hosts)?;
    let mut content = vec![0; IMAGE_BYTES];
    StdRng::seed_from_u64(6).fill_bytes(&mut content);
    fleet.add_image("large", &[("large", &content)], &[])?;
    Ok(fleet)
}

/// Limits what leaves the coordinator, to all hosts together; what hosts send each other passes the bridge untouched.
fn limit_coordinator(fleet: &TestFleet, rate: &str) -> Result<()> {
    let mut tc = Command::new("tc");
    tc.args(["qdisc", "add", "dev", &fleet.id().bridge(), "root", "tbf"]);
    run(tc.args(["rate", rate, "burst", "1mb", "latency", "100ms"]))?;
    Ok(())
}

fn spool(fleet: &TestFleet, host: &str) -> Result<Vec<PathBuf>> {
    let agent = fleet.host(host)?.agent();
    Ok(files_below(&agent.data_folder().join("delivery/spool")))
}

/// Of the image on this host: bytes that came in all, and from other hosts.
fn received(fleet: &TestFleet, host: &str) -> Result<(u64, u64)> {
    let shown = fleet.shown(host)?;
    let image = &shown["status"]["images"][0];
    ensure!(image["phase"] == "present", "{image}");
    let bytes = |key: &str| image[key].as_u64().context("a number");
    Ok((bytes("wire_bytes")?, bytes("peer_bytes")?))
}

#[test]
fn hosts_fetch_from_each_other_also_when_one_dies_on_the_way_and_the_coordinator_sends_little_more_than_one_copy()
-> Result<()> {
    let fleet = fleet()?;
    limit_coordinator(&fleet, "160mbit")?;
    let mut rollout = fleet.operator().command(ROLLOUT);
    rollout.stdin(Stdio::null()).stdout(Stdio::piped());
    let rollout = rollout.stderr(Stdio::piped()).spawn()?;
    eventually(Duration::from_secs(60), || {
        let kept = spool(&fleet, "three")?.len();
        ensure!(kept >= 8, "{kept} chunks are on their way");
        Ok(())
    })?;
    // Its supervisor starts it again: it goes on with what it has.
    fleet.host("three")?.agent().kill()?;
    let said = rollout.wait_with_output()?;
    if !said.status.success() {
        bail!("{}", String::from_utf8_lossy(&said.stderr));
    }
    let (mut from_coordinator, mut from_hosts) = (0, 0);
    for host in HOSTS {
        let (wire, peers) = received(&fleet, host)?;
        println!("{host}: {wire} bytes, {peers} from other hosts");
        from_coordinator += wire - peers;
        from_hosts += peers;
    }
    let copy = IMAGE_BYTES as u64;
    println!("from the coordinator {from_coordinator}, from other hosts {from_hosts}");
    ensure!(
        from_coordinator < copy * 2,
        "the coordinator sent {from_coordinator} bytes of an image of {copy}"
    );
    ensure!(from_hosts > copy * 2, "hosts sent {from_hosts} bytes");
    // When nobody needs them any more, the chunks are those of a cache.
    eventually(Duration::from_secs(60), || {
        for host in HOSTS {
            let left = spool(&fleet, host)?;
            let is_finished = left.iter().any(|file| file.ends_with(".finished"));
            ensure!(is_finished, "{host} keeps {left:?}");
        }
        Ok(())
    })
}

#[test]
fn a_host_whose_policy_does_not_allow_it_listens_to_nobody_and_fetches_alone() -> Result<()> {
    let host = HostDescription::new("alone").peers();
    let fleet = TestFleet::under_policy("exec = true\n", [host])?;
    fleet.add_image("tiny", &[], &[])?;
    fleet.ok(["rollout", "start", "tiny", "--all"])?;
    let (wire, peers) = received(&fleet, "alone")?;
    ensure!(wire > 0 && peers == 0, "{wire} bytes, {peers} from others");
    let mut listening = fleet.host("alone")?.command("ss");
    let sockets = run(listening.args(["--listening", "--tcp", "--numeric"]))?;
    ensure!(!sockets.contains(":7445"), "{sockets}");
    Ok(())
}
