//! What of an imported package is taken, and what is refused.

use tfleet_compat::CudaVersion;

use super::*;
use crate::artifact::{Origin, Secrets, receive};

const FOLDER: &str = "usr/local/cuda-12.8/compat";

/// The head of an ELF file for a machine.
fn elf(machine: u16) -> Vec<u8> {
    let mut head = b"\x7fELF\x02\x01\x01".to_vec();
    head.resize(18, 0);
    head.extend(machine.to_le_bytes());
    head.resize(64, 0);
    head
}

fn looked(files: &[(&str, &[u8])]) -> Result<LockedCompat, BuildError> {
    let folder = tempfile::tempdir().unwrap();
    let store = Artifacts::open(folder.path()).unwrap();
    let mut builder = tar::Builder::new(Vec::new());
    for (name, content) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        let path = format!("{FOLDER}/{name}");
        builder.append_data(&mut header, path, *content).unwrap();
    }
    let received = receive(
        builder.into_inner().unwrap().as_slice(),
        &store,
        Origin::RootFileSystem {
            architecture: Architecture::X86_64,
        },
        &Secrets::default(),
        &|_| {},
    )
    .unwrap();
    let package = CompatPackage {
        package: "cuda-compat-12-8".to_owned(),
        cuda: CudaVersion::new(12, 8),
        branch: 570,
    };
    locked(
        &store,
        received.artifact,
        &received.index,
        &package,
        Architecture::X86_64,
    )
}

#[test]
fn the_folder_of_the_driver_library_is_taken() {
    let locked = looked(&[
        ("libcuda.so.1", b"a link, in truth"),
        ("libcuda.so.570.124.06", &elf(62)),
        ("libnvidia-nvvm.so.570.124.06", &elf(62)),
    ])
    .unwrap();
    assert_eq!(locked.folder, "/usr/local/cuda-12.8/compat");
    assert_eq!(locked.driver.to_string(), "570.124.06");
    assert_eq!(locked.diff_ids.len(), 1);
}

#[test]
fn another_package_is_refused() {
    let words = |files: &[(&str, &[u8])]| {
        let failure = looked(files).unwrap_err().failure();
        let remedy = failure.remedy.clone().unwrap();
        assert!(remedy.contains("--name cuda-compat-12-8"), "{remedy}");
        failure.message
    };
    assert!(words(&[("README", b"")]).contains("without its libraries"));
    let old = words(&[("libcuda.so.550.54.15", &elf(62))]);
    assert!(
        old.contains("driver 550.54.15") && old.contains("R570"),
        "{old}"
    );
    assert!(words(&[("libcuda.so.570.124.06", &elf(183))]).contains("not for x86_64"));
    assert!(words(&[("libcuda.so.570.124.06", b"short")]).contains("not for x86_64"));
}
