//! Plans of small fleets as readable text. `cargo insta review` accepts a changed one; in CI (`CI=1`) none is written.

mod fleet;

use fleet::{gpu_host, host, render, spec};
use tfleet_compat::{Catalog, HostFacts, Plan, Policy, plan};

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

#[test]
fn the_quickstarts_fleet() {
    let hosts = [
        gpu_host("gpu-old", "470.256.02", &["Tesla T4"]),
        gpu_host("gpu-new", "535.183.01", &["NVIDIA A100-SXM4-40GB"]),
        host("no-gpu"),
    ];
    insta::assert_snapshot!(render(&planned(">=2.14,<2.16", &hosts)));
}
