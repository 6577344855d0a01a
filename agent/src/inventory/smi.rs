//! `nvidia-smi`, for what NVML does not tell the agent: everything where the library is not on the agent's path, the
//! compute capability where the library has no call for it.
//!
//! It refuses a whole query for one field that it does not know, so only fields that every version knows are asked
//! together; each other is asked alone.

use std::collections::HashMap;
use std::io;
use std::process::Stdio;
use std::time::Duration;

use tfleet_proto::model::inventory::{Gpu, GpuProcess, Source};
use tokio::process::Command;

use super::notes::Notes;

const PROGRAM: &str = "nvidia-smi";
/// Its answer comes at once or, with a hung driver, never.
const SILENT_FOR: Duration = Duration::from_secs(30);
/// Known to every version since 340, in the order of [`Row::parse`].
const FIELDS: &str = "index,uuid,name,driver_version,pci.bus_id,memory.total,memory.used,temperature.gpu,utilization.gpu";

#[derive(Debug, thiserror::Error)]
pub(super) enum SmiError {
    #[error("nvidia-smi is not installed")]
    Missing,
    #[error("nvidia-smi finds no driver")]
    NoDriver,
    #[error("this nvidia-smi does not know the field {0}")]
    UnknownField(String),
    #[error("nvidia-smi failed with {status}: {said}")]
    Failed {
        status: std::process::ExitStatus,
        said: String,
    },
    #[error("nvidia-smi has said nothing for {} seconds", SILENT_FOR.as_secs())]
    Hung,
    #[error("cannot run nvidia-smi")]
    Run(#[source] io::Error),
    #[error("cannot understand the line {0:?} of nvidia-smi")]
    Line(String),
}

/// What nvidia-smi says.
#[derive(Debug)]
pub(super) struct Seen {
    /// `None` without a GPU, since it stands beside each.
    pub driver_version: Option<String>,
    pub gpus: Vec<Gpu>,
    pub notes: Notes,
}

pub(super) async fn look() -> Result<Seen, SmiError> {
    let text = ask("--query-gpu", FIELDS).await?;
    let rows: Vec<Row> = text.lines().map(Row::parse).collect::<Result<_, _>>()?;
    let mut notes = Notes::default();
    let processes = processes().await.unwrap_or_else(|error| {
        notes.warn(format!("the processes on the GPUs are not known: {error}"));
        Vec::new()
    });
    let driver_version = rows.first().map(|row| row.driver_version.clone());
    let mut gpus: Vec<Gpu> = rows.into_iter().map(|row| row.gpu).collect();
    for gpu in &mut gpus {
        let own = processes.iter().filter(|(uuid, _)| *uuid == gpu.uuid);
        gpu.processes = own.map(|(_, process)| process.clone()).collect();
        notes.source(format!("gpus[{}]", gpu.uuid), Source::NvidiaSmi);
    }
    for (gpu, mode) in by_uuid(&mut gpus, &modes("mig.mode.current", &mut notes).await) {
        gpu.mig_enabled = Some(mode);
    }
    for (gpu, mode) in by_uuid(&mut gpus, &modes("ecc.mode.current", &mut notes).await) {
        gpu.ecc_enabled = Some(mode);
    }
    if driver_version.is_some() {
        notes.source("driver.version", Source::NvidiaSmi);
    }
    Ok(Seen {
        driver_version,
        gpus,
        notes,
    })
}

/// A mode that is on or off, by UUID. GPUs that do not have it are left out.
async fn modes(field: &str, notes: &mut Notes) -> HashMap<String, bool> {
    match ask("--query-gpu", &format!("uuid,{field}")).await {
        Ok(text) => switches(&text),
        // It is older than the mode.
        Err(SmiError::UnknownField(_)) => HashMap::new(),
        Err(error) => {
            notes.warn(format!("nvidia-smi does not tell {field}: {error}"));
            HashMap::new()
        }
    }
}

/// Lines of "GPU-…, Enabled".
pub(super) fn switches(text: &str) -> HashMap<String, bool> {
    let pairs = text.lines().filter_map(|line| line.split_once(", "));
    pairs
        .filter_map(|(uuid, mode)| {
            let is_on = match mode.trim() {
                "Enabled" => true,
                "Disabled" => false,
                _ => return None,
            };
            Some((uuid.to_owned(), is_on))
        })
        .collect()
}

/// The GPUs of which something is known.
fn by_uuid<'a, T: Copy>(
    gpus: &'a mut [Gpu],
    known: &'a HashMap<String, T>,
) -> impl Iterator<Item = (&'a mut Gpu, T)> {
    gpus.iter_mut().filter_map(|gpu| {
        let value = *known.get(&gpu.uuid)?;
        Some((gpu, value))
    })
}

