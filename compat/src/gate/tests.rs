//! Each test names the function of the container toolkit that decides, in `internal/config/image/` of
//! <https://github.com/NVIDIA/nvidia-container-toolkit>.

use super::*;
use crate::version::DriverVersion;

fn gate(environment: &[&str]) -> ImageGate {
    ImageGate::from_environment(environment.iter().copied())
}

fn required(environment: &[&str]) -> Vec<String> {
    gate(environment)
        .requirements()
        .iter()
        .map(|asked| asked.requirement.to_string())
        .collect()
}

#[test]
fn every_require_variable_counts_but_those_of_jetpack() {
    // cuda_image.go, GetRequirements
    assert_eq!(
        required(&[
            "PATH=/bin",
            "NVIDIA_REQUIRE_CUDA=cuda>=12.4",
            "NVIDIA_REQUIRE_ARCH=arch>=7.0",
            "NVIDIA_REQUIRE_JETPACK=csv-mounts=all",
            "NVIDIA_REQUIRE_JETPACK_HOST_MOUNTS=base-only",
        ]),
        ["arch>=7.0", "cuda>=12.4"]
    );
    assert_eq!(
        required(&["NVIDIA_REQUIRE_=cuda>=1", "NVIDIA_REQUIRED=x"]),
        ["cuda>=1"]
    );
    assert_eq!(
        required(&[
            "NVIDIA_REQUIRE_CUDA=cuda>=9",
            "NVIDIA_REQUIRE_CUDA=cuda>=10",
            "NVIDIA_REQUIRE_X"
        ]),
        ["cuda>=10"]
    );
}

#[test]
fn only_what_the_toolkits_language_takes_for_true_switches_off() {
    // cuda_image.go, HasDisableRequire: strconv.ParseBool
    for (value, expected) in [
        ("1", true),
        ("t", true),
        ("T", true),
        ("TRUE", true),
        ("true", true),
        ("True", true),
        ("0", false),
        ("false", false),
        ("yes", false),
        ("on", false),
        ("tRUE", false),
        (" 1", false),
        ("", false),
    ] {
        let variable = format!("NVIDIA_DISABLE_REQUIRE={value}");
        let gate = gate(&["NVIDIA_REQUIRE_CUDA=cuda>=99", &variable]);
        assert_eq!(gate.is_switched_off(), expected, "{value:?}");
    }
    assert!(!gate(&["NVIDIA_REQUIRE_CUDA=cuda>=99"]).is_switched_off());
}

#[test]
fn an_image_of_the_first_days_requires_its_own_cuda() {
    // cuda_image.go, IsLegacy and legacyVersion
    for (version, expected) in [
        ("8.0.61", "cuda>=8.0"),
        ("9.0", "cuda>=9.0"),
        ("7", "cuda>=7.0"),
        ("v9.1.85", "cuda>=9.1"),
        ("10.0.130-1", "cuda>=10.0"),
    ] {
        assert_eq!(required(&[&format!("CUDA_VERSION={version}")]), [expected]);
    }
    assert_eq!(
        required(&["CUDA_VERSION=8.0.61", "NVIDIA_REQUIRE_CUDA="]),
        ["", "cuda>=8.0"]
    );
    assert_eq!(
        required(&["CUDA_VERSION=12.4.1", "NVIDIA_REQUIRE_CUDA=cuda>=12.4"]),
        ["cuda>=12.4"]
    );
}

#[test]
fn an_image_of_the_first_days_with_a_version_that_cannot_be_read_never_starts() {
    // cuda_image.go, parseMajorMinorVersion: an error ends the hook
    for version in ["8.0.44.1", "latest", "8.x", ".", "99999999999999999999"] {
        let gate = gate(&[&format!("CUDA_VERSION={version}")]);
        let unsatisfied = gate.unsatisfied(&[], Subject::default()).unwrap();
        assert!(
            matches!(unsatisfied.unmet, Unmet::Malformed(_)),
            "{version}"
        );
    }
}

#[test]
fn an_image_may_ask_for_gpus_by_itself() {
    // cuda_image.go, devicesFromEnvvars; devices.go, NewVisibleDevices
    let devices = |value: &str| gate(&[&format!("NVIDIA_VISIBLE_DEVICES={value}")]).devices;
    let listed = |names: &[&str]| {
        AskedDevices::Listed(names.iter().map(|name| (*name).to_owned()).collect())
    };
    assert_eq!(devices("all"), AskedDevices::All);
    assert_eq!(devices(" all "), AskedDevices::All);
    assert_eq!(devices("none"), AskedDevices::DriverOnly);
    assert_eq!(devices(""), AskedDevices::Nothing);
    assert_eq!(devices("void"), AskedDevices::Nothing);
    assert_eq!(devices("all,void"), AskedDevices::Nothing);
    assert_eq!(devices("0,none,all"), AskedDevices::DriverOnly);
    assert_eq!(devices("0, GPU-1,"), listed(&["0", "GPU-1"]));
    assert_eq!(gate(&["PATH=/bin"]).devices, AskedDevices::Nothing);
    assert_eq!(gate(&["CUDA_VERSION=8.0.61"]).devices, AskedDevices::All);
    assert_eq!(
        gate(&["CUDA_VERSION=8.0.61", "NVIDIA_VISIBLE_DEVICES="]).devices,
        AskedDevices::Nothing
    );
}

#[test]
fn each_visible_gpu_must_meet_every_requirement() {
    // libnvidia-container, src/cli/configure.c, configure_command
    let gate = gate(&["NVIDIA_REQUIRE_A=arch>=8.0", "NVIDIA_REQUIRE_B=brand=tesla"]);
    let driver: DriverVersion = "535.183.01".parse().unwrap();
    let machine = Subject {
        driver: Some(&driver),
        ..Subject::default()
    };
    let gpu = |arch: (u32, u32), brand| Subject {
        arch: Some(crate::ComputeCapability::new(arch.0, arch.1)),
        brand: Some(brand),
        ..machine
    };
    let first = |gpus: &[Subject<'_>]| {
        gate.unsatisfied(gpus, machine)
            .map(|found| (found.gpu, found.asked.variable.clone()))
    };
    assert_eq!(first(&[gpu((8, 0), "tesla")]), None);
    assert_eq!(
        first(&[gpu((8, 0), "tesla"), gpu((7, 5), "tesla")]),
        Some((Some(1), "NVIDIA_REQUIRE_A".to_owned()))
    );
    assert_eq!(
        first(&[gpu((8, 0), "geforce"), gpu((7, 5), "tesla")]),
        Some((Some(0), "NVIDIA_REQUIRE_B".to_owned()))
    );
    assert_eq!(first(&[]), None);
}

#[test]
fn the_image_says_which_cuda_it_has() {
    assert_eq!(
        gate(&["CUDA_VERSION=12.4.1", "NVIDIA_REQUIRE_CUDA=cuda>=12.4"])
            .cuda_release()
            .unwrap()
            .to_string(),
        "12.4.1"
    );
    let only = ImageGate::requiring("cuda>=12.4 driver>=450".parse().unwrap());
    assert_eq!(only.cuda(), Some(CudaVersion::new(12, 4)));
}
