use std::collections::BTreeSet;

use super::*;
use crate::catalog::{Catalog, CudaToolkit, TensorflowRelease};
use crate::host::{Architecture, DriverHealth, Gpu, GpuHealth, GpuMode, HostFacts};
use crate::verdict::Compatibility;

fn catalog() -> &'static Catalog {
    Catalog::builtin()
}

fn driver(text: &str) -> DriverVersion {
    text.parse().unwrap()
}

fn toolkit(release: &str) -> &'static CudaToolkit {
    catalog().cuda_release(&release.parse().unwrap()).unwrap()
}

fn tensorflow(minor: &str) -> &'static TensorflowRelease {
    catalog()
        .tensorflow_release(minor.parse().unwrap())
        .unwrap()
}

fn with_gpu<T>(name: &str, test: impl FnOnce(&KnownGpu<'_>) -> T) -> T {
    let gpu = Gpu::named(name);
    test(&gpu_known(catalog(), &gpu).unwrap())
}

fn runs(driver_version: &str, release: &str) -> Result<Compatibility, Refusal> {
    driver_runs_cuda(
        &driver(driver_version),
        Architecture::X86_64,
        toolkit(release),
        &[],
    )
    .map(|(compatibility, _)| compatibility)
}

// Source of the drivers: https://docs.nvidia.com/cuda/archive/13.1.0/cuda-toolkit-release-notes/index.html
#[test]
fn native_goes_by_the_exact_driver_and_not_by_its_branch() {
    assert_eq!(runs("535.54.03", "12.2.0"), Ok(Compatibility::Native));
    assert_eq!(runs("535.43.02", "12.2.0"), Ok(Compatibility::Minor));
    assert_eq!(runs("535.54.03", "12.2.2"), Ok(Compatibility::Minor));
    assert_eq!(runs("535.104.05", "12.2.2"), Ok(Compatibility::Native));
    assert_eq!(runs("440.100", "10.2.89"), Ok(Compatibility::Native));
}

// Source: https://docs.nvidia.com/deploy/cuda-compatibility/minor-version-compatibility.html
#[test]
fn minor_version_compatibility_begins_at_its_floor_and_with_cuda_11() {
    assert_eq!(runs("450.80.02", "11.8.0"), Ok(Compatibility::Minor));
    assert_eq!(runs("525.60.13", "12.9.1"), Ok(Compatibility::Minor));
    let refusal = runs("450.51.06", "11.8.0").unwrap_err();
    assert_eq!(
        refusal.to_string(),
        "driver 450.51.06 < 450.80.02, the floor of CUDA 11.x"
    );
    assert_eq!(
        refusal.remedy,
        "upgrade the driver to ≥ 450.80.02 (R450 or newer)"
    );
    assert_eq!(refusal.needs_driver, Some(driver("450.80.02")));
    assert_eq!(runs("450.51.06", "11.0.3"), Ok(Compatibility::Native));
    let refusal = runs("410.48", "10.1.105").unwrap_err();
    assert_eq!(
        refusal.to_string(),
        "driver 410.48 < 418.39, the driver of CUDA 10.1.105"
    );
}

#[test]
fn an_upgrade_is_advised_only_within_the_branches_that_drive_the_gpu() {
    with_gpu("Tesla K80", |k80| {
        let old = driver("418.87.01");
        let refusal = driver_runs_cuda(
            &old,
            Architecture::X86_64,
            toolkit("11.8.0"),
            std::slice::from_ref(k80),
        )
        .unwrap_err();
        assert_eq!(
            refusal.remedy,
            "upgrade the driver to ≥ 450.80.02 (R450 to R470)"
        );
        let refusal = driver_runs_cuda(
            &old,
            Architecture::X86_64,
            toolkit("12.2.2"),
            std::slice::from_ref(k80),
        )
        .unwrap_err();
        assert_eq!(refusal.needs_driver, None);
        assert_eq!(
            refusal.remedy,
            "choose an older TensorFlow: no driver that runs CUDA 12.x still drives Tesla K80"
        );
    });
}

// Source: https://docs.nvidia.com/datacenter/tesla/drivers/cuda-toolkit-driver-and-architecture-matrix.html
#[test]
fn a_driver_branch_drops_old_architectures() {
    with_gpu("V100", |v100| {
        assert!(driver_supports_gpu(&driver("580.95.05"), v100).is_ok());
        let refusal = driver_supports_gpu(&driver("590.48.01"), v100).unwrap_err();
        assert_eq!(refusal.remedy, "install a driver of branch R580");
    });
    with_gpu("T4", |t4| {
        assert!(driver_supports_gpu(&driver("700.1"), t4).is_ok())
    });
}

// Sources: the first toolkit of each architecture and its driver, as the catalog's rows have them.
#[test]
fn no_driver_drives_a_gpu_before_the_first_toolkit_that_knows_it() {
    for (gpu, older, first) in [
        ("T4", "396.37", "410.48"),
        ("A100", "418.87.00", "450.36.06"),
        ("RTX 3090", "450.80.02", "455.23"),
        ("H100", "470.82.01", "520.61.05"),
    ] {
        with_gpu(gpu, |known| {
            let refusal = driver_supports_gpu(&driver(older), known).unwrap_err();
            assert_eq!(refusal.needs_driver, Some(driver(first)), "{refusal}");
            assert!(refusal.remedy.contains(first), "{}", refusal.remedy);
            // Within the branch there were drivers before the toolkit's own.
            let branch = driver(&driver(first).branch().to_string());
            assert!(driver_supports_gpu(&branch, known).is_ok(), "{gpu}");
        });
    }
}

// Source: https://docs.nvidia.com/deeplearning/digits/digits-release-notes/rel_19-06.html
#[test]
fn a_compat_package_may_be_limited_to_some_gpus() {
    let packages = |gpu: &str| {
        with_gpu(gpu, |known| {
            forward_packages(catalog(), &driver("410.104"), known)
                .map(|row| row.package.as_str())
                .collect::<Vec<_>>()
        })
    };
    assert!(packages("Tesla P100").contains(&"cuda-compat-10-1"));
    for other in ["Tesla K80", "Tesla M60", "Tesla T4"] {
        assert!(!packages(other).contains(&"cuda-compat-10-1"), "{other}");
    }
}

#[test]
fn cuda_libraries_know_a_range_of_gpus() {
    with_gpu("Tesla K80", |gpu| {
        assert!(cuda_supports_gpu(gpu, toolkit("11.8.0")).is_ok());
        assert!(
            cuda_supports_gpu(gpu, toolkit("12.2.2"))
                .unwrap_err()
                .reason
                .contains("ended with CUDA 11.8")
        );
    });
    with_gpu("RTX 5090", |gpu| {
        assert!(cuda_supports_gpu(gpu, toolkit("12.8.0")).is_ok());
        assert!(
            cuda_supports_gpu(gpu, toolkit("12.5.1"))
                .unwrap_err()
                .reason
                .contains("begins with 12.8")
        );
    });
}

// Source: https://github.com/immich-app/immich/pull/23110
#[test]
fn cudnn_9_11_has_dropped_pascal_and_volta() {
    let cudnn = |text: &str| text.parse().unwrap();
    with_gpu("GTX 1080 Ti", |gpu| {
        assert!(cudnn_supports_gpu(catalog(), gpu, &cudnn("9.10.2.21")).is_ok());
        let refusal = cudnn_supports_gpu(catalog(), gpu, &cudnn("9.11.0.98")).unwrap_err();
        assert_eq!(refusal.remedy, "pin cuDNN below 9.11");
        assert_eq!(cudnn_supports_gpu(catalog(), gpu, &cudnn("7.6")), Ok(None));
    });
    with_gpu("T4", |gpu| {
        assert!(cudnn_supports_gpu(catalog(), gpu, &cudnn("9.28.0.42")).is_ok())
    });
}

fn code(
    gpu: &str,
    driver_version: &str,
    minor: &str,
    reading: PtxReading,
) -> Result<Finding, Refusal> {
    with_gpu(gpu, |gpu| {
        machine_code(
            catalog(),
            &driver(driver_version),
            gpu,
            tensorflow(minor),
            reading,
            None,
        )
    })
}

#[test]
fn machine_code_runs_on_later_minors_of_its_major_only() {
    use PtxReading::Strict;
    assert!(
        code("T4", "470.256.02", "2.14", Strict)
            .unwrap()
            .fact
            .contains("sm_75")
    );
    assert!(
        code("T4", "535.183.01", "2.21", Strict)
            .unwrap()
            .fact
            .contains("sm_70")
    );
    assert!(
        code("RTX 3090", "535.183.01", "2.15", Strict)
            .unwrap()
            .fact
            .contains("sm_80")
    );
    assert!(
        code("RTX 4090", "535.183.01", "2.12", Strict)
            .unwrap()
            .fact
            .contains("sm_80")
    );
    let refusal = code("Tesla M60", "535.183.01", "2.17", Strict).unwrap_err();
    assert_eq!(
        refusal.remedy,
        "choose an older TensorFlow: this one has dropped the GPU"
    );
    // 2.3 has 5.2 and later, but no code that a Maxwell of 5.0 runs: tensorflow/tensorflow#46537.
    let refusal = code("GTX 750 Ti", "418.39", "2.3", Strict).unwrap_err();
    assert_eq!(
        refusal.remedy,
        "choose another TensorFlow: this one has no code for the GPU"
    );
}

#[test]
fn intermediate_code_counts_only_if_the_driver_can_compile_it() {
    use PtxReading::{Lenient, Strict};
    // 2.15 has compute_80 of CUDA 12.2 for an H100, and 535.54.03 is the first driver with that CUDA.
    assert!(code("H100", "535.54.03", "2.15", Strict).is_ok());
    let refusal = code("H100", "535.43.02", "2.15", Strict).unwrap_err();
    assert_eq!(refusal.needs_driver, Some(driver("535.54.03")));
    assert!(code("H100", "535.43.02", "2.15", Lenient).is_ok());
    // Some kernels of 2.17 and later are intermediate code only, whatever machine code the others have.
    assert!(code("H100", "535.129.03", "2.16", Strict).is_ok());
    assert!(code("H100", "535.129.03", "2.17", Strict).is_err());
    assert!(code("H100", "545.23.06", "2.18", Strict).is_ok());
    assert!(code("H100", "545.23.06", "2.19", Strict).is_err());
}

// Source: https://github.com/tensorflow/tensorflow/issues/111958
#[test]
fn no_official_wheel_runs_on_blackwell() {
    for name in ["RTX 5090", "B200"] {
        with_gpu(name, |gpu| {
            assert!(
                known_gap(catalog(), gpu, tensorflow("2.21")).is_err(),
                "{name}"
            )
        });
    }
    with_gpu("H100", |gpu| {
        assert!(known_gap(catalog(), gpu, tensorflow("2.21")).is_ok())
    });
}

#[test]
fn the_drivers_word_on_a_gpu_beats_the_names() {
    let mut gpu = Gpu::named("NVIDIA Quantum 9000");
    assert!(
        gpu_known(catalog(), &gpu)
            .unwrap_err()
            .remedy
            .contains("[[gpu]]")
    );
    gpu.compute_capability = Some("8.9".parse().unwrap());
    assert_eq!(gpu_known(catalog(), &gpu).unwrap().row.architecture, "Ada");
    gpu.compute_capability = Some("99.0".parse().unwrap());
    assert!(
        gpu_known(catalog(), &gpu)
            .unwrap_err()
            .remedy
            .contains("[[capability]]")
    );
}

#[test]
fn a_sick_driver_or_gpu_is_no_target() {
    let mut host = HostFacts::new("host");
    host.driver_version = Some(driver("535.183.01"));
    assert!(driver_health(&host).is_ok());
    host.driver_health = DriverHealth::Mismatch {
        kernel_module: None,
    };
    assert!(
        driver_health(&host)
            .unwrap_err()
            .remedy
            .starts_with("reboot")
    );
    host.driver_health = DriverHealth::NotLoaded;
    assert!(
        driver_health(&host)
            .unwrap_err()
            .remedy
            .contains("modprobe nvidia")
    );
    host.driver_health = DriverHealth::Failed {
        reason: "the driver does not answer".to_owned(),
        remedy: Some("reboot".to_owned()),
    };
    assert!(host.wants_gpu());
    let refusal = driver_health(&host).unwrap_err();
    assert_eq!(refusal.reason, "the driver does not answer");
    assert_eq!(refusal.remedy, "reboot");

    let mut gpu = Gpu::named("T4");
    assert!(gpu_health(&gpu).is_ok());
    let silent = GpuHealth::Failed {
        reason: "GPU 0 does not answer".to_owned(),
        remedy: None,
    };
    for health in [GpuHealth::Lost, GpuHealth::EccFailed, silent] {
        gpu.health = health;
        assert!(gpu_health(&gpu).is_err());
    }
    let refusal = gpu_health(&gpu).unwrap_err();
    assert_eq!(refusal.reason, "T4: GPU 0 does not answer");
    assert!(!refusal.remedy.is_empty());
}

#[test]
fn what_a_host_does_not_say_does_not_forbid() {
    let mut host = HostFacts::new("host");
    assert!(cpu_features(&host, tensorflow("2.15")).is_ok());
    assert!(gpu_access(&host).is_ok());
    host.cpu_flags = Some(BTreeSet::from(["avx".to_owned()]));
    host.gpu_modes = Some(BTreeSet::from([GpuMode::Runtime]));
    assert!(cpu_features(&host, tensorflow("2.15")).is_ok());
    assert!(gpu_access(&host).is_ok());
    host.cpu_flags = Some(BTreeSet::new());
    host.gpu_modes = Some(BTreeSet::new());
    assert!(cpu_features(&host, tensorflow("2.15")).is_err());
    assert!(
        cpu_features(&host, tensorflow("1.5")).is_ok(),
        "AVX came with 1.6"
    );
    assert!(gpu_access(&host).is_err());
    host.gpu_modes = Some(BTreeSet::from([GpuMode::Plugin]));
    let refusal = gpu_access(&host).unwrap_err();
    assert!(refusal.remedy.contains("nvidia-docker 2"), "{refusal:?}");
    host.gpu_modes = Some(BTreeSet::from([GpuMode::Plugin, GpuMode::Runtime]));
    assert!(gpu_access(&host).is_ok());
    host.architecture = Architecture::Aarch64;
    assert!(cpu_features(&host, tensorflow("2.15")).is_ok());
    assert!(architecture(&host, Architecture::X86_64).is_err());
}
