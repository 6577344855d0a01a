//! What the resolver needs of this machine.

use std::os::unix::fs::PermissionsExt as _;

use super::*;

/// A program that says `text` and ends with `status`.
fn program(folder: &Path, text: &str, status: u8) -> PathBuf {
    let path = folder.join(format!("python-{status}"));
    let script = format!("#!/bin/sh\necho '{text}' >&2\nexit {status}\n");
    std::fs::write(&path, script).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}

#[tokio::test]
async fn a_machine_without_pip_is_told_the_package_to_install() {
    let folder = tempfile::tempdir().unwrap();
    let without = program(folder.path(), "/usr/bin/python3: No module named pip", 1);
    let failure = need_pip(&without).await.unwrap_err().failure();
    assert_eq!(failure.code, "program-missing");
    assert!(failure.message.contains("No module named pip"), "{failure}");
    assert!(failure.remedy.unwrap().contains("python3-pip"));

    need_pip(&program(folder.path(), "pip 23.0.1", 0))
        .await
        .unwrap();

    let failure = need_pip(&folder.path().join("none")).await.unwrap_err();
    assert!(failure.failure().remedy.unwrap().contains("python3"));
}

#[test]
fn the_installers_wheels_are_known_by_their_hashes() {
    let wheels = [Architecture::X86_64, Architecture::Aarch64].map(installer);
    assert_ne!(wheels[0].sha256, wheels[1].sha256);
    for wheel in wheels {
        assert!(
            wheel
                .requirement()
                .starts_with(&format!("uv=={UV_VERSION} --hash=sha256:"))
        );
    }
}
