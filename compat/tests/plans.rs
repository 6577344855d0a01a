//! Plans of small fleets as readable text. `cargo insta review` accepts a changed one; in CI (`CI=1`) none is written.

#![expect(clippy::unwrap_used, reason = "a test stops where it cannot go on")]

mod fleet;
mod one_host;

use std::collections::BTreeSet;
use std::fmt::Write;

use fleet::{plan, spec};
use one_host::{gpu_host, host};
use tfleet_compat::{
    Architecture, Catalog, DriverHealth, GpuHealth, HostFacts, Plan, PlanError, Policy, Preference,
};

fn planned(constraint: &str, hosts: &[HostFacts]) -> Plan {
    plan(
        Catalog::builtin(),
        &spec(constraint),
        hosts,
        &Policy::default(),
        None,
    )
    .unwrap()
}

/// A plan as a person would want to read it.
fn render(plan: &Plan) -> String {
    let mut text = format!("release {}\n", plan.release);
    for variant in &plan.variants {
        let recipe = &variant.recipe;
        let cuda = recipe.cuda.as_ref().map_or_else(
            || "cpu".to_owned(),
            |stack| {
                format!(
                    "CUDA {} (built for {}), cuDNN {}",
                    stack.installed, stack.built_for, stack.cudnn
                )
            },
        );
        writeln!(text, "\nvariant {}", recipe.id).unwrap();
        writeln!(
            text,
            "  {cuda}, Python {}, {}, {}",
            recipe.python, recipe.base, recipe.architecture
        )
        .unwrap();
        writeln!(text, "  {}", recipe.requirements.join(" ")).unwrap();
        for host in &variant.hosts {
            let assignment = plan.assignment(host).unwrap();
            writeln!(
                text,
                "  {host} ({}): {}",
                assignment.compatibility, assignment.reason
            )
            .unwrap();
        }
    }
    for unplaced in &plan.unplaced {
        writeln!(
            text,
            "\nleft out: {}\n  {}\n  → {}",
            unplaced.host, unplaced.reason, unplaced.remedy
        )
        .unwrap();
    }
    text
}

/// A little of everything that serves.
fn mixed() -> Vec<HostFacts> {
    let mut arm = host("arm");
    arm.architecture = Architecture::Aarch64;
    vec![
        host("cpu"),
        arm,
        gpu_host("k80-r470", "470.256.02", &["Tesla K80"]),
        gpu_host("p100-r580", "580.82.07", &["Tesla P100-PCIE-16GB"]),
        gpu_host("t4-r450", "450.80.02", &["Tesla T4"]),
        gpu_host("a100-r525", "525.60.13", &["NVIDIA A100 80GB PCIe"]),
        gpu_host(
            "rtx3090-r535-beta",
            "535.43.02",
            &["NVIDIA GeForce RTX 3090"],
        ),
        gpu_host("h100-r535", "535.129.03", &["NVIDIA H100 80GB HBM3"]),
        gpu_host("l4-r555", "555.42.06", &["NVIDIA L4"]),
        gpu_host(
            "mixed-r535",
            "535.183.01",
            &["Tesla T4", "NVIDIA H100 PCIe"],
        ),
        gpu_host("newer-than-the-catalog", "700.10.02", &["NVIDIA L4"]),
    ]
}

