//! A fleet that no network reaches: planned and built for at another site, and nothing but files between the two.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tempfile::TempDir;
use tfleet_tests::harness::{BUILD, TestFleet, files_below};
use tfleet_tests::lab::{EngineKind, HostDescription, TestLab, run};

use crate::build::index::wheel;
use crate::variants::{building_on_the_common_base, index_of_stubs};

/// Where the inside could get packages from: nowhere.
const ISLAND: &str = "network = \"none\"\npython_indexes = [\"http://127.0.0.1:9/simple\"]\n\
                      debian_mirrors = [\"http://127.0.0.1:9/debian\"]\n";

/// What is carried from one site to the other.
struct Stick(TempDir);

impl Stick {
    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    /// Puts a command's output into a file.
    fn write(&self, name: &str, content: &str) -> Result<()> {
        Ok(fs::write(self.path(name), content)?)
    }

    fn bytes(&self, name: &str) -> Result<u64> {
        Ok(fs::metadata(self.path(name))?.len())
    }
}

fn chunks(fleet: &TestFleet) -> Vec<PathBuf> {
    files_below(&fleet.coordinator().data().join("artifacts/chunks"))
}

fn names(paths: &[PathBuf]) -> Vec<String> {
    let name = |path: &PathBuf| {
        path.file_name()
            .map(|name| name.to_string_lossy().into_owned())
    };
    paths.iter().filter_map(name).collect()
}

/// Plans outside for the hosts inside, builds, and writes what the inside lacks into `bundle`.
fn build_for(
    inside: &TestFleet,
    outside: &TestFleet,
    stick: &Stick,
    extra: &[&str],
    bundle: &str,
) -> Result<()> {
    stick.write("hosts.json", &inside.ok(["hosts", "export"])?.stdout)?;
    stick.write("have.json", &inside.ok(["vault", "have"])?.stdout)?;
    let (hosts, have, bundle) = (
        stick.text("hosts.json"),
        stick.text("have.json"),
        stick.text(bundle),
    );
    let create = [
        "release",
        "create",
        "train",
        "--tensorflow",
        ">=2.14,<2.16",
        "--hosts",
        &hosts,
    ];
    outside.ok([&create[..], extra].concat())?;
    outside.ok(["build", "train"])?;
    outside.ok([
        "vault", "export", "train", "--have", &have, "--out", &bundle,
    ])?;
    Ok(())
}

/// Rolls out inside and carries the results back.
fn roll_out(
    inside: &TestFleet,
    outside: &TestFleet,
    stick: &Stick,
    release: &str,
) -> Result<Value> {
    inside.ok(["rollout", "start", "train", "--all"])?;
    let report = inside.ok(["rollout", "report", "train", "--output", "json"])?;
    stick.write("report.json", &report.stdout)?;
    let from = stick.text("report.json");
    let shown = outside.ok([
        "rollout", "report", "train", "--from", &from, "--output", "json",
    ])?;
    let shown = shown.json()?;
    ensure!(shown["release"] == release, "{shown}");
    Ok(shown)
}

/// A copy of a file that is cut off, or has one byte changed.
fn spoil(
    stick: &Stick,
    bundle: &str,
    name: &str,
    how: impl FnOnce(&mut Vec<u8>),
) -> Result<String> {
    let mut bytes = fs::read(stick.path(bundle))?;
    how(&mut bytes);
    fs::write(stick.path(name), bytes)?;
    Ok(stick.text(name))
}

