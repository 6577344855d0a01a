//! The bundle on a host, as its administrator runs it. Only `systemctl` is not there: the unit's own command is run in
//! its place.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tempfile::TempDir;
use tfleet_tests::harness::{Spawned, TestFleet, eventually};
use tfleet_tests::lab::{HostDescription, TestLab};

/// Arguments: the bundle, an empty folder. What it installs lies over the machine's own folders, in this shell's mounts
/// alone.
const ADMINISTRATOR: &str = r#"
set -eu
bundle=$1 work=$2
mount -t tmpfs tfleet-test "$work"
for place in /etc /usr/local /var/lib; do
    layer=$work$place
    mkdir -p "$layer/upper" "$layer/work"
    mount -t overlay -o "lowerdir=$place,upperdir=$layer/upper,workdir=$layer/work" tfleet-test "$place"
done
mkdir -p /usr/local/bin /etc/systemd/system
printf '#!/bin/sh\necho "systemctl $*"\n' >/usr/local/bin/systemctl
chmod 755 /usr/local/bin/systemctl
PATH=/usr/local/bin:$PATH
sh "$bundle"
stat -c '%n %a' /etc/tfleet/token /etc/tfleet/policy.toml
exec $(sed -n 's/^ExecStart=//p' /etc/systemd/system/tfleet-agent.service)
"#;

fn administrator(fleet: &TestFleet, bundle: &Path, work: &Path) -> Result<Command> {
    let mut command = fleet.host("gpu-17")?.agent().command(Path::new("unshare"));
    command.args(["--mount", "sh", "-c", ADMINISTRATOR, "sh"]);
    command.arg(bundle).arg(work).stdin(Stdio::null());
    Ok(command)
}

#[test]
fn a_bundle_that_is_run_on_its_host_enrols_it_and_one_that_was_damaged_installs_nothing()
-> Result<()> {
    let host = HostDescription::new("gpu-17")
        .driver("535.183.01")
        .gpu("NVIDIA A100-SXM4-40GB");
    let fleet = TestFleet::without_agents(TestLab::builder().host(host).up()?)?;
    let agent = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/portable/tfleet-agent");
    let agent = agent
        .to_str()
        .filter(|_| agent.exists())
        .with_context(|| format!("{} is missing: make agent-portable", agent.display()))?;
    let folder = TempDir::new_in("/var/tmp")?;
    let bundle = folder.path().join("gpu-17.run");
    let out = bundle.to_str().context("a path of letters")?;
    let engine = fleet.host("gpu-17")?.engine().endpoint();
    let make = [
        "agent",
        "bundle",
        "gpu-17",
        "--agent-binary",
        agent,
        "--out",
        out,
    ];
    fleet.ok([&make[..], &["--engine", &engine, "--label", "rack=r7"]].concat())?;

    let work = folder.path().join("work");
    fs::create_dir(&work)?;
    let mut content = fs::read(&bundle)?;
    let last = content.last_mut().context("a bundle has bytes")?;
    *last ^= 1;
    let damaged = folder.path().join("damaged.run");
    fs::write(&damaged, content)?;
    let said = administrator(&fleet, &damaged, &work)?.output()?;
    let words = String::from_utf8_lossy(&said.stderr);
    ensure!(
        !said.status.success() && words.contains("the bundle is damaged; copy it again"),
        "{said:?}"
    );

    let log = folder.path().join("log");
    let mut administrator = administrator(&fleet, &bundle, &work)?;
    administrator.stdout(fs::File::create(&log)?);
    administrator.stderr(fs::File::options().append(true).open(&log)?);
    let _agent = Spawned(administrator.spawn()?);
    let listed = eventually(Duration::from_secs(30), || {
        let list = ["hosts", "--where", "label.rack = r7", "--output", "json"];
        let hosts = fleet.ok(list)?.json()?;
        ensure!(
            hosts[0]["connected"] == true && hosts[0]["inventory"]["gpus"][0].is_object(),
            "{hosts}\n{}",
            fs::read_to_string(&log)?
        );
        Ok(hosts)
    })?;
    ensure!(listed[0]["name"] == "gpu-17", "{listed}");
    let said = fs::read_to_string(&log)?;
    for words in [
        "systemctl daemon-reload",
        "systemctl restart tfleet-agent.service",
        "/etc/tfleet/token 600",
        "/etc/tfleet/policy.toml 644",
    ] {
        ensure!(said.contains(words), "{words} is not in:\n{said}");
    }
    Ok(())
}
