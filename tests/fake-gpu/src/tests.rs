use std::fs;

use super::*;

const TEXT: &str = r#"
driver_version = "470.256.02"
kernel_module_version = "470.256.02"
cuda_version = "11.4"
[[gpu]]
name = "Tesla T4"
compute_capability = "7.5"
memory_mib = 15109
temperature_c = 41
utilisation_percent = 0
ecc = true
mig = false
lost = false
brand = "tesla"
pci_bus_id = "00000000:00:1E.0"
[[gpu.process]]
pid = 1234
memory_mib = 900
"#;

fn folder() -> tempfile::TempDir {
    tempfile::TempDir::new().unwrap()
}

#[test]
fn what_is_written_is_what_was_read() {
    let machine: Machine = toml::from_str(TEXT).unwrap();
    assert_eq!(machine.cuda_version, Some(MajorMinor::new(11, 4)));
    assert_eq!(machine.gpus[0].used_mib(), 900);
    let folder = folder();
    let path = folder.path().join("gpu.toml");
    machine.write(&path).unwrap();
    assert_eq!(Machine::read(&path).unwrap(), machine);
}

#[test]
fn an_unknown_key_and_a_version_without_a_dot_are_errors() {
    assert!(toml::from_str::<Machine>("driver = '470'").is_err());
    assert!(toml::from_str::<Machine>("cuda_version = '11'").is_err());
}

#[test]
fn a_library_newer_than_the_kernel_module_is_a_mismatch() {
    let mut machine: Machine = toml::from_str(TEXT).unwrap();
    assert!(!machine.is_mismatched());
    machine.driver_version = Some("535.183.01".to_owned());
    assert!(machine.is_mismatched());
    machine.kernel_module_version = None;
    assert!(!machine.is_mismatched());
}

#[test]
fn no_file_is_no_driver() {
    let missing = folder().path().join("none.toml");
    assert_eq!(Machine::read(&missing).unwrap(), Machine::default());
}

#[test]
fn a_followed_file_is_read_again_when_it_changes() {
    let folder = folder();
    let path = folder.path().join("gpu.toml");
    let mut followed = Followed::new(path.clone());
    assert_eq!(followed.current().unwrap().driver_version, None);
    fs::write(&path, TEXT).unwrap();
    assert_eq!(followed.current().unwrap().gpus.len(), 1);
    fs::write(&path, "what").unwrap();
    assert!(followed.current().is_err());
    assert!(
        followed.current().is_err(),
        "an error stays one until the file is repaired"
    );
    Machine::default().write(&path).unwrap();
    assert!(followed.current().unwrap().gpus.is_empty());
    fs::remove_file(&path).unwrap();
    assert_eq!(*followed.current().unwrap(), Machine::default());
}