fn images_of(fleet: &TestFleet, host: &str) -> Result<String> {
    let mut list = fleet.host(host)?.engine().docker();
    Ok(run(list.args([
        "image",
        "ls",
        "--format",
        "{{.Repository}}:{{.Tag}}",
    ]))?)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_without_a_network_is_planned_for_and_built_for_outside_and_its_results_come_back()
-> Result<()> {
    let stick = Stick(TempDir::new_in("/var/tmp")?);
    let lab = TestLab::builder()
        .host(
            HostDescription::new("t4")
                .driver("470.256.02")
                .gpu("Tesla T4"),
        )
        .host(HostDescription::new("cpu"));
    // No builder, no index: what its hosts get can only have come in a file.
    let inside = TestFleet::building(lab.up()?, ISLAND)?;
    let index = index_of_stubs().await?;
    index.offer(wheel("greeting", "print('hello')"));
    let lab = TestLab::builder().builder_engine(EngineKind::System);
    let build = format!("{BUILD}python_indexes = [\"{}\"]\n", index.url());
    let outside = building_on_the_common_base(lab, &build).await?;

    build_for(&inside, &outside, &stick, &[], "first.tfleet")?;

    // What was cut off or altered on the way counts for nothing.
    let cut = spoil(&stick, "first.tfleet", "cut.tfleet", |bytes| {
        bytes.truncate(bytes.len() / 2)
    })?;
    inside
        .tfleet(["vault", "import", &cut])?
        .refused(2, "ends early")?;
    let altered = spoil(&stick, "first.tfleet", "altered.tfleet", |bytes| {
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
    })?;
    let said = inside.tfleet(["vault", "import", &altered])?;
    ensure!(
        said.code != 0 && said.stderr.contains("nothing of it"),
        "{said:?}"
    );
    ensure!(inside.ok(["release", "ls", "--output", "json"])?.json()? == serde_json::json!([]));
    ensure!(chunks(&inside).is_empty(), "chunks of refused bundles stay");

    let first = stick.text("first.tfleet");
    let imported = inside
        .ok(["vault", "import", &first, "--output", "json"])?
        .json()?;
    ensure!(
        imported["releases"][0]["release"] == "train:v1",
        "{imported}"
    );
    ensure!(
        imported["releases"][0]["plan"]["assignments"]
            .as_array()
            .map(Vec::len)
            == Some(2),
        "{imported}"
    );
    // Once more changes nothing.
    let again = inside
        .ok(["vault", "import", &first, "--output", "json"])?
        .json()?;
    ensure!(again["releases"][0]["existed"] == true, "{again}");

    let results = roll_out(&inside, &outside, &stick, "train:v1")?;
    let hosts = results["hosts"].as_array().context("hosts")?;
    ensure!(
        hosts.len() == 2 && hosts.iter().all(|host| host["phase"] == "present"),
        "{results}"
    );
    ensure!(images_of(&inside, "t4")?.contains("tf2.14.1-cuda11.8"));
    ensure!(images_of(&inside, "cpu")?.contains("tf2.15.1-cpu"));

    // The second round: one more package, and only what is new is carried.
    let before = names(&chunks(&outside));
    build_for(
        &inside,
        &outside,
        &stick,
        &["--python", "greeting"],
        "second.tfleet",
    )?;
    let new_bytes: u64 = chunks(&outside)
        .iter()
        .filter(|path| !before.contains(&names(&[(*path).clone()])[0]))
        .map(|path| fs::metadata(path).map_or(0, |metadata| metadata.len()))
        .sum();
    let (first_bytes, second_bytes) = (stick.bytes("first.tfleet")?, stick.bytes("second.tfleet")?);
    // Records, locks and indexes come beside the chunks.
    ensure!(
        second_bytes < new_bytes + (512 << 10) && second_bytes * 20 < first_bytes,
        "{second_bytes} bytes were carried for {new_bytes} of new chunks; the first time {first_bytes}"
    );
    inside.ok(["vault", "import", &stick.text("second.tfleet")])?;
    roll_out(&inside, &outside, &stick, "train:v2")?;
    inside.ok(["run", "train", "--name", "tf", "--host", "cpu", "--detach"])?;

    check_wheels(&inside, &outside, &stick)
}

/// With wheels, the inside can build again what the outside built, and shows it.
fn check_wheels(inside: &TestFleet, outside: &TestFleet, stick: &Stick) -> Result<()> {
    let with_wheels = stick.text("wheels.tfleet");
    stick.write("have.json", &inside.ok(["vault", "have"])?.stdout)?;
    let have = stick.text("have.json");
    outside.ok([
        "vault",
        "export",
        "train",
        "--have",
        &have,
        "--wheels",
        "--out",
        &with_wheels,
    ])?;
    let imported = inside
        .ok(["vault", "import", &with_wheels, "--output", "json"])?
        .json()?;
    ensure!(imported["wheel_bytes"].as_u64() > Some(0), "{imported}");
    let listed = inside.ok(["vault", "ls", "--output", "json"])?.json()?;
    let locks = listed["locks"].as_array().context("locks")?;
    let complete = locks
        .iter()
        .filter(|lock| lock["missing_wheels"] == 0 && lock["base_is_there"] == true);
    ensure!(complete.count() >= 2, "{listed}");
    Ok(())
}
