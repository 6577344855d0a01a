//! Every way in which a host gives its GPUs to containers, asked for by `tfleet run`, and what a runtime refuses.

use anyhow::{Context, Result, ensure};
use tfleet_tests::harness::TestFleet;
use tfleet_tests::lab::{EngineKind, GpuAccess, HostDescription, run};

/// Host, engine, what is set up there, what the agent must take.
const HOSTS: [(&str, EngineKind, &[GpuAccess], &str); 3] = [
    (
        "request",
        EngineKind::System,
        &[GpuAccess::DeviceRequest],
        "device_request",
    ),
    ("cdi", EngineKind::Forky, &[GpuAccess::Cdi], "cdi"),
    (
        "both",
        EngineKind::System,
        &[GpuAccess::Runtime, GpuAccess::DeviceRequest],
        "device_request",
    ),
];

fn host(name: &str, engine: EngineKind, ways: &[GpuAccess]) -> HostDescription {
    HostDescription::new(name)
        .engine(engine)
        .driver("535.183.01")
        .gpu("NVIDIA A100-SXM4-40GB")
        .gpu("NVIDIA A100-SXM4-40GB")
        .gpu_access(ways)
}

fn fleet(hosts: impl IntoIterator<Item = HostDescription>) -> Result<TestFleet> {
    TestFleet::under_policy("exec = true\n", hosts)
}

/// Numbers of the GPUs in a container.
fn gpus_in(fleet: &TestFleet, host: &str, container: &str) -> Result<Vec<u32>> {
    let said = fleet.ok(["exec", container, "--host", host, "--", "ls", "/dev"])?;
    let words = said.stdout.split_whitespace();
    let numbers = words.filter_map(|word| word.strip_prefix("nvidia")?.parse().ok());
    Ok(numbers.collect())
}

#[test]
fn a_container_gets_all_gpus_or_the_one_that_it_asks_for_in_each_way() -> Result<()> {
    let fleet = fleet(HOSTS.map(|(name, engine, ways, _)| host(name, engine, ways)))?;
    fleet.add_image("tiny", &[], &[])?;
    fleet.ok(["rollout", "start", "tiny", "--all"])?;
    fleet.ok(["run", "tiny", "--name", "all", "--all", "--detach"])?;
    for (host, .., mode) in HOSTS {
        let gpus = gpus_in(&fleet, host, "all")?;
        ensure!(gpus == [0, 1], "{host}: {gpus:?}");
        let shown = fleet.shown(host)?;
        let container = &shown["status"]["containers"][0];
        ensure!(container["gpu_mode"] == mode, "{host}: {container}");

        let second = shown["inventory"]["gpus"][1]["uuid"]
            .as_str()
            .context("a UUID")?;
        fleet.ok([
            "run", "tiny", "--name", "one", "--host", host, "--detach", "--gpus", second,
        ])?;
        let gpus = gpus_in(&fleet, host, "one")?;
        ensure!(gpus == [1], "{host}: {gpus:?}");

        fleet.ok([
            "run", "tiny", "--name", "none", "--host", host, "--detach", "--gpus", "none",
        ])?;
        let gpus = gpus_in(&fleet, host, "none")?;
        ensure!(gpus.is_empty(), "{host}: {gpus:?}");
    }
    Ok(())
}

/// An image that others built may ask for more than the driver has. The agent says so before it makes a container, as
/// NVIDIA's hook would when it starts.
#[test]
fn what_an_image_requires_is_asked_before_a_container_is_made() -> Result<()> {
    let ways = [
        ("runtime", GpuAccess::Runtime),
        ("request", GpuAccess::DeviceRequest),
    ];
    let fleet = fleet(ways.map(|(name, way)| host(name, EngineKind::System, &[way])))?;
    fleet.add_image("picky", &[], &["ENV NVIDIA_REQUIRE_CUDA=\"cuda>=13.0\""])?;
    fleet.ok(["rollout", "start", "picky", "--all"])?;
    for (host, _) in ways {
        let start = ["run", "picky", "--name", "one", "--host", host, "--detach"];
        let failure = fleet.fails(host, &start)?;
        ensure!(failure["code"] == "incompatible", "{host}: {failure}");
        ensure!(failure["rule"] == "image-requirement", "{host}: {failure}");
        let message = failure["message"].as_str().unwrap_or_default();
        for part in ["cuda>=13.0", "535.183.01"] {
            ensure!(message.contains(part), "{host}: no {part} in {failure}");
        }
        let remedy = failure["remedy"].as_str().unwrap_or_default();
        ensure!(remedy.contains("580."), "{host}: {failure}");
        let list = ["ps", "--all", "--quiet"];
        let containers = run(fleet.host(host)?.docker().args(list))?;
        ensure!(containers.is_empty(), "{host}: {containers} was made");

        // The engine's own way to say that nobody is to ask, in the agent as in NVIDIA's hook.
        let unasked = ["--replace", "--env", "NVIDIA_DISABLE_REQUIRE=1"];
        fleet.ok(start.into_iter().chain(unasked))?;
    }
    Ok(())
}