/// Compute capabilities by UUID. Versions up to 470 do not know the field.
pub(super) async fn compute_capabilities() -> Result<HashMap<String, String>, SmiError> {
    let text = ask("--query-gpu", "uuid,compute_cap").await?;
    let pairs = text.lines().filter_map(|line| line.split_once(", "));
    Ok(pairs
        .filter_map(|(uuid, capability)| Some((uuid.to_owned(), known(capability)?.to_owned())))
        .collect())
}

async fn processes() -> Result<Vec<(String, GpuProcess)>, SmiError> {
    let text = ask("--query-compute-apps", "gpu_uuid,pid,used_memory").await?;
    text.lines()
        .map(|line| {
            let bad = || SmiError::Line(line.to_owned());
            let (uuid, rest) = line.split_once(", ").ok_or_else(bad)?;
            let (pid, used) = rest.split_once(", ").ok_or_else(bad)?;
            let process = GpuProcess {
                pid: pid.parse().map_err(|_| bad())?,
                memory_used_bytes: mebibytes(used),
            };
            Ok((uuid.to_owned(), process))
        })
        .collect()
}

/// What stands in one line of the answer to [`FIELDS`].
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub driver_version: String,
    pub gpu: Gpu,
}

impl Row {
    pub(super) fn parse(line: &str) -> Result<Self, SmiError> {
        let bad = || SmiError::Line(line.to_owned());
        let values: Vec<&str> = line.split(", ").collect();
        let [
            index,
            uuid,
            name,
            driver,
            pci,
            total,
            used,
            temperature,
            utilisation,
        ] = values[..]
        else {
            return Err(bad());
        };
        Ok(Self {
            driver_version: driver.to_owned(),
            gpu: Gpu {
                uuid: uuid.to_owned(),
                index: index.parse().map_err(|_| bad())?,
                name: name.to_owned(),
                compute_capability: None,
                memory_bytes: mebibytes(total),
                memory_used_bytes: mebibytes(used),
                mig_enabled: None,
                ecc_enabled: None,
                temperature_celsius: temperature.parse().ok(),
                utilisation_percent: utilisation.parse().ok(),
                processes: Vec::new(),
                pci_bus_id: known(pci).map(str::to_owned),
                fault: None,
            },
        })
    }
}

/// Runs one query for comma-separated fields; the lines of its answer are the rows.
async fn ask(query: &str, fields: &str) -> Result<String, SmiError> {
    let run = Command::new(PROGRAM)
        .arg(format!("{query}={fields}"))
        .arg("--format=csv,noheader,nounits")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = match tokio::time::timeout(SILENT_FOR, run).await {
        Err(_) => return Err(SmiError::Hung),
        Ok(Err(error)) if error.kind() == io::ErrorKind::NotFound => return Err(SmiError::Missing),
        Ok(Err(error)) => return Err(SmiError::Run(error)),
        Ok(Ok(output)) => output,
    };
    // Its errors come on standard output, too.
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    match output.status.code() {
        Some(0) => Ok(text),
        Some(2) => Err(SmiError::UnknownField(fields.to_owned())),
        Some(9) => Err(SmiError::NoDriver),
        _ => Err(SmiError::Failed {
            status: output.status,
            said: text,
        }),
    }
}

/// "[N/A]", "[Not Supported]" and "[Unknown Error]" are what it writes for what it does not know.
fn known(value: &str) -> Option<&str> {
    (!value.starts_with('[') && !value.is_empty() && value != "N/A").then_some(value)
}

fn mebibytes(value: &str) -> Option<u64> {
    value.parse::<u64>().ok().map(|mebibytes| mebibytes << 20)
}
