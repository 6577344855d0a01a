//! The lab itself: each generation of engine, the fake runtime, and that a lab leaves nothing behind.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tfleet_tests::harness::TestFleet;
use tfleet_tests::lab::{Engine, EngineKind, GpuAccess, HostDescription, TestLab, run};

/// Gives an engine a tiny image, `tiny`, without a registry: a static shell and its tools.
fn load_tiny(engine: &Engine) {
    let folder = TempDir::new().unwrap();
    let busybox = fs::read("/bin/busybox")
        .expect("install the package busybox-static: the tests make an image of it");
    let archive = folder.path().join("tiny.tar");
    let mut tar = tar::Builder::new(fs::File::create(&archive).unwrap());
    for name in ["sh", "ls", "cat", "sleep", "echo", "touch"] {
        let mut header = tar::Header::new_gnu();
        header.set_size(busybox.len() as u64);
        header.set_mode(0o755);
        tar.append_data(&mut header, format!("bin/{name}"), busybox.as_slice())
            .unwrap();
    }
    tar.finish().unwrap();
    run(engine.docker().arg("import").arg(&archive).arg("tiny")).unwrap();
}

/// `docker run` of the tiny image, with the `nvidia` runtime.
fn with_gpu(engine: &Engine, options: &[&str], command: &[&str]) -> Output {
    let mut docker = engine.docker();
    docker.args(["run", "--rm", "--runtime=nvidia"]);
    docker.args(options).arg("tiny").args(command);
    docker.output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn a_generation_works(kind: EngineKind, version: &str, storage: &str) {
    let host = HostDescription::new("old")
        .engine(kind)
        .driver("470.256.02")
        .gpu("Tesla T4");
    let lab = TestLab::with_host(host).up().unwrap();
    let engine = lab.host("old").unwrap().engine();
    assert!(engine.version().unwrap().starts_with(version));
    let mut ask = engine.docker();
    let driver = run(ask.args(["info", "--format", "{{.Driver}}"])).unwrap();
    assert_eq!(driver.trim(), storage);
    load_tiny(engine);

    let output = with_gpu(
        engine,
        &["--env=NVIDIA_VISIBLE_DEVICES=all"],
        &["ls", "/dev"],
    );
    let seen = text(&output.stdout);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(
        seen.contains("nvidia0") && seen.contains("nvidiactl"),
        "{seen}"
    );

    let refused = |variable: &str, words: &str| {
        let options = ["--env=NVIDIA_VISIBLE_DEVICES=all", "--env", variable];
        let output = with_gpu(engine, &options, &["echo", "started"]);
        assert!(!output.status.success());
        assert!(
            text(&output.stderr).contains(words),
            "{}",
            text(&output.stderr)
        );
    };
    refused(
        "NVIDIA_REQUIRE_CUDA=cuda>=12.2",
        "nvidia-container-cli: requirement error: unsatisfied condition: cuda>=12.2, please update your driver to a \
         newer version, or use an earlier cuda container",
    );
    refused(
        "NVIDIA_VISIBLE_DEVICES=GPU-1",
        "nvidia-container-cli: device error: GPU-1: unknown device",
    );
    lab.host("old")
        .unwrap()
        .edit_machine(|machine| machine.driver_version = None)
        .unwrap();
    refused(
        "NVIDIA_REQUIRE_CUDA=cuda>=9.0",
        "nvidia-container-cli: initialization error: nvml error: driver not loaded",
    );
}

#[test]
fn docker_of_this_machine_works() {
    a_generation_works(EngineKind::System, "20.10", "overlay2");
}

#[test]
fn docker_26_with_overlay2_works() {
    a_generation_works(EngineKind::Trixie, "26.1", "overlay2");
}

#[test]
fn docker_26_with_the_containerd_store_works() {
    a_generation_works(EngineKind::TrixieContainerd, "26.1", "overlayfs");
}

#[test]
fn docker_28_works() {
    a_generation_works(EngineKind::Forky, "28.5", "overlay2");
}

#[test]
fn a_container_sees_the_gpus_it_asked_for_and_no_others() {
    let host = HostDescription::new("two")
        .driver("535.183.01")
        .gpu("NVIDIA A100-SXM4-40GB")
        .gpu("NVIDIA A100-SXM4-40GB");
    let lab = TestLab::with_host(host).up().unwrap();
    let engine = lab.host("two").unwrap().engine();
    load_tiny(engine);
    let devices = |wanted: &str| {
        let option = format!("--env=NVIDIA_VISIBLE_DEVICES={wanted}");
        let output = with_gpu(engine, &[&option], &["ls", "/dev"]);
        let mut seen: Vec<_> = text(&output.stdout)
            .lines()
            .filter_map(|line| line.strip_prefix("nvidia").map(str::to_owned))
            .filter(|name| name.parse::<u32>().is_ok())
            .collect();
        seen.sort();
        seen
    };
    assert_eq!(devices("all"), ["0", "1"]);
    assert_eq!(devices("1"), ["1"]);
    assert!(devices("none").is_empty());
    assert!(devices("void").is_empty());
}

#[test]
fn a_gpu_is_had_in_each_way_that_is_set_up() {
    let a100 = |name: &str, way: GpuAccess| {
        HostDescription::new(name)
            .engine(EngineKind::Forky)
            .driver("535.183.01")
            .gpu("NVIDIA A100-SXM4-40GB")
            .gpu_access(&[way])
    };
    let lab = TestLab::builder()
        .host(a100("request", GpuAccess::DeviceRequest))
        .host(a100("cdi", GpuAccess::Cdi))
        .up()
        .unwrap();
    for (host, option) in [
        ("request", "--gpus=all"),
        ("cdi", "--device=nvidia.com/gpu=all"),
    ] {
        let engine = lab.host(host).unwrap().engine();
        load_tiny(engine);
        let mut docker = engine.docker();
        docker.args(["run", "--rm", option, "tiny", "ls", "/dev/nvidia0"]);
        assert_eq!(run(&mut docker).unwrap().trim(), "/dev/nvidia0");
        let mut docker = engine.docker();
        docker.args(["run", "--rm", "--runtime=nvidia", "tiny", "ls"]);
        assert!(
            !docker.output().unwrap().status.success(),
            "{host} has no such runtime"
        );
    }
    let request = lab.host("request").unwrap().engine();
    let mut docker = request.docker();
    docker.args([
        "run",
        "--rm",
        "--gpus=all",
        "--env=NVIDIA_REQUIRE_CUDA=cuda>=13.0",
        "tiny",
        "ls",
    ]);
    let refusal = text(&docker.output().unwrap().stderr);
    assert!(
        refusal.contains("unsatisfied condition: cuda>=13.0"),
        "{refusal}"
    );
}

#[test]
fn a_host_has_its_own_driver_address_and_tools() {
    let lab = TestLab::builder()
        .host(
            HostDescription::new("gpu")
                .driver("470.256.02")
                .gpu("Tesla T4"),
        )
        .host(HostDescription::new("cpu"))
        .up()
        .unwrap();
    let gpu = lab.host("gpu").unwrap();
    let cpu = lab.host("cpu").unwrap();
    let version = run(gpu.command("cat").arg("/proc/driver/nvidia/version")).unwrap();
    assert!(version.contains("470.256.02"), "{version}");
    assert!(run(cpu.command("cat").arg("/proc/driver/nvidia/version")).is_err());
    let listed = run(gpu.command("nvidia-smi").arg("-L")).unwrap();
    assert!(
        listed.starts_with("GPU 0: Tesla T4 (UUID: GPU-"),
        "{listed}"
    );
    assert_ne!(gpu.address(), cpu.address());
    let addresses = run(gpu
        .command("ip")
        .args(["-brief", "address", "show", "eth0"]))
    .unwrap();
    assert!(
        addresses.contains(&gpu.address().to_string()),
        "{addresses}"
    );
    // The field came after 470: the whole query fails, as it does there.
    let query = ["--query-gpu=name,compute_cap", "--format=csv,noheader"];
    let code = |command: &mut Command| command.output().unwrap().status.code();
    assert_eq!(code(gpu.command("nvidia-smi").args(query)), Some(2));
    gpu.edit_machine(|machine| machine.gpus[0].lost = true)
        .unwrap();
    assert_eq!(code(&mut gpu.command("nvidia-smi")), Some(15));
    gpu.edit_machine(|machine| machine.driver_version = None)
        .unwrap();
    assert!(run(gpu.command("cat").arg("/proc/driver/nvidia/version")).is_err());
    assert_eq!(code(&mut gpu.command("nvidia-smi")), Some(9));
}

#[test]
fn an_engine_that_was_killed_starts_again_and_keeps_its_containers() {
    let lab = TestLab::with_host(HostDescription::new("a")).up().unwrap();
    let engine = lab.host("a").unwrap().engine();
    load_tiny(engine);
    let mut docker = engine.docker();
    // The first process of a container ignores the usual signal, and stopping it would take ten seconds.
    run(docker.args([
        "run",
        "--detach",
        "--restart=always",
        "--stop-signal=KILL",
        "tiny",
        "sleep",
        "1000",
    ]))
    .unwrap();
    engine.kill_dockerd().unwrap();
    assert!(!engine.answers());
    lab.up().unwrap();
    let running = || run(engine.docker().args(["ps", "--quiet"])).unwrap();
    eventually("the container runs again", || !running().trim().is_empty());
    engine.stop().unwrap();
    engine.start().unwrap();
    eventually("the container runs after a restart", || {
        !running().trim().is_empty()
    });
}

#[test]
fn the_supervisor_starts_an_agent_again_that_died() {
    let lab = TestLab::with_host(HostDescription::new("a")).up().unwrap();
    let host = lab.host("a").unwrap();
    let folder = TempDir::new().unwrap();
    let agent = folder.path().join("agent");
    fs::write(&agent, "#!/bin/sh\nexec sleep 1000\n").unwrap();
    run(Command::new("chmod").arg("755").arg(&agent)).unwrap();
    host.start_agent(&agent).unwrap();
    let process = host.agent().process();
    eventually("the agent runs", || process.running().is_some());
    let first = process.running();
    host.agent().kill().unwrap();
    eventually("another runs", || {
        process.running().is_some_and(|pid| Some(pid) != first)
    });
    host.agent().stop().unwrap();
    assert!(process.running().is_none());
    assert!(host.agent().supervisor().running().is_none());
}

#[test]
fn a_lab_that_goes_leaves_nothing_behind() {
    let mut killed = None;
    let (state, bridge, namespace) = {
        let host = HostDescription::new("a")
            .driver("470.256.02")
            .gpu("Tesla T4");
        let lab = TestLab::with_host(host)
            .builder_engine(EngineKind::System)
            .up()
            .unwrap();
        let host = lab.host("a").unwrap();
        load_tiny(host.engine());
        run(host
            .docker()
            .args(["run", "--detach", "tiny", "sleep", "1000"]))
        .unwrap();
        // What was killed from outside is cleaned up all the same.
        lab.builder().unwrap().containerd().kill().unwrap();
        host.engine().kill_dockerd().unwrap();
        killed.replace(host.engine().containerd().running().unwrap());
        (
            lab.state().to_owned(),
            lab.id().bridge(),
            host.network().path(),
        )
    };
    let containerd = killed.unwrap();
    assert!(!Path::new(&format!("/proc/{containerd}/exe")).exists());
    assert!(!state.exists());
    assert!(!namespace.exists());
    assert!(!Path::new("/sys/class/net").join(bridge).exists());
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains(state.to_str().unwrap()));
}

