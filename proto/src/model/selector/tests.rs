//! What expressions take, and what they say when they cannot be read.

use super::*;
use crate::model::inventory::{Driver, Engine, Machine};

fn host(name: &str) -> HostName {
    name.parse().expect("host name")
}

fn t4() -> Inventory {
    let gpu = Gpu {
        uuid: "GPU-1".to_owned(),
        index: 0,
        name: "Tesla T4".to_owned(),
        compute_capability: Some("7.5".to_owned()),
        memory_bytes: Some(15109 << 20),
        memory_used_bytes: None,
        mig_enabled: None,
        ecc_enabled: Some(true),
        temperature_celsius: None,
        utilisation_percent: None,
        processes: Vec::new(),
        pci_bus_id: None,
        fault: None,
    };
    Inventory {
        observed_at: jiff::Timestamp::UNIX_EPOCH,
        machine: Machine {
            architecture: "x86_64".to_owned(),
            distribution: Some("Debian GNU/Linux 12 (bookworm)".to_owned()),
            kernel_release: Some("6.1.0-40-amd64".to_owned()),
            cpu_model: None,
            cpu_count: 16,
            cpu_flags: vec!["sse4_2".to_owned(), "avx".to_owned()],
            memory_bytes: Some(64 << 30),
        },
        driver: Some(Driver {
            version: "470.256.02".to_owned(),
            kernel_module_version: None,
            cuda_version: Some("11.4".to_owned()),
            fault: None,
        }),
        gpus: vec![gpu],
        engine: Engine {
            endpoint: "unix:///run/docker.sock".to_owned(),
            version: Some("20.10.24+dfsg1".to_owned()),
            api_version: Some("1.41".to_owned()),
            storage_driver: Some("overlay2".to_owned()),
            image_store: None,
            runtimes: Vec::new(),
            data_root: None,
            data_root_free_bytes: Some(100 << 30),
            fault: None,
        },
        gpu_modes: Vec::new(),
        runtime_mode: None,
        images: Vec::new(),
        labels: [
            ("rack".to_owned(), "7".to_owned()),
            ("zone".to_owned(), "north".to_owned()),
        ]
        .into(),
        warnings: Vec::new(),
        sources: Vec::new(),
    }
}

fn matches(expression: &str) -> bool {
    let expression: Expression = expression.parse().unwrap_or_else(|error| panic!("{error}"));
    let (name, inventory) = (host("node-1"), t4());
    expression.matches(Subject {
        name: &name,
        connected: true,
        inventory: Some(&inventory),
    })
}

#[test]
fn expressions_are_true_of_the_hosts_that_they_describe() {
    for expression in [
        "connected",
        "driver",
        "gpu && !gpu.mig",
        "name = node-1",
        "name ~ NODE",
        "label.rack = 7 && driver >= 470 && gpu.memory >= 14GiB",
        "label.rack < 10",
        "label.zone",
        "label.zone != south",
        "!label.row",
        "driver = 470",
        "driver <= 470",
        "driver = 470.256.2",
        "driver < 470.300",
        "engine<26",
        "engine = 20.10",
        "gpu.name ~ t4",
        "gpu.name = \"Tesla T4\"",
        "gpu.capability >= 7.5",
        "gpu.count = 1",
        "cuda >= 11 && cuda < 12",
        "cpu.flag = avx",
        "disk.free > 50GB",
        "kernel >= 6.1",
        "architecture == x86_64",
        "distribution ~ bookworm",
        "driver > 500 || connected && gpu",
        "!(driver > 500 || !connected)",
    ] {
        assert!(matches(expression), "{expression}");
    }
}

#[test]
fn expressions_are_false_of_other_hosts() {
    for expression in [
        "driver > 470",
        "driver >= 535",
        "gpu.memory >= 16GiB",
        "label.rack = 77",
        "label.row",
        "label.row < 3",
        "name = node",
        "gpu.name ~ A100",
        "engine >= 26",
        "(connected || gpu) && driver > 500",
    ] {
        assert!(!matches(expression), "{expression}");
    }
}

#[test]
fn every_test_on_a_host_that_never_spoke_is_false() {
    let name = host("new");
    let subject = Subject {
        name: &name,
        connected: false,
        inventory: None,
    };
    for expression in [
        "driver < 999",
        "gpu.count = 0",
        "label.rack",
        "architecture = x86_64",
        "disk.free > 0B",
    ] {
        let expression: Expression = expression.parse().expect("expression");
        assert!(!expression.matches(subject), "{expression:?}");
    }
    assert!(
        "name = new && !connected"
            .parse::<Expression>()
            .expect("expression")
            .matches(subject)
    );
}

#[test]
fn an_error_points_at_the_column() {
    for (expression, column, why) in [
        ("", 1, "expected a field"),
        (
            "drvier >= 470",
            1,
            "there is no field `drvier`; the fields are name, connected",
        ),
        ("connected && label. = 7", 14, "there is no field `label.`"),
        ("connected &&", 13, "expected a field"),
        ("connected gpu", 11, "expected `&&`, `||` or the end"),
        ("(connected", 11, "expected `&&`, `||` or `)`"),
        ("connected)", 10, "expected `&&`, `||` or the end"),
        ("driver >=", 10, "expected a value"),
        ("driver >= new", 11, "takes numbers with dots"),
        ("driver ~ 47", 10, "`driver` is not a text"),
        ("gpu.memory >= 16Gibs", 15, "a size such as 16GiB"),
        ("gpu.count > many", 13, "is a number"),
        ("gpu.name > T4", 12, "no order"),
        ("gpu.name", 9, "needs a comparison"),
        ("connected = yes", 13, "stands alone"),
        ("name = \"open", 8, "expected a value"),
        ("näme = x", 1, "there is no field `näme`"),
        ("name = \"ä\" x", 12, "expected `&&`"),
        ("driver & connected", 8, "expected `&&`"),
    ] {
        let error = expression.parse::<Expression>().expect_err(expression);
        assert_eq!(error.column, column, "{error}");
        assert!(error.why.contains(why), "{error}");
    }
}

#[test]
fn the_message_shows_the_place() {
    let error = "gpu && drvier"
        .parse::<Expression>()
        .expect_err("no such field");
    assert!(
        error.to_string().ends_with("\n  gpu && drvier\n         ^"),
        "{error}"
    );
}

#[test]
fn depth_is_limited_before_the_stack_is() {
    for hostile in [
        "(".repeat(100_000),
        "!".repeat(1_900),
        "x".repeat(1_000_000),
    ] {
        assert!(hostile.parse::<Expression>().is_err());
    }
}
