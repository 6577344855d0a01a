//! A data-centre GPU on an old driver gets the compat libraries of NVIDIA's package in its image. The package and the
//! wheels are stubs, and so is the host's GPU: what is real is their way into the image, and the loader's choice.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, ensure};
use tempfile::TempDir;
use tfleet_tests::lab::{HostDescription, run};

use crate::build::wheel::library;
use crate::variants::fleet_that_builds;

const VARIANT: &str = "tf2.15.1-cuda12.2-compat12.2";
const PACKAGE: &str = "cuda-compat-12-2";
const FOLDER: &str = "usr/local/cuda-12.2/compat";

/// The package as NVIDIA's is laid out, with a driver's library that does nothing.
fn package(folder: &Path, driver: &str) -> Result<PathBuf> {
    let root = folder.join(driver);
    let (control, libraries) = (root.join("DEBIAN"), root.join(FOLDER));
    fs::create_dir_all(&control)?;
    fs::create_dir_all(&libraries)?;
    fs::write(
        control.join("control"),
        format!(
            "Package: {PACKAGE}\nVersion: {driver}-1\nArchitecture: amd64\nMaintainer: nobody <nobody@example.com>\n\
             Description: stands for NVIDIA's package\n"
        ),
    )?;
    let file = format!("libcuda.so.{driver}");
    fs::write(libraries.join(&file), library("libcuda.so.1", &[]))?;
    symlink(&file, libraries.join("libcuda.so.1"))?;
    symlink("libcuda.so.1", libraries.join("libcuda.so"))?;
    let package = folder.join(format!("{PACKAGE}_{driver}-1_amd64.deb"));
    run(Command::new("dpkg-deb")
        .arg("--build")
        .args([&root, &package]))?;
    Ok(package)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_compat_package_goes_into_the_image_and_is_what_programs_load() -> Result<()> {
    let t4 = HostDescription::new("t4")
        .driver("470.256.02")
        .gpu("Tesla T4");
    let (fleet, _index) = fleet_that_builds(vec![t4]).await?;
    let plan = ["train", "--tensorflow", ">=2.15,<2.16", "--all"];
    fleet.ok([&["release", "create"], &plan[..], &["--forward"]].concat())?;
    let build = ["build", "train"];

    let missing = fleet.tfleet(build)?;
    missing.refused(1, &format!("{PACKAGE} is not imported for x86_64"))?;
    missing.refused(1, &format!("tfleet base import {PACKAGE}_"))?;

    let folder = TempDir::new()?;
    let import = |driver: &str| -> Result<()> {
        let package = package(folder.path(), driver)?;
        let package = package.display().to_string();
        fleet.ok(["base", "import", &package, "--name", PACKAGE])?;
        Ok(())
    };
    import("550.54.15")?;
    fleet
        .tfleet(build)?
        .refused(1, "libraries of driver 550.54.15; the package is of R535")?;
    import("535.54.03")?;
    let built = fleet.ok(["build", "train", "--output", "json"])?.json()?;
    ensure!(built[0]["variant"] == VARIANT, "{built}");
    let log = fleet.ok(["build", "log", "train", VARIANT])?.stdout;
    for words in [
        format!("check: libcuda.so.1 loads, from /{FOLDER}/libcuda.so.1"),
        format!("libcuda.so.1 is that of {PACKAGE}"),
    ] {
        ensure!(log.contains(&words), "{log}");
    }
    let parts = fleet
        .ok(["release", "sbom", "train", "--variant", VARIANT])?
        .json()?;
    let parts = parts["components"].as_array().cloned().unwrap_or_default();
    ensure!(
        parts
            .iter()
            .any(|part| part["name"] == PACKAGE && part["version"] == "535.54.03"),
        "{parts:?}"
    );

    fleet.ok(["rollout", "start", "train", "--all"])?;
    fleet.ok(["run", "train", "--name", "tf", "--all", "--detach"])?;
    // The runtime gives the container the host's own library too, where the loader looks by itself.
    let script =
        "import ctypes; ctypes.CDLL('libcuda.so.1'); print(open('/proc/self/maps').read())";
    let said = fleet.ok(["exec", "tf", "--host", "t4", "--", "python", "-c", script])?;
    let loaded = format!("/{FOLDER}/libcuda.so.535.54.03");
    ensure!(said.stdout.contains(&loaded), "{}", said.stdout);
    Ok(())
}
