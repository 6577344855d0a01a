//! What the agent says of a host, by its own command, with each generation of driver.

use serde_json::Value;
use tfleet_tests::lab::gpu::Process;
use tfleet_tests::lab::{EngineKind, GpuAccess, Host, HostDescription, Programs, TestLab, run};

/// `tfleet-agent inventory` on this host.
fn inventory(host: &Host) -> Value {
    let agent = Programs::beside_this_program().unwrap().agent().unwrap();
    let mut command = host.command(agent);
    command.args(["inventory", "--output", "json", "--config"]);
    let said = run(command.arg(host.agent_config_path())).unwrap();
    serde_json::from_str(&said).unwrap()
}

/// Where the value at this path came from.
fn source<'a>(inventory: &'a Value, field: &str) -> &'a str {
    let sources = inventory["sources"].as_array().unwrap();
    let found = sources.iter().find(|source| source["field"] == field);
    found.map_or("", |found| found["source"].as_str().unwrap())
}

fn gpu_source<'a>(inventory: &'a Value, field: &str) -> &'a str {
    let uuid = inventory["gpus"][0]["uuid"].as_str().unwrap();
    source(inventory, &format!("gpus[{uuid}].{field}"))
}

fn host_with(driver: &str, gpus: usize) -> TestLab {
    let mut host = HostDescription::new("host").driver(driver);
    for _ in 0..gpus {
        host = host.gpu("Tesla T4");
    }
    TestLab::with_host(host).up().unwrap()
}

/// Where CUDA level, memory, processes and compute capability must come from with this driver's library.
struct Branch {
    driver: &'static str,
    /// None: the catalog begins with 384.
    cuda: Option<(&'static str, &'static str)>,
    memory: &'static str,
    processes: &'static str,
    capability: &'static str,
}

#[test]
fn every_branch_tells_its_gpus_by_the_newest_call_that_it_has() {
    let older = "nvml_older";
    let branches = [
        Branch {
            driver: "340.108",
            cuda: None,
            memory: older,
            processes: older,
            capability: "catalog",
        },
        Branch {
            driver: "384.183",
            cuda: Some(("9.0", "catalog")),
            memory: older,
            processes: older,
            capability: "catalog",
        },
        Branch {
            driver: "390.157",
            cuda: Some(("9.1", older)),
            memory: older,
            processes: older,
            capability: "nvml",
        },
        Branch {
            driver: "418.226.00",
            cuda: Some(("10.1", "nvml")),
            memory: older,
            processes: older,
            capability: "nvml",
        },
        Branch {
            driver: "450.248.02",
            cuda: Some(("11.0", "nvml")),
            memory: older,
            processes: older,
            capability: "nvml",
        },
        Branch {
            driver: "470.256.02",
            cuda: Some(("11.4", "nvml")),
            memory: older,
            processes: older,
            capability: "nvml",
        },
        Branch {
            driver: "535.183.01",
            cuda: Some(("12.2", "nvml")),
            memory: "nvml",
            processes: "nvml",
            capability: "nvml",
        },
        Branch {
            driver: "550.54.15",
            cuda: Some(("12.4", "nvml")),
            memory: "nvml",
            processes: "nvml",
            capability: "nvml",
        },
    ];
    for Branch {
        driver,
        cuda,
        memory,
        processes,
        capability,
    } in branches
    {
        let lab = host_with(driver, 1);
        let host = lab.host("host").unwrap();
        host.edit_machine(|machine| {
            machine.gpus[0].processes = vec![Process {
                pid: 77,
                memory_mib: 900,
            }];
        })
        .unwrap();
        let seen = inventory(host);

        assert_eq!(seen["driver"]["version"], driver);
        assert_eq!(seen["driver"]["kernel_module_version"], driver);
        assert_eq!(seen["driver"]["fault"], Value::Null, "{driver}");
        assert_eq!(
            seen["driver"]["cuda_version"].as_str(),
            cuda.map(|cuda| cuda.0),
            "{driver}"
        );
        assert_eq!(
            source(&seen, "driver.cuda_version"),
            cuda.map_or("", |cuda| cuda.1),
            "{driver}"
        );
        assert_eq!(
            source(&seen, "driver.kernel_module_version"),
            "proc",
            "{driver}"
        );

        let gpu = &seen["gpus"][0];
        assert_eq!(gpu["name"], "Tesla T4", "{driver}");
        assert_eq!(gpu["memory_bytes"], 15_109_u64 << 20, "{driver}");
        assert_eq!(gpu["memory_used_bytes"], 900_u64 << 20, "{driver}");
        assert_eq!(gpu["compute_capability"], "7.5", "{driver}");
        assert_eq!(gpu["temperature_celsius"], 41, "{driver}");
        assert_eq!(gpu["pci_bus_id"], "00000000:00:1E.0", "{driver}");
        assert_eq!(gpu["ecc_enabled"], true, "{driver}");
        assert_eq!(gpu["mig_enabled"], Value::Null, "{driver}: a T4 has no MIG");
        assert_eq!(gpu["processes"][0]["pid"], 77, "{driver}");
        assert_eq!(
            gpu["processes"][0]["memory_used_bytes"],
            900_u64 << 20,
            "{driver}"
        );
        assert_eq!(gpu_source(&seen, "memory_bytes"), memory, "{driver}");
        assert_eq!(gpu_source(&seen, "processes"), processes, "{driver}");
        assert_eq!(
            gpu_source(&seen, "compute_capability"),
            capability,
            "{driver}"
        );
        assert_eq!(seen["warnings"], Value::Array(Vec::new()), "{driver}");
    }
}

