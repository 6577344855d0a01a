//! Links of a known rate.

use std::process::Command;

use anyhow::Result;
use tfleet_tests::lab::{Host, run};

/// Both directions, in bytes per second.
pub fn limit_host(host: &Host, rate: f64) -> Result<()> {
    limit(&mut Command::new("tc"), host.network().cable(), rate)?;
    limit(&mut host.command("tc"), "eth0", rate)
}

pub fn unlimit_host(host: &Host) -> Result<()> {
    let mut to = Command::new("tc");
    run(to.args(["qdisc", "del", "dev", host.network().cable(), "root"]))?;
    run(host
        .command("tc")
        .args(["qdisc", "del", "dev", "eth0", "root"]))?;
    Ok(())
}

pub fn limit(tc: &mut Command, device: &str, rate: f64) -> Result<()> {
    let bits = format!("{}bit", (rate * 8.0).round());
    // The kernel looks at the bucket some hundred times a second: it must hold what passes in between.
    let burst = format!("{}", (rate / 100.0).max(128e3).round());
    tc.args([
        "qdisc", "replace", "dev", device, "root", "tbf", "rate", &bits,
    ]);
    run(tc.args(["burst", &burst, "latency", "50ms"]))?;
    Ok(())
}
