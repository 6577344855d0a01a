//! The main job with the recipes' own names and versions: each driver gets its own variant. The wheels are stubs from
//! an index of the test's own, so that what is left out is their weight alone.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use tempfile::TempDir;
use tfleet_compat::{Architecture, Catalog, Recipe, TensorflowVersion};
use tfleet_coordinator::build::UV_VERSION;
use tfleet_tests::harness::{BUILD, Coordinator, TestFleet, eventually};
use tfleet_tests::lab::{EngineKind, HostDescription, TestLab, TestLabBuilder, run};

use crate::build::common_base;
use crate::build::index::{Index, Manner};
use crate::build::wheel::{Wheel, cuda_sonames, library, tensorflow};

pub const RELEASE: [&str; 6] = [
    "release",
    "create",
    "train",
    "--tensorflow",
    ">=2.14,<2.16",
    "--all",
];

/// Host, variant, the TensorFlow that it prints.
const PLACED: [(&str, &str, &str); 3] = [
    ("t4", "tf2.14.1-cuda11.8", "2.14.1"),
    ("a100", "tf2.15.1-cuda12.2", "2.15.1"),
    ("cpu", "tf2.15.1-cpu", "2.15.1"),
];
/// What a second time may cost on the wire: statuses and heartbeats, and no chunk of any image.
const TALK_BYTES: u64 = 256 << 10;

/// What the recipes ask for: "tensorflow==2.14.1", "numpy<2".
fn requirements() -> Vec<String> {
    let catalog = Catalog::builtin();
    let recipe = |version: &str, gpu: bool| {
        let version: TensorflowVersion = version.parse().unwrap();
        let release = catalog.tensorflow_release(version.minor()).unwrap();
        let make = if gpu {
            Recipe::for_gpu
        } else {
            Recipe::for_cpu
        };
        make(catalog, release, &version, Architecture::X86_64).unwrap()
    };
    let recipes = [
        recipe("2.14.1", true),
        recipe("2.15.1", true),
        recipe("2.15.1", false),
    ];
    let mut all: Vec<String> = recipes
        .into_iter()
        .flat_map(|recipe| recipe.requirements)
        .collect();
    all.push("pip".to_owned());
    all.sort();
    all.dedup();
    all
}

/// A wheel for this requirement, with the tags and the libraries' names that the real one has.
fn stub(requirement: &str, folders: &[&str]) -> (String, Vec<u8>) {
    let (name, version) = match requirement.split_once("==") {
        Some((name, version)) => (name, version),
        None if requirement == "numpy<2" => ("numpy", "1.26.4"),
        None => (requirement, "24.0"),
    };
    let module = format!("__version__ = '{version}'\n");
    let wheel = match name {
        "tensorflow" | "tensorflow-cpu" => {
            let cuda = match version {
                _ if name == "tensorflow-cpu" => None,
                "2.14.1" => Some("11.8"),
                _ => Some("12.2"),
            };
            tensorflow(name, version, cuda, folders)
        }
        "numpy" => Wheel::new(name, version)
            .tag("cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64")
            .file("numpy/__init__.py", module),
        "pip" => Wheel::new(name, version).file("pip/__init__.py", module),
        _ => {
            let mut wheel = Wheel::new(name, version).tag("py3-none-manylinux1_x86_64");
            if name.starts_with("nvidia-cuda-nvcc-") {
                for part in ["bin/ptxas", "nvvm/libdevice/libdevice.10.bc"] {
                    wheel = wheel.file(&format!("nvidia/cuda_nvcc/{part}"), "");
                }
            }
            for soname in cuda_sonames(name) {
                let path = format!("nvidia/{}/lib/{soname}", cuda_folder(name));
                wheel = wheel.file(&path, library(&soname, &[]));
            }
            wheel
        }
    };
    wheel.pack()
}

/// `cuda_runtime` of nvidia-cuda-runtime-cu12.
fn cuda_folder(wheel: &str) -> String {
    let name = wheel.trim_start_matches("nvidia-");
    let name = name.rsplit_once("-cu").map_or(name, |(name, _)| name);
    name.replace('-', "_")
}