#[test]
fn a_lost_gpu_loses_only_itself() {
    let lab = host_with("535.183.01", 2);
    let host = lab.host("host").unwrap();
    let before = inventory(host);
    host.edit_machine(|machine| machine.gpus[0].lost = true)
        .unwrap();
    let seen = inventory(host);
    assert_eq!(seen["driver"]["fault"], Value::Null);
    let (lost, other) = (&seen["gpus"][0], &seen["gpus"][1]);
    assert_eq!(lost["fault"]["code"], "gpu-lost");
    assert!(lost["fault"]["remedy"].is_string());
    // The kernel module still knows which board it is.
    for field in ["uuid", "name", "pci_bus_id", "compute_capability"] {
        assert_eq!(lost[field], before["gpus"][0][field], "{field}");
    }
    assert_eq!(lost["memory_bytes"], Value::Null);
    assert_eq!(other, &before["gpus"][1]);
}

#[test]
fn an_upgrade_without_a_reboot_is_a_fault_of_the_driver() {
    let lab = host_with("535.183.01", 1);
    let host = lab.host("host").unwrap();
    host.edit_machine(|machine| machine.kernel_module_version = Some("470.256.02".to_owned()))
        .unwrap();
    let seen = inventory(host);
    assert_eq!(seen["driver"]["fault"]["code"], "driver-mismatch");
    assert_eq!(
        seen["driver"]["fault"]["remedy"],
        "reboot, or reload the nvidia modules"
    );
    assert_eq!(seen["driver"]["kernel_module_version"], "470.256.02");
    assert_eq!(seen["driver"]["version"], "535.183.01");
    // The kernel module still knows the board: a GPU host stays one.
    let gpu = &seen["gpus"][0];
    assert_eq!(gpu["name"], "Tesla T4");
    assert_eq!(gpu["pci_bus_id"], "00000000:00:1E.0");
    assert_eq!(gpu["fault"]["code"], "gpu-silent");
    assert_eq!(
        gpu["fault"]["remedy"],
        "reboot, or reload the nvidia modules"
    );
    assert_eq!(gpu_source(&seen, "uuid"), "proc");
}