/// A little of everything that does not.
fn refused() -> Vec<HostFacts> {
    let mut no_avx = host("no-avx");
    no_avx.cpu_flags = Some(BTreeSet::from(["sse4_2".to_owned()]));
    let mut no_driver = gpu_host("no-driver", "470.256.02", &["Tesla T4"]);
    no_driver.driver_version = None;
    let mut no_way_in = gpu_host("no-toolkit", "535.183.01", &["Tesla T4"]);
    no_way_in.gpu_modes = Some(BTreeSet::new());
    let mut upgraded = host("upgraded-not-rebooted");
    upgraded.driver_version = Some("535.183.01".parse().unwrap());
    upgraded.driver_health = DriverHealth::Mismatch {
        kernel_module: Some("470.256.02".parse().unwrap()),
    };
    let mut lost = gpu_host("gpu-lost", "535.183.01", &["NVIDIA A100-SXM4-40GB"]);
    lost.gpus[0].health = GpuHealth::Lost;
    let mut arm = gpu_host("arm-gpu", "535.183.01", &["GH200"]);
    arm.architecture = Architecture::Aarch64;
    vec![
        arm,
        lost,
        no_avx,
        no_driver,
        no_way_in,
        upgraded,
        gpu_host("ambiguous", "470.256.02", &["RTX 4000"]),
        gpu_host("branch-dropped-gpu", "590.48.01", &["Tesla V100-SXM2-16GB"]),
        gpu_host("code-dropped-gpu", "470.256.02", &["GeForce GTX 680"]),
        gpu_host("driver-too-old", "418.87.01", &["Tesla P100-PCIE-16GB"]),
        gpu_host("driver-too-old-k80", "418.87.01", &["Tesla K80"]),
        gpu_host("gpu-too-new", "570.86.16", &["NVIDIA GeForce RTX 5090"]),
        gpu_host("unknown-gpu", "470.256.02", &["NVIDIA Quantum 9000"]),
    ]
}

#[test]
fn the_quickstarts_fleet() {
    let hosts = [
        gpu_host("gpu-old", "470.256.02", &["Tesla T4"]),
        gpu_host("gpu-new", "535.183.01", &["NVIDIA A100-SXM4-40GB"]),
        host("no-gpu"),
    ];
    insta::assert_snapshot!(render(&planned(">=2.14,<2.16", &hosts)));
}

#[test]
fn a_mixed_fleet_with_the_newest_for_each() {
    insta::assert_snapshot!(render(&planned(">=2.5", &mixed())));
}

#[test]
fn a_mixed_fleet_with_as_few_tensorflows_as_can_be() {
    let policy = Policy {
        preference: Preference::Uniform,
        ..Policy::default()
    };
    let plan = plan(Catalog::builtin(), &spec(">=2.5"), &mixed(), &policy, None).unwrap();
    insta::assert_snapshot!(render(&plan));
}

#[test]
fn a_preferred_minor_version_is_its_newest_patch_and_one_that_is_not_there_is_told() {
    let host = [gpu_host("new", "570.86.16", &["Tesla T4"])];
    let preferring = |version: &str| {
        let policy = Policy {
            preference: version.parse().unwrap(),
            ..Policy::default()
        };
        let release = spec(">=2.14,<2.17");
        plan(Catalog::builtin(), &release, &host, &policy, None).unwrap()
    };
    let minor = preferring("2.15");
    assert_eq!(minor.variants[0].recipe.tensorflow.to_string(), "2.15.1");
    assert!(minor.notes.is_empty(), "{:?}", minor.notes);
    let exact = preferring("2.15.0");
    assert_eq!(exact.variants[0].recipe.tensorflow.to_string(), "2.15.0");
    let absent = preferring("2.19.1");
    assert_eq!(absent.variants[0].recipe.tensorflow.to_string(), "2.16.2");
    assert_eq!(
        absent.notes,
        ["the policy prefers TensorFlow 2.19.1, and the release allows none such"]
    );
}

#[test]
fn an_advised_upgrade_stops_where_a_gpu_is_driven_no_more() {
    let hosts = [
        gpu_host("kepler", "418.87.01", &["Tesla K80"]),
        gpu_host("pascal", "418.87.01", &["Tesla P100-PCIE-16GB"]),
        gpu_host("turing", "418.87.01", &["Tesla T4"]),
    ];
    let plan = planned(">=2.12,<2.15", &hosts);
    let advised: Vec<(&str, Option<u32>)> = plan
        .upgrades
        .iter()
        .map(|upgrade| (upgrade.hosts[0].as_str(), upgrade.last_branch))
        .collect();
    assert_eq!(
        advised,
        [
            ("turing", None),
            ("kepler", Some(470)),
            ("pascal", Some(580))
        ]
    );
}

#[test]
fn hosts_that_cannot_be_served_with_reason_and_remedy() {
    insta::assert_snapshot!(render(&planned(">=2.14", &refused())));
}

