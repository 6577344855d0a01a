//! What every benchmark reports: the machine, a file, and the last words of programs that failed.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;
use tfleet_tests::harness::TestFleet;
use tfleet_tests::lab::run;

/// Writes the file, and the folders that it lies in.
pub fn write(path: &Path, report: &Value) -> Result<()> {
    let failed = || format!("cannot write {}", path.display());
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(failed)?;
    }
    fs::write(path, format!("{report:#}\n")).with_context(failed)
}

/// Processor, memory, kernel and engine, for who compares with another machine. The engines are of this machine's release.
pub fn machine() -> Result<String> {
    let memory_kib: u64 = value("/proc/meminfo", "MemTotal")?
        .trim_end_matches(" kB")
        .parse()?;
    Ok(format!(
        "{} ({} cores, {} GiB, Linux {}, {})",
        value("/proc/cpuinfo", "model name")?,
        std::thread::available_parallelism()?,
        memory_kib >> 20,
        fs::read_to_string("/proc/sys/kernel/osrelease")?.trim(),
        run(Command::new("dockerd").arg("--version"))?.trim(),
    ))
}

/// The ends of the coordinator's log and of a host's agent's, which go away with the fleet.
pub fn last_words(fleet: &TestFleet, host: &str) -> String {
    let agent = fleet
        .host(host)
        .map(|host| host.agent().supervisor().tail())
        .unwrap_or_default();
    let log = fleet.coordinator().log();
    let lines: Vec<&str> = log.lines().collect();
    let coordinator = lines[lines.len().saturating_sub(15)..].join("\n");
    format!("--- coordinator\n{coordinator}\n--- agent of `{host}`\n{agent}")
}

/// `KEY: VALUE` of a file below /proc.
fn value(path: &str, key: &str) -> Result<String> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {path}"))?;
    let line = text.lines().find(|line| line.starts_with(key));
    let (_, value) = line
        .and_then(|line| line.split_once(':'))
        .with_context(|| format!("{path} has no {key}"))?;
    Ok(value.trim().to_owned())
}
