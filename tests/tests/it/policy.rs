//! The host owner's last word, against what operators ask and against what an engine makes of it.

mod meddler;

use std::fs;

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;
use tfleet_tests::harness::TestFleet;
use tfleet_tests::lab::{EngineKind, HostDescription, TestLab, TestLabBuilder, run};

use meddler::Meddler;

/// A folder that the owner allows to bind from; nothing is in it.
const PREFIX: &str = "/srv/tfleet-test";

fn lab() -> TestLabBuilder {
    TestLab::builder()
        .builder_engine(EngineKind::System)
        .host(HostDescription::new("host"))
}

/// Name and state of every container on the host.
fn containers(fleet: &TestFleet) -> Result<String> {
    let mut list = fleet.host("host")?.engine().docker();
    Ok(run(list.args([
        "ps",
        "--all",
        "--format",
        "{{.Names}} {{.State}}",
    ]))?)
}

/// Runs the image with these options, which must be refused.
fn refused(fleet: &TestFleet, name: &str, options: &[&str]) -> Result<Value> {
    let run = ["run", "tiny", "--name", name, "--all", "--detach"];
    fleet.fails("host", &[&run, options].concat())
}

#[test]
fn what_no_owner_has_allowed_is_refused_with_the_rules_name() -> Result<()> {
    let fleet = TestFleet::up(lab().up()?)?;
    fleet.add_image("tiny", &[], &[])?;
    fleet.ok(["rollout", "start", "tiny", "--all"])?;
    let cases: [(&str, &[&str]); 5] = [
        ("privileged", &["--privileged"]),
        ("host_namespaces", &["--host-namespace", "pid"]),
        ("capabilities", &["--cap-add", "SYS_ADMIN"]),
        ("bind_prefixes", &["-v", "/etc:/host"]),
        ("host_ports", &["-p", "80:8888"]),
    ];
    for (rule, options) in cases {
        let failure = refused(&fleet, "one", options)?;
        ensure!(
            failure["code"] == "policy-refused" && failure["rule"] == rule,
            "{options:?}: {failure}"
        );
        let remedy = failure["remedy"].as_str().unwrap_or_default();
        ensure!(remedy.contains("policy file"), "{options:?}: {failure}");
        ensure!(containers(&fleet)?.is_empty(), "{options:?} was created");
        fleet.ok(["rm", "one", "--all"])?;
    }

    fleet.ok(["run", "tiny", "--name", "plain", "--all", "--detach"])?;
    fleet
        .tfleet(["exec", "plain", "--all", "--", "true"])?
        .refused(1, "(rule: exec)")
}

#[test]
fn a_missing_source_of_a_bind_is_refused_and_not_made() -> Result<()> {
    let folder = TempDir::new()?;
    let policy = folder.path().join("policy.toml");
    fs::write(&policy, format!("bind_prefixes = [\"{PREFIX}\"]\n"))?;
    let fleet = TestFleet::up(lab().policy(&policy).up()?)?;
    fleet.add_image("tiny", &[], &[])?;
    fleet.ok(["rollout", "start", "tiny", "--all"])?;
    let source = format!("{PREFIX}/nobody-made-this");
    let failure = refused(&fleet, "one", &["-v", &format!("{source}:/data")])?;
    ensure!(failure["code"] == "bind-source-missing", "{failure}");
    let remedy = failure["remedy"].as_str().unwrap_or_default();
    ensure!(remedy.contains("create it on the host"), "{failure}");
    ensure!(!fs::exists(&source)?, "the source was made");
    ensure!(containers(&fleet)?.is_empty(), "a container was made");
    Ok(())
}

/// An engine's plug-ins and defaults may give a container more than was asked for.
#[test]
fn what_the_engine_made_is_looked_at_before_it_starts() -> Result<()> {
    let fleet = TestFleet::without_agents(lab().up()?)?;
    let host = fleet.host("host")?;
    let meddler = Meddler::between(&host.folder().join("meddler.sock"), &host.engine().socket())?;
    let config = host.agent_config_path();
    let text = fs::read_to_string(&config)?;
    fs::write(
        &config,
        text.replace(&host.engine().endpoint(), &meddler.endpoint()),
    )?;
    fleet.enrol("host")?;
    fleet.ok(["hosts", "wait", "host", "--timeout", "60s"])?;
    fleet.add_image("tiny", &[], &[])?;
    fleet.ok(["rollout", "start", "tiny", "--all"])?;

    let cases = [
        ("privileged", json!({ "Privileged": true })),
        ("host_namespaces", json!({ "PidMode": "host" })),
        ("capabilities", json!({ "CapAdd": ["SYS_ADMIN"] })),
        ("bind_prefixes", json!({ "Binds": ["/etc:/host"] })),
    ];
    for (rule, addition) in cases {
        meddler.add(addition);
        let name = rule.replace('_', "-");
        let failure = refused(&fleet, &name, &[])?;
        ensure!(
            failure["code"] == "policy-refused" && failure["rule"] == rule,
            "{failure}"
        );
        let made = containers(&fleet)?;
        ensure!(
            made.trim() == format!("{name} created"),
            "the engine made it, and it must not start: {made}"
        );
        fleet.ok(["rm", &name, "--all"])?;
    }
    // Without the meddling the same is allowed.
    meddler.add(json!({}));
    fleet.ok(["run", "tiny", "--name", "plain", "--all", "--detach"])?;
    Ok(())
}
