//! The machine itself: architecture, distribution, kernel, processors, memory.

use std::fs;
use std::path::Path;

use tfleet_proto::model::inventory::{Machine, Source};

use super::notes::Notes;

/// Where os-release is, by its own manual: the first that exists counts.
const OS_RELEASE: [&str; 2] = ["/etc/os-release", "/usr/lib/os-release"];

/// Reads files only; `proc` is where the proc file system is mounted.
pub(super) fn look(proc: &Path, notes: &mut Notes) -> Machine {
    let processors = read(&proc.join("cpuinfo"), notes)
        .map(|text| Processors::parse(&text))
        .unwrap_or_default();
    let memory_bytes = read(&proc.join("meminfo"), notes).and_then(|text| {
        let bytes = total_bytes(&text);
        if bytes.is_none() {
            notes.warn("the machine's memory is not known: /proc/meminfo has no total");
        }
        bytes
    });
    let machine = Machine {
        // The agent is built for one architecture; its names are those of `uname -m`.
        architecture: std::env::consts::ARCH.to_owned(),
        distribution: OS_RELEASE
            .iter()
            .find_map(|path| pretty_name(&fs::read_to_string(path).ok()?)),
        kernel_release: read(&proc.join("sys/kernel/osrelease"), notes)
            .map(|text| text.trim().to_owned()),
        cpu_model: processors.model,
        cpu_count: processors.count,
        cpu_flags: processors.flags,
        memory_bytes,
    };
    for (field, is_told, source) in [
        (
            "distribution",
            machine.distribution.is_some(),
            Source::OsRelease,
        ),
        (
            "kernel_release",
            machine.kernel_release.is_some(),
            Source::Proc,
        ),
        ("cpu_model", machine.cpu_model.is_some(), Source::Proc),
        ("cpu_count", machine.cpu_count > 0, Source::Proc),
        ("cpu_flags", !machine.cpu_flags.is_empty(), Source::Proc),
        ("memory_bytes", machine.memory_bytes.is_some(), Source::Proc),
    ] {
        if is_told {
            notes.source(format!("machine.{field}"), source);
        }
    }
    machine
}

/// What /proc/cpuinfo says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Processors {
    model: Option<String>,
    count: u32,
    flags: Vec<String>,
}

impl Processors {
    /// Model and flags are those of the first processor; hosts with unlike ones have not been seen.
    pub(super) fn parse(text: &str) -> Self {
        let mut processors = Self::default();
        for (key, value) in text.lines().filter_map(|line| line.split_once(':')) {
            match key.trim() {
                "processor" => processors.count += 1,
                "model name" if processors.model.is_none() => {
                    processors.model = Some(value.trim().to_owned())
                }
                // Arm's kernel calls them so.
                "flags" | "Features" if processors.flags.is_empty() => {
                    processors.flags = value.split_whitespace().map(str::to_owned).collect();
                }
                _ => {}
            }
        }
        processors
    }
}

/// PRETTY_NAME, without its quotes.
pub(super) fn pretty_name(os_release: &str) -> Option<String> {
    let value = os_release
        .lines()
        .find_map(|line| line.strip_prefix("PRETTY_NAME="))?
        .trim();
    Some(value.trim_matches(['"', '\'']).to_owned())
}

/// MemTotal of /proc/meminfo, which counts in KiB.
pub(super) fn total_bytes(meminfo: &str) -> Option<u64> {
    let value = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kibibytes: u64 = value.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

fn read(path: &Path, notes: &mut Notes) -> Option<String> {
    match fs::read_to_string(path) {
        Ok(text) => Some(text),
        Err(error) => {
            notes.warn(format!("cannot read {}: {error}", path.display()));
            None
        }
    }
}
