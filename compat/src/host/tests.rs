use super::*;

#[test]
fn a_host_needs_only_a_name_and_a_word_on_its_driver() {
    let host: HostFacts = serde_json::from_str(r#"{"name": "a", "driver_version": null}"#).unwrap();
    assert_eq!(host, HostFacts::new("a"));
    assert!(
        serde_json::from_str::<HostFacts>(r#"{"name": "a"}"#).is_err(),
        "a forgotten driver is not no driver"
    );
    assert!(
        serde_json::from_str::<HostFacts>(r#"{"name": "a", "driver_version": null, "gpu": []}"#)
            .is_err()
    );
}

#[test]
fn everything_a_host_can_say_reads_as_it_is_written() {
    let text = r#"{
        "name": "a",
        "driver_version": "535.183.01",
        "driver_health": {"state": "mismatch", "kernel_module": "470.256.02"},
        "architecture": "arm64",
        "cpu_flags": ["asimd"],
        "gpus": [{"name": "GH200", "compute_capability": "9.0", "memory_bytes": 1024, "health": "ecc-failed"}],
        "gpu_modes": ["device-request", "cdi"],
        "labels": {"rack": "7"}
    }"#;
    let host: HostFacts = serde_json::from_str(text).unwrap();
    assert_eq!(host.architecture, Architecture::Aarch64);
    assert_eq!(host.gpus[0].health, GpuHealth::EccFailed);
    assert!(host.wants_gpu());
    let again: HostFacts = serde_json::from_str(&serde_json::to_string(&host).unwrap()).unwrap();
    assert_eq!(again, host);
}

#[test]
fn a_broken_driver_says_that_the_host_is_meant_for_gpus() {
    let mut host = HostFacts::new("a");
    assert!(!host.wants_gpu());
    host.driver_health = DriverHealth::NotLoaded;
    assert!(host.wants_gpu());
}

#[test]
fn architectures_have_two_names_each() {
    for (text, architecture) in [
        ("x86_64", Architecture::X86_64),
        ("amd64", Architecture::X86_64),
        ("aarch64", Architecture::Aarch64),
        ("arm64", Architecture::Aarch64),
    ] {
        assert_eq!(text.parse(), Ok(architecture));
    }
    assert!("ppc64le".parse::<Architecture>().is_err());
}
