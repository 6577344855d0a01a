use std::fs;
use std::time::Duration;

use tfleet_proto::model::inventory::Source;

use super::engine::free_bytes;
use super::gpu_mode::path_in;
use super::kernel_module::{KernelGpu, module_version};
use super::lone_thread::LoneThread;
use super::machine::{self, Processors, pretty_name, total_bytes};
use super::notes::Notes;
use super::smi::{Row, SmiError, switches};

#[test]
fn both_spellings_of_the_kernel_module_tell_its_version() {
    let closed = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  470.256.02  Thu May  2 14:37:44 UTC 2024\nGCC version: 9\n";
    let open = "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  535.183.01  Release Build  (dvs-builder)\n";
    assert_eq!(module_version(closed).as_deref(), Some("470.256.02"));
    assert_eq!(module_version(open).as_deref(), Some("535.183.01"));
    assert_eq!(module_version("GCC version:  gcc version 9.4.0\n"), None);
}

#[test]
fn the_kernel_names_a_gpu_unless_it_never_woke_it() {
    let awake = "Model: \t\t Tesla T4\nIRQ:   \t\t 11\nGPU UUID: \t GPU-1234\n";
    let gpu = KernelGpu::parse("0000:00:1e.0".to_owned(), awake);
    assert_eq!(
        (gpu.name.as_deref(), gpu.uuid.as_deref()),
        (Some("Tesla T4"), Some("GPU-1234"))
    );
    let asleep = "Model: \t\t Tesla T4\nGPU UUID: \t GPU-????????-????-????-????-????????????\n";
    assert_eq!(KernelGpu::parse(String::new(), asleep).uuid, None);
}

#[test]
fn processors_are_counted_and_their_flags_read_on_both_architectures() {
    let x86 = "processor\t: 0\nmodel name\t: Xeon\nflags\t\t: fpu avx\n\nprocessor\t: 1\nmodel name\t: Xeon\nflags\t\t: fpu avx\n";
    assert_eq!(
        format!("{:?}", Processors::parse(x86)),
        r#"Processors { model: Some("Xeon"), count: 2, flags: ["fpu", "avx"] }"#
    );
    let arm = "processor\t: 0\nFeatures\t: fp asimd\n";
    assert_eq!(
        format!("{:?}", Processors::parse(arm)),
        r#"Processors { model: None, count: 1, flags: ["fp", "asimd"] }"#
    );
}

#[test]
fn each_value_of_the_machine_says_where_it_came_from() {
    let proc = tempfile::tempdir().unwrap();
    fs::create_dir_all(proc.path().join("sys/kernel")).unwrap();
    fs::write(
        proc.path().join("cpuinfo"),
        "processor\t: 0\nflags\t\t: fpu avx\n",
    )
    .unwrap();
    fs::write(proc.path().join("meminfo"), "MemFree: 1 kB\n").unwrap();
    fs::write(proc.path().join("sys/kernel/osrelease"), "6.1.0\n").unwrap();
    let mut notes = Notes::default();
    let machine = machine::look(proc.path(), &mut notes);
    assert_eq!(machine.memory_bytes, None, "not known is not zero");
    assert_eq!(notes.warnings.len(), 1);
    let told: Vec<_> = notes
        .sources
        .iter()
        .filter(|source| source.source == Source::Proc)
        .map(|source| source.field.as_str())
        .collect();
    assert_eq!(
        told,
        [
            "machine.kernel_release",
            "machine.cpu_count",
            "machine.cpu_flags"
        ]
    );
    let os_release = notes
        .sources
        .iter()
        .find(|source| source.source == Source::OsRelease);
    assert_eq!(
        os_release.map(|source| source.field.as_str()),
        machine
            .distribution
            .is_some()
            .then_some("machine.distribution")
    );
}

#[tokio::test]
async fn free_space_that_a_disk_does_not_tell_is_not_known_and_not_none() {
    let folder = tempfile::tempdir().unwrap();
    let disk = LoneThread::new(Duration::from_secs(60));
    let mut notes = Notes::default();
    assert!(free_bytes(folder.path(), &disk, &mut notes).await.is_some());
    assert_eq!(notes.sources[0].source, Source::Statvfs);
    let missing = folder.path().join("missing");
    assert_eq!(free_bytes(&missing, &disk, &mut notes).await, None);
    let _hung = disk.hang();
    assert_eq!(free_bytes(folder.path(), &disk, &mut notes).await, None);
    assert!(
        notes.warnings[1].contains("does not answer"),
        "{:?}",
        notes.warnings
    );
}

#[test]
fn names_and_sizes_lose_their_quotes_and_units() {
    assert_eq!(
        pretty_name("ID=debian\nPRETTY_NAME=\"Debian GNU/Linux 12\"\n").as_deref(),
        Some("Debian GNU/Linux 12")
    );
    assert_eq!(
        total_bytes("MemTotal:        2048 kB\nMemFree: 1 kB\n"),
        Some(2 << 20)
    );
    assert_eq!(total_bytes("MemFree: 1 kB\n"), None);
}

#[test]
fn nvidia_smi_may_not_know_a_value() {
    let row = Row::parse(
        "0, GPU-1, Tesla T4, 470.256.02, 00000000:00:1E.0, 15109, [N/A], 41, [Not Supported]",
    )
    .unwrap();
    assert_eq!(row.driver_version, "470.256.02");
    assert_eq!(row.gpu.memory_bytes, Some(15_109 << 20));
    assert_eq!(
        (row.gpu.memory_used_bytes, row.gpu.utilisation_percent),
        (None, None)
    );
    assert!(matches!(Row::parse("0, GPU-1"), Err(SmiError::Line(_))));
}

#[test]
fn a_mode_is_on_off_or_not_there() {
    let text = "GPU-1, Enabled\nGPU-2, Disabled\nGPU-3, [N/A]\nGPU-4, [Not Supported]";
    let wanted = [("GPU-1".to_owned(), true), ("GPU-2".to_owned(), false)];
    assert_eq!(switches(text), wanted.into());
}

#[test]
fn a_service_without_a_path_has_the_usual_one() {
    assert_eq!(
        path_in(b"HOME=/root\0PATH=/opt/hook:/bin\0"),
        "/opt/hook:/bin"
    );
    assert!(path_in(b"HOME=/root\0").contains("/usr/bin"));
}