#[test]
fn only_what_has_cuda_wheels_can_be_built() {
    let hosts = [
        gpu_host("old", "440.100", &["Tesla V100-PCIE-32GB"]),
        host("cpu"),
    ];
    insta::assert_snapshot!(render(&planned(">=2.3,<2.5", &hosts)));
}

#[test]
fn hosts_whose_gpus_cannot_be_served_may_fall_back_to_the_cpu() {
    let hosts = [
        gpu_host("old", "418.87.01", &["Tesla P100-PCIE-16GB"]),
        host("cpu"),
    ];
    let policy = Policy {
        cpu_fallback: true,
        ..Policy::default()
    };
    let plan = plan(
        Catalog::builtin(),
        &spec(">=2.14,<2.16"),
        &hosts,
        &policy,
        None,
    )
    .unwrap();
    insta::assert_snapshot!(render(&plan));
}

#[test]
fn an_upgraded_host_moves_only_when_the_fleet_is_rebalanced() {
    let before = planned(
        ">=2.14,<2.16",
        &[gpu_host("host", "470.256.02", &["Tesla T4"])],
    );
    let hosts = [gpu_host("host", "535.183.01", &["Tesla T4"])];
    let replanned = |rebalance| {
        let policy = Policy {
            rebalance,
            ..Policy::default()
        };
        plan(
            Catalog::builtin(),
            &spec(">=2.14,<2.16"),
            &hosts,
            &policy,
            Some(&before),
        )
        .unwrap()
    };
    assert_eq!(
        replanned(true).assignments[0].variant.as_str(),
        "tf2.15.1-cuda12.2"
    );
    insta::assert_snapshot!(render(&replanned(false)));
}

#[test]
fn a_host_that_no_longer_carries_what_it_runs_is_moved() {
    let before = planned(
        ">=2.14,<2.16",
        &[gpu_host("host", "535.183.01", &["Tesla T4"])],
    );
    let hosts = [gpu_host("host", "470.256.02", &["Tesla T4"])];
    let after = plan(
        Catalog::builtin(),
        &spec(">=2.14,<2.16"),
        &hosts,
        &Policy::default(),
        Some(&before),
    )
    .unwrap();
    assert_eq!(after.assignments[0].variant.as_str(), "tf2.14.1-cuda11.8");
}

#[test]
fn an_exact_patch_is_planned_if_the_catalog_knows_it() {
    let hosts = [gpu_host("host", "535.183.01", &["Tesla T4"])];
    for (constraint, variant) in [
        ("==2.15.0", "tf2.15.0-cuda12.2"),
        ("==2.15.0.post1", "tf2.15.0.post1-cuda12.2"),
        ("<2.15.1,>=2.15", "tf2.15.0.post1-cuda12.2"),
        ("==2.15.*", "tf2.15.1-cuda12.2"),
    ] {
        assert_eq!(
            planned(constraint, &hosts).assignments[0].variant.as_str(),
            variant,
            "{constraint}"
        );
    }
}

#[test]
fn a_constraint_must_not_span_majors_by_accident() {
    let mut spec = spec(">=1.15");
    let error = plan(Catalog::builtin(), &spec, &[], &Policy::default(), None).unwrap_err();
    assert_eq!(
        error.to_string(),
        "release train:v1: >=1.15 allows TensorFlow 1.x and 2.x; programs do not carry over between majors: narrow the \
         constraint to one of them, or let the release span them (--span-majors)"
    );
    spec.spans_majors = true;
    plan(Catalog::builtin(), &spec, &[], &Policy::default(), None).unwrap();
}

#[test]
fn a_constraint_that_allows_nothing_known_is_refused() {
    let error = plan(
        Catalog::builtin(),
        &spec("==2.15.7"),
        &[],
        &Policy::default(),
        None,
    )
    .unwrap_err();
    assert_eq!(
        error.to_string(),
        "release train:v1: the catalog knows no TensorFlow that ==2.15.7 allows (it knows 1.0.1 to 2.21.0)"
    );
}

#[test]
fn two_hosts_of_one_name_are_refused() {
    let error = plan(
        Catalog::builtin(),
        &spec(">=2.14"),
        &[host("a"), host("a")],
        &Policy::default(),
        None,
    )
    .unwrap_err();
    assert_eq!(error, PlanError::DuplicateHost("a".into()));
}
