//! What the loaded NVIDIA kernel module says below /proc/driver/nvidia. It answers when the driver's library cannot:
//! after an upgrade without a reboot, and for a GPU that is lost.

use std::path::Path;
use std::{fs, io};

use tfleet_proto::model::inventory::Gpu;

use super::notes::Notes;

/// The loaded module. Its absence is not an error: most hosts have none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct KernelModule {
    /// "470.256.02".
    pub version: Option<String>,
    /// In the order of their PCI addresses.
    pub gpus: Vec<KernelGpu>,
}

/// A GPU as the module knows it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct KernelGpu {
    /// "0000:00:1e.0".
    pub pci_address: String,
    pub name: Option<String>,
    pub uuid: Option<String>,
}

impl KernelModule {
    /// Reads files only; `proc` is where the proc file system is mounted.
    pub fn look(proc: &Path, notes: &mut Notes) -> Self {
        let folder = proc.join("driver/nvidia");
        let version = read(&folder.join("version"), notes)
            .as_deref()
            .and_then(module_version);
        let mut gpus: Vec<KernelGpu> = match fs::read_dir(folder.join("gpus")) {
            Ok(entries) => entries
                .flatten()
                .map(|entry| {
                    let address = entry.file_name().to_string_lossy().into_owned();
                    let information = read(&entry.path().join("information"), notes);
                    KernelGpu::parse(address, &information.unwrap_or_default())
                })
                .collect(),
            Err(_) => Vec::new(),
        };
        gpus.sort_by(|one, other| one.pci_address.cmp(&other.pci_address));
        Self { version, gpus }
    }

    pub fn is_loaded(&self) -> bool {
        self.version.is_some() || !self.gpus.is_empty()
    }
}

impl KernelGpu {
    pub(super) fn parse(pci_address: String, information: &str) -> Self {
        let value = |key: &str| {
            let line = information
                .lines()
                .find_map(|line| line.strip_prefix(key))?;
            let value = line.trim();
            // A GPU that was never initialised has a UUID of question marks.
            (!value.is_empty() && !value.contains('?')).then(|| value.to_owned())
        };
        Self {
            name: value("Model:"),
            uuid: value("GPU UUID:"),
            pci_address,
        }
    }

    /// The address as NVML writes it: "00000000:00:1E.0". The kernel writes the domain with four digits.
    pub fn pci_bus_id(&self) -> String {
        format!("0000{}", self.pci_address.to_uppercase())
    }

    /// Whether NVML's `gpu` is this one. It may have had no UUID until NVML woke it.
    pub fn is(&self, gpu: &Gpu) -> bool {
        gpu.pci_bus_id.as_ref() == Some(&self.pci_bus_id()) || self.uuid.as_ref() == Some(&gpu.uuid)
    }
}

/// The version in the first line, in both of its spellings:
/// "NVRM version: NVIDIA UNIX x86_64 Kernel Module  470.256.02  …" and
/// "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  535.183.01  …".
pub(super) fn module_version(text: &str) -> Option<String> {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("NVRM version:"))?;
    let words = line.split_once("Kernel Module")?.1.split_whitespace();
    words
        .filter(|word| is_version(word))
        .map(str::to_owned)
        .next()
}

fn is_version(word: &str) -> bool {
    word.contains('.')
        && word
            .split('.')
            .all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()))
}

fn read(path: &Path, notes: &mut Notes) -> Option<String> {
    match fs::read_to_string(path) {
        Ok(text) => Some(text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => {
            notes.warn(format!("cannot read {}: {error}", path.display()));
            None
        }
    }
}
