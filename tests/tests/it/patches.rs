//! Newer images on hosts that have an older one: sent as what changed.

use std::fs::{self, File};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use serde_json::Value;
use tfleet_proto::model::digest::Digest;
use tfleet_tests::harness::{TestFleet, eventually, files_below};
use tfleet_tests::lab::{EngineKind, HostDescription, TestLab, run};

const LIBRARY_BYTES: usize = 24 << 20;

/// A library that does not compress, in its so many'th release: everything stands elsewhere, and some is new.
fn library(release: usize) -> Vec<u8> {
    let mut code = vec![0; LIBRARY_BYTES];
    StdRng::seed_from_u64(1).fill_bytes(&mut code);
    let mut inserted = vec![0; 1234 * release];
    StdRng::seed_from_u64(2).fill_bytes(&mut inserted);
    [
        &code[..LIBRARY_BYTES / 2],
        &inserted,
        &code[LIBRARY_BYTES / 2..],
        b"end",
    ]
    .concat()
}

fn fleet() -> Result<TestFleet> {
    let lab = TestLab::builder()
        .builder_engine(EngineKind::System)
        .host(HostDescription::new("host"));
    TestFleet::up(lab.up()?)
}

fn add(fleet: &TestFleet, release: usize) -> Result<()> {
    fleet.add_image("train", &[("library.so", &library(release))], &[])
}

fn roll_out(fleet: &TestFleet, release: usize) -> Result<Value> {
    add(fleet, release)?;
    newest(fleet)
}

/// Brings the newest release to the host.
fn newest(fleet: &TestFleet) -> Result<Value> {
    fleet.ok(["rollout", "start", "train", "--all"])?;
    image(fleet)
}

fn image(fleet: &TestFleet) -> Result<Value> {
    Ok(fleet.shown("host")?["status"]["images"][0].clone())
}

fn bytes(image: &Value, key: &str) -> Result<u64> {
    image[key]
        .as_u64()
        .with_context(|| format!("{key} in {image}"))
}

#[test]
fn a_newer_image_comes_as_patches_of_what_the_host_keeps_and_whole_where_that_is_damaged()
-> Result<()> {
    let fleet = fleet()?;
    let first = roll_out(&fleet, 1)?;
    ensure!(
        bytes(&first, "wire_bytes")? > LIBRARY_BYTES as u64,
        "{first}"
    );

    // They are made when there is an image that a host with another one may get.
    add(&fleet, 2)?;
    eventually(Duration::from_secs(60), || {
        let log = fleet.coordinator().log();
        ensure!(log.contains("patches are made"), "{log}");
        Ok(())
    })?;
    let second = newest(&fleet)?;
    ensure!(
        bytes(&second, "kept_bytes")? > LIBRARY_BYTES as u64,
        "{second}"
    );
    ensure!(bytes(&second, "wire_bytes")? < 100_000, "{second}");
    let told = fleet.ok(["transfers", "--present", "--all"])?.stdout;
    ensure!(told.contains("FROM CACHE"), "{told}");

    // One chunk of each kept image is lost, one is damaged.
    let spool = fleet
        .host("host")?
        .agent()
        .data_folder()
        .join("delivery/spool");
    let mut chunks: Vec<_> = files_below(&spool);
    chunks.retain(|path| {
        path.file_name()
            .is_some_and(|name| Digest::from_hex(&name.to_string_lossy()).is_ok())
    });
    chunks.sort();
    ensure!(chunks.len() >= 12, "{chunks:?}");
    let longest = chunks
        .iter()
        .max_by_key(|path| fs::metadata(path).map_or(0, |found| found.len()));
    File::options()
        .write(true)
        .open(longest.context("a chunk")?)?
        .set_len(1000)?;
    fs::remove_file(&chunks[chunks.len() / 2])?;
    let third = roll_out(&fleet, 3)?;
    ensure!(third["phase"] == "present", "{third}");
    ensure!(
        bytes(&third, "wire_bytes")? < (LIBRARY_BYTES as u64) * 3 / 4,
        "{third}"
    );
    Ok(())
}

#[test]
fn an_image_that_somebody_removed_comes_back_without_the_wire() -> Result<()> {
    let fleet = fleet()?;
    roll_out(&fleet, 1)?;
    let before = image(&fleet)?["finished_at"].clone();
    let host = fleet.host("host")?;
    run(host.engine().docker().args([
        "image",
        "rm",
        "--force",
        "tfleet/train:v1",
        "tfleet/train:v1-image",
    ]))?;
    let again = eventually(Duration::from_secs(60), || {
        let image = image(&fleet)?;
        ensure!(
            image["phase"] == "present" && image["finished_at"] != before,
            "{image}"
        );
        Ok(image)
    })?;
    ensure!(bytes(&again, "wire_bytes")? == 0, "{again}");
    ensure!(
        bytes(&again, "kept_bytes")? > LIBRARY_BYTES as u64,
        "{again}"
    );
    Ok(())
}
