//! The GPU file: what driver and GPUs a machine pretends to have.
//!
//! One TOML file per imitated host. The fake NVML, the fake `nvidia` runtime and the fake `nvidia-smi` read it; the
//! lab writes it. It belongs to the imitation alone: nothing of tfleet may depend on it.

mod follow;
mod version;

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub use follow::Followed;
pub use version::{BadVersion, MajorMinor};

/// The file's content. Without `driver_version` no driver is loaded.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Machine {
    /// The library's version, such as `470.256.02`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub driver_version: Option<String>,
    /// What the kernel runs; absent means the same as the library. Different after an upgrade without a reboot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kernel_module_version: Option<String>,
    /// The newest CUDA that the driver serves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cuda_version: Option<MajorMinor>,
    /// Whether `/proc` spells the module's name as the open kernel modules do.
    #[serde(default, skip_serializing_if = "is_false")]
    pub open_kernel_module: bool,
    #[serde(default, rename = "gpu", skip_serializing_if = "Vec::is_empty")]
    pub gpus: Vec<Gpu>,
}

/// One GPU. An absent value is one that this GPU does not support.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Gpu {
    pub name: String,
    /// Absent: derived from the index.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uuid: Option<String>,
    pub compute_capability: MajorMinor,
    pub memory_mib: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temperature_c: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub utilisation_percent: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub power_mw: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ecc: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mig: Option<bool>,
    /// Fallen off the bus.
    #[serde(default, skip_serializing_if = "is_false")]
    pub lost: bool,
    #[serde(default, skip_serializing_if = "is_false")]
    pub reset_required: bool,
    /// As requirements spell it: `tesla`, `nvidia`, `quadro`, `geforce`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub brand: Option<String>,
    /// `domain:bus:device.function` in hexadecimal. Absent: derived from the index.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pci_bus_id: Option<String>,
    /// Xids that the driver has reported so far, oldest first. One that is appended is an event.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub xids: Vec<u64>,
    #[serde(default, rename = "process", skip_serializing_if = "Vec::is_empty")]
    pub processes: Vec<Process>,
}

/// A process that computes on a GPU.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Process {
    pub pid: u32,
    pub memory_mib: u64,
}

#[derive(Debug, thiserror::Error)]
pub enum GpuFileError {
    #[error("cannot read the GPU file {path}")]
    Read { path: PathBuf, source: io::Error },
    #[error("the GPU file {path} is not valid")]
    Parse {
        path: PathBuf,
        source: Box<toml::de::Error>,
    },
    #[error("cannot write the GPU file {path}")]
    Write { path: PathBuf, source: io::Error },
    #[error("cannot express the machine as TOML")]
    Serialise(#[from] toml::ser::Error),
}

impl Machine {
    /// Reads a GPU file. One that does not exist is a machine without a driver.
    pub fn read(path: &Path) -> Result<Self, GpuFileError> {
        match fs::read_to_string(path) {
            Ok(text) => toml::from_str(&text).map_err(|source| GpuFileError::Parse {
                path: path.to_owned(),
                source: Box::new(source),
            }),
            Err(source) if source.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(source) => Err(GpuFileError::Read {
                path: path.to_owned(),
                source,
            }),
        }
    }

    /// Replaces a GPU file in one step, so that no reader sees half of it.
    pub fn write(&self, path: &Path) -> Result<(), GpuFileError> {
        let text = toml::to_string(self)?;
        replace(path, text.as_bytes()).map_err(|source| GpuFileError::Write {
            path: path.to_owned(),
            source,
        })
    }

    /// The version of the kernel's side; none when no driver is loaded.
    pub fn kernel_module_version(&self) -> Option<&str> {
        self.kernel_module_version
            .as_deref()
            .or(self.driver_version.as_deref())
    }

    /// Whether library and kernel module are of different versions.
    pub fn is_mismatched(&self) -> bool {
        self.driver_version.is_some()
            && self.driver_version.as_deref() != self.kernel_module_version()
    }
}

impl Gpu {
    pub fn uuid(&self, index: usize) -> String {
        self.uuid
            .clone()
            .unwrap_or_else(|| format!("GPU-00000000-0000-0000-0000-{index:012}"))
    }

    pub fn pci_bus_id(&self, index: usize) -> String {
        self.pci_bus_id
            .clone()
            .unwrap_or_else(|| format!("00000000:00:{:02X}.0", 0x1e + index))
    }

    /// What its processes hold, at most all of it.
    pub fn used_mib(&self) -> u64 {
        let used = self.processes.iter().map(|process| process.memory_mib);
        used.sum::<u64>().min(self.memory_mib)
    }
}

fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(content)?;
    // Containers read it as any user.
    file.as_file()
        .set_permissions(fs::Permissions::from_mode(0o644))?;
    file.persist(path)?;
    Ok(())
}

fn is_false(value: &bool) -> bool {
    !value
}

#[cfg(test)]
mod tests;
