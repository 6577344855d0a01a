use std::fs;
use std::path::Path;

use super::*;

const MODULE: &str =
    "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.183.01  Sun May 12 19:39:15 UTC 2024\n";
const UUID: &str = "GPU-8a3c1f0e-0000-0000-0000-000000000001";

/// A loaded kernel module with a T4 that was used before, and with a board that nothing woke yet.
fn proc() -> tempfile::TempDir {
    let proc = tempfile::tempdir().unwrap();
    let write = |path: &str, text: &str| {
        let path = proc.path().join("driver/nvidia").join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write("version", MODULE);
    write(
        "gpus/0000:00:1e.0/information",
        &format!("Model: \t\t Tesla T4\nGPU UUID: \t {UUID}\n"),
    );
    write(
        "gpus/0000:00:1f.0/information",
        "Model: \t\t Tesla T4\nGPU UUID: \t GPU-????????-????-????-????-????????????\n",
    );
    proc
}

fn module(proc: &Path) -> KernelModule {
    KernelModule::look(proc, &mut Notes::default())
}

/// Both boards, each with a fault of this code.
fn assert_both_are_there(gpus: &[Gpu], code: &str) {
    let told: Vec<_> = gpus
        .iter()
        .map(|gpu| {
            (
                gpu.index,
                gpu.uuid.as_str(),
                gpu.name.as_str(),
                gpu.pci_bus_id.as_deref(),
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            (0, UUID, "Tesla T4", Some("00000000:00:1E.0")),
            (1, "index-1", "Tesla T4", Some("00000000:00:1F.0")),
        ]
    );
    for gpu in gpus {
        let fault = gpu.fault.as_ref().unwrap();
        assert_eq!(fault.code, code);
        assert!(fault.remedy.is_some(), "{fault}");
    }
}

fn source_of(notes: &Notes, field: &str) -> Option<Source> {
    let found = notes.sources.iter().find(|source| source.field == field);
    found.map(|source| source.source)
}

#[tokio::test]
async fn a_driver_that_hangs_still_has_its_kernel_module_and_its_gpus() {
    let proc = proc();
    let probe = DriverProbe::new(proc.path().to_owned());
    let _hung = probe.inside_nvml.hang();
    let mut notes = Notes::default();
    let seen = probe.look(&mut notes).await;
    let driver = seen.driver.unwrap();
    assert_eq!(driver.fault.unwrap().code, "driver-hung");
    assert_eq!(driver.version, "535.183.01");
    assert_eq!(driver.kernel_module_version.as_deref(), Some("535.183.01"));
    assert_both_are_there(&seen.gpus, "gpu-silent");
    assert_eq!(seen.gpus[0].compute_capability.as_deref(), Some("7.5"));
    assert_eq!(source_of(&notes, "driver.version"), Some(Source::Proc));
    for field in ["uuid", "name", "pci_bus_id"] {
        let source = source_of(&notes, &format!("gpus[{UUID}].{field}"));
        assert_eq!(source, Some(Source::Proc), "{field}");
    }
    assert_eq!(source_of(&notes, "gpus[index-1].uuid"), None);
}

#[tokio::test]
async fn a_kernel_module_that_hangs_is_a_warning() {
    let proc = proc();
    let probe = DriverProbe::new(proc.path().to_owned());
    let _hung = (probe.inside_nvml.hang(), probe.inside_proc.hang());
    let mut notes = Notes::default();
    let seen = probe.look(&mut notes).await;
    assert_eq!(seen.driver.unwrap().version, UNKNOWN);
    assert_eq!(
        notes.warnings[0],
        "the NVIDIA kernel module does not answer"
    );
}

#[test]
fn gpus_that_neither_nvml_nor_nvidia_smi_can_tell_are_told_by_the_kernel_module() {
    let proc = proc();
    let failed = || SmiError::Line("No devices were found".to_owned());
    for (error, smi) in [
        (NvmlError::NoPermission, SmiError::Missing),
        (NvmlError::NoPermission, failed()),
        (NvmlError::Unknown, SmiError::NoDriver),
    ] {
        let seen = by_smi(
            Err(smi),
            &error,
            None,
            &module(proc.path()),
            &mut Notes::default(),
        );
        assert_eq!(seen.driver.unwrap().fault.unwrap().code, "nvml-failed");
        assert_both_are_there(&seen.gpus, "gpu-silent");
    }
}

#[tokio::test]
async fn a_library_that_does_not_fit_or_finds_no_module_loses_no_gpu() {
    let proc = proc();
    for (error, code) in [
        (NvmlError::LibRmVersionMismatch, "driver-mismatch"),
        (NvmlError::DriverNotLoaded, "driver-not-loaded"),
    ] {
        let version = Some("550.54.15".to_owned());
        let mut notes = Notes::default();
        let seen = without_nvml(&error, version, &module(proc.path()), &mut notes).await;
        assert_eq!(seen.driver.unwrap().fault.unwrap().code, code);
        assert_both_are_there(&seen.gpus, "gpu-silent");
    }
}

#[test]
fn gpus_that_nvml_does_not_list_are_faulty_and_follow_those_that_it_lists() {
    let proc = proc();
    let kernel = module(proc.path());
    let answer = |gpus| nvml::Seen {
        driver_version: "535.183.01".to_owned(),
        cuda_version: None,
        gpus,
        notes: Notes::default(),
    };
    let mut notes = Notes::default();
    let none = with_nvml(answer(Vec::new()), &kernel, &mut notes);
    assert_eq!(none.driver.unwrap().fault, None);
    assert_both_are_there(&none.gpus, "gpu-unlisted");
    assert_eq!(notes.warnings.len(), 2);

    let mut first = none.gpus[0].clone();
    first.fault = None;
    let one = with_nvml(answer(vec![first.clone()]), &kernel, &mut Notes::default());
    assert_eq!(one.gpus[0], first);
    assert_eq!((one.gpus[1].index, one.gpus.len()), (1, 2));
}

#[test]
fn a_host_without_library_nvidia_smi_and_module_has_no_driver() {
    let empty = tempfile::tempdir().unwrap();
    let missing = nvml::library_version("/nowhere/libnvidia-ml.so.1".as_ref()).unwrap_err();
    let mut notes = Notes::default();
    let seen = by_smi(
        Err(SmiError::Missing),
        &missing,
        None,
        &module(empty.path()),
        &mut notes,
    );
    assert_eq!((seen.driver, seen.gpus), (None, Vec::new()));
    assert_eq!(notes.warnings, Vec::<String>::new());
}