/// Set for the process that raises a fleet and is killed with it.
const DOOMED: &str = "TFLEET_TEST_DOOMED";

#[test]
fn what_a_killed_test_left_running_is_ended_before_the_next_lab_of_its_number() {
    let lab = || TestLab::with_host(HostDescription::new("a")).up().unwrap();
    if std::env::var_os(DOOMED).is_some() {
        let fleet = TestFleet::up(lab()).unwrap();
        let coordinator = fleet.coordinator().pid().unwrap();
        println!("standing {} {coordinator}", fleet.id());
        loop {
            sleep(Duration::from_secs(60));
        }
    }
    let mut doomed = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--nocapture"])
        .arg("lab::what_a_killed_test_left_running_is_ended_before_the_next_lab_of_its_number")
        .env(DOOMED, "1")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(doomed.stdout.take().unwrap()).lines();
    // The test harness writes on the same line.
    let standing = lines.find_map(|line| Some(line.unwrap().split_once("standing ")?.1.to_owned()));
    doomed.kill().unwrap();
    doomed.wait().unwrap();
    let standing = standing.expect("the doomed fleet came up");
    let (number, coordinator) = standing.split_once(' ').unwrap();
    let runs = || Path::new(&format!("/proc/{coordinator}/exe")).exists();
    assert!(runs(), "nobody ended the coordinator");

    // Another test on this machine may hold a lower number, or have let one go.
    let mut others = Vec::new();
    let same = loop {
        let next = lab();
        if next.id().to_string() == number {
            break next;
        }
        others.push(next);
        assert!(others.len() < 9, "the number {number} does not come");
    };
    assert!(!runs(), "the coordinator outlives its lab");
    let fleet = TestFleet::up(same).unwrap();
    fleet.ok(["hosts", "show", "a"]).unwrap();
}

/// Waits for a level, for as long as a slow machine may need.
fn eventually(what: &str, holds: impl Fn() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(
            began.elapsed() < Duration::from_secs(60),
            "{what}: not within a minute"
        );
        sleep(Duration::from_millis(50));
    }
}