/// The installer, from the machine's own index: it works, so it must be the real one.
pub fn installer() -> Result<(String, Vec<u8>)> {
    let folder = TempDir::new()?;
    let mut download = Command::new("python3");
    download.args(["-m", "pip", "--disable-pip-version-check", "download"]);
    download.args(["--quiet", "--no-deps", "--only-binary=:all:"]);
    download.args(["--platform=manylinux_2_17_x86_64", "--dest"]);
    download.arg(folder.path());
    run(download.arg(format!("uv=={UV_VERSION}")))?;
    let entry = std::fs::read_dir(folder.path())?
        .next()
        .context("pip downloaded nothing")??;
    let file = entry.file_name().to_string_lossy().into_owned();
    Ok((file, std::fs::read(entry.path())?))
}

/// The quickstart's fleet and an index with all that its images need.
async fn quickstart() -> Result<(TestFleet, Index)> {
    fleet_that_builds(vec![
        HostDescription::new("t4")
            .driver("470.256.02")
            .gpu("Tesla T4"),
        HostDescription::new("a100")
            .driver("535.183.01")
            .gpu("NVIDIA A100-SXM4-40GB"),
        HostDescription::new("cpu"),
    ])
    .await
}

/// An index with all that the quickstart's images need.
pub async fn index_of_stubs() -> Result<Index> {
    let index = Index::start(Manner::Serving, None).await;
    index.offer(installer()?);
    let requirements = requirements();
    let names = requirements.iter().filter_map(|it| it.split_once("=="));
    let folders: BTreeSet<String> = names
        .filter(|(name, _)| name.starts_with("nvidia-"))
        .map(|(name, _)| cuda_folder(name))
        .collect();
    let folders: Vec<&str> = folders.iter().map(String::as_str).collect();
    for requirement in &requirements {
        index.offer(stub(requirement, &folders));
    }
    Ok(index)
}

/// A fleet of these hosts and an index with all that the quickstart's images need.
pub async fn fleet_that_builds(hosts: Vec<HostDescription>) -> Result<(TestFleet, Index)> {
    let index = index_of_stubs().await?;
    let folder = TempDir::new()?;
    let policy = folder.path().join("policy.toml");
    std::fs::write(&policy, "exec = true\n")?;
    let mut lab = TestLab::builder()
        .builder_engine(EngineKind::System)
        .policy(&policy);
    for host in hosts {
        lab = lab.host(host);
    }
    let build = format!("{BUILD}python_indexes = [\"{}\"]\n", index.url());
    Ok((building_on_the_common_base(lab, &build).await?, index))
}

/// A fleet whose coordinator has the base that most tests build on.
pub async fn building_on_the_common_base(lab: TestLabBuilder, build: &str) -> Result<TestFleet> {
    let lab = lab.up()?;
    common_base::lay(&Coordinator::data_in(lab.state()), &lab).await;
    TestFleet::building(lab, build)
}

/// The commands of the quickstart. Gives the builds.
fn main_job(fleet: &TestFleet) -> Result<Value> {
    fleet.ok(RELEASE)?;
    let builds = fleet.ok(["build", "train", "--output", "json"])?.json()?;
    fleet.ok(["rollout", "start", "train", "--all"])?;
    fleet.ok([
        "run",
        "train",
        "--name",
        "tf",
        "--all",
        "--detach",
        "--replace",
    ])?;
    Ok(builds)
}

