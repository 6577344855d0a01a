use jiff::Timestamp;
use tfleet_compat::{
    Catalog, Plan, Policy, Question, ReleaseSpec, Rule, Stock, TensorflowConstraint, Verdict,
};

use super::*;
use crate::model::failure::Failure;
use crate::model::inventory::{Driver, Engine, Machine};

fn host(driver: Option<Driver>, gpus: Vec<inventory::Gpu>) -> Inventory {
    Inventory {
        observed_at: Timestamp::UNIX_EPOCH,
        machine: Machine {
            architecture: "x86_64".to_owned(),
            distribution: None,
            kernel_release: None,
            cpu_model: None,
            cpu_count: 1,
            cpu_flags: vec!["avx".to_owned()],
            memory_bytes: None,
        },
        driver,
        gpus,
        engine: Engine {
            endpoint: "unix:///run/docker.sock".to_owned(),
            version: None,
            api_version: None,
            storage_driver: None,
            image_store: None,
            runtimes: Vec::new(),
            data_root: None,
            data_root_free_bytes: None,
            fault: None,
        },
        gpu_modes: vec![inventory::GpuMode::Runtime],
        runtime_mode: None,
        images: Vec::new(),
        labels: [].into(),
        warnings: Vec::new(),
        sources: Vec::new(),
    }
}

fn driver(library: &str, module: Option<&str>, fault: Option<Failure>) -> Driver {
    Driver {
        version: library.to_owned(),
        kernel_module_version: module.map(str::to_owned),
        cuda_version: None,
        fault,
    }
}

fn t4(fault: Option<Failure>) -> inventory::Gpu {
    inventory::Gpu {
        uuid: "GPU-1".to_owned(),
        index: 0,
        name: "Tesla T4".to_owned(),
        compute_capability: Some("7.5".to_owned()),
        memory_bytes: None,
        memory_used_bytes: None,
        mig_enabled: None,
        ecc_enabled: None,
        temperature_celsius: None,
        utilisation_percent: None,
        processes: Vec::new(),
        pci_bus_id: None,
        fault,
    }
}

fn release() -> ReleaseSpec {
    let constraint: TensorflowConstraint = ">=2.14,<2.16".parse().unwrap();
    ReleaseSpec::new("train", constraint)
}

fn planned(host: &Inventory) -> Plan {
    let hosts = [facts("host", host).unwrap()];
    asked(|question| question.plan(&hosts, None).unwrap())
}

fn asked<T>(ask: impl Fn(Question<'_>) -> T) -> T {
    ask(Question {
        catalog: Catalog::builtin(),
        release: &release(),
        policy: &Policy::default(),
        stock: &Stock::default(),
        gate: None,
    })
}

/// The rule that keeps the newest candidate from the host.
fn refused_by(host: &Inventory) -> Option<Rule> {
    let facts = facts("host", host).unwrap();
    let considered = asked(|question| question.explain(&facts).unwrap());
    match considered.first()? {
        tfleet_compat::Consideration::Recipe {
            verdict: Verdict::Refused { refusal, .. },
            ..
        } => Some(refusal.rule),
        _ => None,
    }
}

#[test]
fn a_host_whose_driver_works_or_is_absent_gets_what_it_is_for() {
    let working = host(
        Some(driver("470.256.02", Some("470.256.02"), None)),
        vec![t4(None)],
    );
    let plan = planned(&working);
    assert_eq!(plan.assignments[0].variant.as_str(), "tf2.14.1-cuda11.8");
    let none = host(None, Vec::new());
    assert_eq!(
        planned(&none).assignments[0].variant.as_str(),
        "tf2.15.1-cpu"
    );
}

/// Each with no GPU listed, as it is where nothing could be asked: none may pass for a host without GPUs.
#[test]
fn a_host_whose_driver_fails_is_left_out_in_the_agents_words() {
    let faults = [
        // The kernel module is loaded, libnvidia-ml missing or refusing, and nvidia-smi fails too.
        (
            driver(
                "535.183.01",
                Some("535.183.01"),
                Some(
                    Failure::new("nvml-failed", "NVML does not work")
                        .with_remedy("install the driver's libraries"),
                ),
            ),
            "NVML does not work",
            "install the driver's libraries",
        ),
        (
            driver(
                "unknown",
                None,
                Some(
                    Failure::new("driver-hung", "the NVIDIA driver does not answer")
                        .with_remedy("reboot it"),
                ),
            ),
            "the NVIDIA driver does not answer",
            "reboot it",
        ),
        (
            driver(
                "470.256.02",
                None,
                Some(
                    Failure::new("driver-not-loaded", "it is not loaded")
                        .with_remedy("run `modprobe nvidia`"),
                ),
            ),
            "it is not loaded",
            "run `modprobe nvidia`",
        ),
        // The library cannot say its version, so that the module's proves no mismatch.
        (
            driver(
                "unknown",
                Some("470.256.02"),
                Some(Failure::new("driver-not-loaded", "no device file").with_remedy("make it")),
            ),
            "no device file",
            "make it",
        ),
    ];
    for (driver, reason, remedy) in faults {
        let host = host(Some(driver), Vec::new());
        let plan = planned(&host);
        assert!(plan.assignments.is_empty(), "{reason}: {plan:?}");
        let left = &plan.unplaced[0];
        assert!(left.reason.contains(reason), "{left:?}");
        assert!(left.remedy.contains(remedy), "{left:?}");
        assert_eq!(refused_by(&host), Some(Rule::DriverHealth), "{reason}");
    }
}

#[test]
fn two_versions_that_differ_are_a_mismatch_whatever_else_is_wrong() {
    for fault in [None, Some(Failure::new("driver-mismatch", "they differ"))] {
        let driver = driver("535.183.01", Some("470.256.02"), fault);
        assert_eq!(
            driver_health(&driver),
            DriverHealth::Mismatch {
                kernel_module: "470.256.02".parse().ok()
            }
        );
    }
}

#[test]
fn a_gpu_that_fails_is_told_in_the_agents_words() {
    for (code, reason, remedy) in [
        ("gpu-lost", "GPU 0 has fallen off the bus", "check its seat"),
        ("gpu-reset-required", "GPU 0 needs a reset", "nvidia-smi -r"),
        ("gpu-silent", "GPU 0 does not answer", "look at the log"),
    ] {
        let fault = Failure::new(code, reason).with_remedy(remedy);
        let host = host(
            Some(driver("470.256.02", Some("470.256.02"), None)),
            vec![t4(Some(fault))],
        );
        let plan = planned(&host);
        let left = &plan.unplaced[0];
        assert!(left.reason.contains(reason), "{left:?}");
        assert!(left.remedy.contains(remedy), "{left:?}");
        assert_eq!(refused_by(&host), Some(Rule::GpuHealth), "{code}");
    }
}

#[test]
fn an_architecture_that_the_rules_do_not_know_is_refused() {
    let mut host = host(None, Vec::new());
    host.machine.architecture = "riscv64".to_owned();
    assert!(facts("host", &host).is_err());
}
