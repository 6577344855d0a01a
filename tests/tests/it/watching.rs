//! What becomes of a host under a running agent, as operators see it.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::Value;
use tfleet_tests::harness::{TestFleet, eventually, tiny_root};
use tfleet_tests::lab::gpu::Process;
use tfleet_tests::lab::{Host, HostDescription, TestLab, machine, run};

const GPU: &str = "Tesla V100-SXM2-16GB";
/// Longer than the agent's longest wait between two looks.
const BY_ITSELF: Duration = Duration::from_secs(60);
/// Shorter than that wait: only a look that was woken is so early.
const WOKEN: Duration = Duration::from_secs(15);

fn plan(fleet: &TestFleet) -> Result<Value> {
    // A host that is left out is no success, and still a plan.
    fleet
        .tfleet([
            "plan",
            "train",
            "--tensorflow",
            ">=2.14,<2.16",
            "--all",
            "--output",
            "json",
        ])?
        .json()
}

/// The remedy for the host, which must be left out.
fn left_out(fleet: &TestFleet) -> Result<String> {
    let plan = plan(fleet)?;
    ensure!(plan["assignments"] == Value::Array(Vec::new()), "{plan}");
    let left_out = &plan["unplaced"][0];
    ensure!(left_out["host"] == "host", "{plan}");
    Ok(left_out["remedy"].as_str().unwrap_or_default().to_owned())
}

/// Waits until the coordinator shows an inventory that is as it should be.
fn until(fleet: &TestFleet, within: Duration, level: impl Fn(&Value) -> bool) -> Result<()> {
    eventually(within, || {
        let inventory = fleet.shown("host")?["inventory"].clone();
        ensure!(level(&inventory), "the inventory is {inventory:#}");
        Ok(())
    })
}

/// Makes something happen in the host's engine.
fn wake(host: &Host) -> Result<()> {
    run(host.docker().args(["tag", "noise", "noise:again"]))?;
    Ok(())
}

fn source(inventory: &Value, field: &str) -> String {
    let sources = inventory["sources"].as_array();
    let found = sources
        .into_iter()
        .flatten()
        .find(|source| source["field"] == field);
    found.map_or_else(String::new, |found| found["source"].to_string())
}

#[test]
fn a_running_agent_tells_what_becomes_of_its_gpus() -> Result<()> {
    let description = HostDescription::new("host")
        .driver("384.183")
        .gpu(GPU)
        .gpu(GPU);
    let fleet = TestFleet::up(TestLab::with_host(description).up()?)?;
    let host = fleet.host("host")?;
    let root = host.folder().join("noise.tar");
    tiny_root(&root, &[])?;
    run(host.docker().arg("import").arg(&root).arg("noise"))?;
    let agent = host.agent().process().running();
    ensure!(left_out(&fleet)?.contains("driver"), "384 is too old");

    host.edit_machine(|machine| {
        machine.gpus[0].temperature_c = Some(88);
        machine.gpus[1].processes = vec![Process {
            pid: 4242,
            memory_mib: 512,
        }];
    })?;
    until(&fleet, BY_ITSELF, |inventory| {
        inventory["gpus"][0]["temperature_celsius"] == 88
            && inventory["gpus"][1]["processes"][0]["pid"] == 4242
    })?;

    // The library was upgraded, and the old kernel module is still loaded.
    let mut upgraded = machine("host", "535.183.01", &[GPU.to_owned(), GPU.to_owned()])?;
    upgraded.kernel_module_version = Some("384.183".to_owned());
    host.driver().install(&upgraded)?;
    wake(host)?;
    until(&fleet, WOKEN, |inventory| {
        inventory["driver"]["fault"]["code"] == "driver-mismatch"
    })?;
    ensure!(left_out(&fleet)?.contains("reboot"));

    // The new module is loaded under the running agent.
    upgraded.kernel_module_version = None;
    host.driver().change(&upgraded)?;
    wake(host)?;
    until(&fleet, WOKEN, |inventory| {
        inventory["driver"]["version"] == "535.183.01"
            && inventory["driver"]["fault"] == Value::Null
            && inventory["gpus"][0]["temperature_celsius"] == 41
    })?;
    // The library of 384 has no call for it: what answers is the new one.
    let seen = fleet.shown("host")?["inventory"].clone();
    ensure!(
        source(&seen, "driver.cuda_version") == "\"nvml\"",
        "{seen:#}"
    );
    let planned = plan(&fleet)?;
    ensure!(
        planned["assignments"][0]["variant"] == "tf2.15.1-cuda12.2",
        "{planned}"
    );

    host.edit_machine(|machine| machine.gpus[1].lost = true)?;
    wake(host)?;
    until(&fleet, WOKEN, |inventory| {
        inventory["gpus"][1]["fault"]["code"] == "gpu-lost"
            && inventory["gpus"][0]["fault"] == Value::Null
    })?;
    ensure!(left_out(&fleet)?.contains("reboot"));
    ensure!(
        agent.is_some() && host.agent().process().running() == agent,
        "the agent was started again meanwhile"
    );
    Ok(())
}