/// What must be so after each time: every host has its own variant and no other, and it works.
fn check(fleet: &TestFleet) -> Result<()> {
    for (host, variant, tensorflow) in PLACED {
        let mut list = fleet.host(host)?.engine().docker();
        let tags = run(list.args(["image", "ls", "--format", "{{.Repository}}:{{.Tag}}"]))?;
        ensure!(
            tags.lines().all(|tag| tag.starts_with("tfleet/train:")),
            "{host} has {tags}"
        );
        for (_, other, _) in PLACED {
            let has = tags.lines().any(|tag| tag.ends_with(&format!("-{other}")));
            ensure!(
                has == (other == variant),
                "{host} has {tags}, and its variant is {variant}"
            );
        }
        let script = "import tensorflow, importlib.metadata as metadata; \
                      print('version', tensorflow.__version__, sorted({d.name for d in metadata.distributions()}))";
        let said = fleet.ok(["exec", "tf", "--host", host, "--", "python", "-c", script])?;
        ensure!(
            said.stdout.contains(&format!("version {tensorflow} ")),
            "{host}: {}",
            said.stdout
        );
        let cuda = match variant.split_once("-cuda") {
            Some((_, "11.8")) => Some("nvidia-cudnn-cu11"),
            Some(_) => Some("nvidia-cudnn-cu12"),
            None => None,
        };
        for library in ["nvidia-cudnn-cu11", "nvidia-cudnn-cu12"] {
            ensure!(
                said.stdout.contains(library) == (cuda == Some(library)),
                "{host}: {}",
                said.stdout
            );
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn each_driver_gets_its_own_variant_and_the_second_time_nothing_is_built_or_sent()
-> Result<()> {
    let (fleet, index) = quickstart().await?;
    let log = ["build", "log", "train", "tf2.15.1-cpu"];
    let mut follow = fleet.operator().command([&log[..], &["--follow"]].concat());
    let following = std::thread::spawn(move || {
        eventually(Duration::from_secs(120), || {
            let said = follow.output()?;
            ensure!(said.status.success(), "not begun yet: {said:?}");
            Ok(String::from_utf8_lossy(&said.stdout).into_owned())
        })
    });
    let first = main_job(&fleet)?;
    let Ok(followed) = following.join() else {
        bail!("nobody followed the build")
    };
    let (followed, whole) = (followed?, fleet.ok(log)?.stdout);
    ensure!(
        followed == whole && whole.contains("wheels") && whole.contains("built "),
        "{followed}\nis not\n{whole}"
    );
    fleet
        .tfleet(["build", "log", "train", "tf2.15.1-cpuu"])?
        .refused(4, "did you mean tf2.15.1-cpu?")?;
    let mut built: Vec<&str> = first
        .as_array()
        .context("builds")?
        .iter()
        .filter_map(|build| build["variant"].as_str())
        .collect();
    built.sort_unstable();
    ensure!(
        built == ["tf2.14.1-cuda11.8", "tf2.15.1-cpu", "tf2.15.1-cuda12.2"],
        "{first}"
    );
    for build in first.as_array().into_iter().flatten() {
        // They stand on one base, and have TensorFlow or CUDA of their own.
        let bytes = |field: &str| build[field].as_u64().unwrap_or_default();
        let (stored, shared) = (bytes("stored_bytes"), bytes("shared_stored_bytes"));
        ensure!(0 < shared && shared < stored, "{build}");
    }
    let shown = fleet.ok(["release", "show", "train"])?.stdout;
    ensure!(shown.contains(" that it shares"), "{shown}");
    check(&fleet)?;
    let before: Vec<u64> = PLACED
        .iter()
        .map(|(host, ..)| Ok(fleet.host(host)?.network().sent_bytes()?))
        .collect::<Result<_>>()?;
    ensure!(
        before.iter().all(|bytes| *bytes > 16 * TALK_BYTES),
        "an image is more than that: {before:?}"
    );

    // Nothing can be built from here on.
    fleet.builder()?.stop()?;
    drop(index);
    let second = main_job(&fleet)?;
    let artifacts = |builds: &Value| -> Vec<Value> {
        let builds = builds.as_array().into_iter().flatten();
        builds
            .map(|build| serde_json::json!([build["variant"], build["artifact"]]))
            .collect()
    };
    ensure!(artifacts(&first) == artifacts(&second), "{first}\n{second}");
    eventually(Duration::from_secs(30), || check(&fleet))?;
    for ((host, ..), before) in PLACED.iter().zip(before) {
        let sent = fleet.host(host)?.network().sent_bytes()? - before;
        ensure!(sent < TALK_BYTES, "{host} was sent {sent} bytes again");
        let image = fleet.shown(host)?["status"]["images"][0].clone();
        ensure!(image["phase"] == "present", "{host}: {image}");
    }
    Ok(())
}