#[test]
fn no_driver_is_a_value_and_one_that_is_not_loaded_a_fault() {
    let lab = TestLab::with_host(HostDescription::new("host"))
        .up()
        .unwrap();
    let seen = inventory(lab.host("host").unwrap());
    assert_eq!(seen["driver"], Value::Null);
    assert_eq!(seen["gpus"], Value::Array(Vec::new()));
    assert_eq!(seen["warnings"], Value::Array(Vec::new()));
    assert!(seen["machine"]["memory_bytes"].as_u64().unwrap() > 0);
    assert!(seen["machine"]["cpu_count"].as_u64().unwrap() > 0);
    assert_eq!(source(&seen, "machine.memory_bytes"), "proc");
    assert_eq!(source(&seen, "engine.data_root_free_bytes"), "statvfs");
    drop(lab);

    let lab = host_with("470.256.02", 1);
    let host = lab.host("host").unwrap();
    host.edit_machine(|machine| machine.driver_version = None)
        .unwrap();
    assert_eq!(
        inventory(host)["driver"]["fault"]["code"],
        "driver-not-loaded"
    );
}

#[test]
fn nvidia_smi_answers_where_the_library_cannot_be_loaded() {
    let lab = host_with("550.54.15", 1);
    let host = lab.host("host").unwrap();
    std::fs::remove_file(host.driver().library_folder().join("libnvidia-ml.so.1")).unwrap();
    let seen = inventory(host);
    assert_eq!(seen["driver"]["version"], "550.54.15");
    assert_eq!(source(&seen, "driver.version"), "nvidia_smi");
    assert_eq!(seen["driver"]["cuda_version"], "12.4");
    assert_eq!(seen["gpus"][0]["memory_bytes"], 15_109_u64 << 20);
    assert_eq!(seen["gpus"][0]["compute_capability"], "7.5");
    assert_eq!(gpu_source(&seen, "compute_capability"), "nvidia_smi");
    assert_eq!(seen["gpus"][0]["ecc_enabled"], true);
    assert_eq!(
        seen["gpus"][0]["mig_enabled"],
        Value::Null,
        "a T4 has no MIG"
    );
}

#[test]
fn an_engine_tells_what_it_is_and_how_it_gives_gpus() {
    let cases = [
        (
            EngineKind::System,
            GpuAccess::Runtime,
            "graph_driver",
            "runtime",
        ),
        (
            EngineKind::TrixieContainerd,
            GpuAccess::DeviceRequest,
            "containerd",
            "device_request",
        ),
        (EngineKind::Forky, GpuAccess::Cdi, "graph_driver", "cdi"),
    ];
    for (kind, access, store, mode) in cases {
        let host = HostDescription::new("host")
            .engine(kind)
            .driver("535.183.01")
            .gpu("Tesla T4")
            .gpu_access(&[access]);
        let lab = TestLab::with_host(host).up().unwrap();
        let host = lab.host("host").unwrap();
        let seen = inventory(host);
        let engine = &seen["engine"];
        assert_eq!(
            engine["version"],
            host.engine().version().unwrap().trim(),
            "{kind:?}"
        );
        assert_eq!(engine["image_store"], store, "{kind:?}");
        assert_eq!(
            engine["data_root"],
            host.engine().data_root().display().to_string(),
            "{kind:?}"
        );
        assert!(
            engine["data_root_free_bytes"].as_u64().unwrap() > 0,
            "{kind:?}"
        );
        assert_eq!(seen["gpu_modes"], serde_json::json!([mode]), "{kind:?}");
    }
}

#[test]
fn an_engine_that_is_down_is_a_fault_beside_everything_else() {
    let lab = host_with("535.183.01", 1);
    let host = lab.host("host").unwrap();
    host.engine().kill_dockerd().unwrap();
    let seen = inventory(host);
    assert_eq!(seen["engine"]["fault"]["code"], "engine-down");
    assert!(seen["engine"]["fault"]["remedy"].is_string());
    assert_eq!(seen["gpu_modes"], Value::Array(Vec::new()));
    assert_eq!(seen["gpus"][0]["name"], "Tesla T4");
}
