//! What one host says it has: machine, driver, GPUs, engine, images.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::digest::Digest;
use super::failure::Failure;

/// Everything a host says about itself. Sent whole, never as a difference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inventory {
    /// When the host finished looking.
    pub observed_at: Timestamp,
    pub machine: Machine,
    /// `None`: the host has no NVIDIA driver, which is a value and not an error.
    pub driver: Option<Driver>,
    pub gpus: Vec<Gpu>,
    /// Says itself when the engine does not answer.
    pub engine: Engine,
    /// The ways of asking for a GPU that work on this host, best first.
    pub gpu_modes: Vec<GpuMode>,
    /// How NVIDIA's container runtime puts a GPU into a container; `None`: unknown.
    pub runtime_mode: Option<RuntimeMode>,
    /// Images in the engine. Empty when the engine does not answer.
    pub images: Vec<EngineImage>,
    /// Labels from the host's own configuration.
    pub labels: BTreeMap<String, String>,
    /// What could not be read, and what that means, in sentences.
    pub warnings: Vec<String>,
    /// Where each value came from. What the agent knows by itself is not listed: its labels, the engine's endpoint, the
    /// architecture that it was built for.
    pub sources: Vec<FieldSource>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// As `uname -m` prints it: "x86_64", "aarch64".
    pub architecture: String,
    /// PRETTY_NAME of os-release.
    pub distribution: Option<String>,
    pub kernel_release: Option<String>,
    pub cpu_model: Option<String>,
    pub cpu_count: u32,
    /// As in /proc/cpuinfo. TensorFlow's wheels need "avx".
    pub cpu_flags: Vec<String>,
    /// `None` where it could not be read.
    pub memory_bytes: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Driver {
    /// The version of the driver's library, such as "470.256.02".
    pub version: String,
    /// The version of the loaded kernel module, where it could be read. Differs from `version` after an upgrade
    /// without a reboot; nothing on the GPU works until then.
    pub kernel_module_version: Option<String>,
    /// Newest CUDA that the driver supports, "11.4".
    pub cuda_version: Option<String>,
    /// Set when the driver is installed but does not work: what NVML or the kernel said.
    pub fault: Option<Failure>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gpu {
    /// "GPU-…".
    pub uuid: String,
    /// NVML's index on this host.
    pub index: u32,
    /// Product name as NVML gives it: "Tesla T4", "NVIDIA A100-SXM4-40GB".
    pub name: String,
    /// "7.5". `None` when neither the driver nor the catalog can say.
    pub compute_capability: Option<String>,
    pub memory_bytes: Option<u64>,
    pub memory_used_bytes: Option<u64>,
    /// `None` where the GPU has no MIG.
    pub mig_enabled: Option<bool>,
    /// `None` where the GPU has no ECC.
    pub ecc_enabled: Option<bool>,
    pub temperature_celsius: Option<u32>,
    /// Percent of the last sample period in which a kernel ran.
    pub utilisation_percent: Option<u32>,
    pub processes: Vec<GpuProcess>,
    /// "00000000:00:1E.0".
    pub pci_bus_id: Option<String>,
    /// Set when the GPU was found but does not answer (lost, needs a reset).
    pub fault: Option<Failure>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GpuProcess {
    pub pid: u32,
    pub memory_used_bytes: Option<u64>,
}

/// The container engine. Every `Option` is `None` while it does not answer; `fault` says how it failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Engine {
    /// "unix:///run/docker.sock".
    pub endpoint: String,
    pub version: Option<String>,
    pub api_version: Option<String>,
    /// "overlay2", or "overlayfs" on a containerd image store.
    pub storage_driver: Option<String>,
    pub image_store: Option<ImageStore>,
    pub runtimes: Vec<String>,
    /// Where the engine keeps its data.
    pub data_root: Option<String>,
    /// What is free there. `None` where it is not known, which is not a full disk.
    pub data_root_free_bytes: Option<u64>,
    pub fault: Option<Failure>,
}

/// How NVIDIA's container runtime puts a GPU into a container, once it was asked for one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RuntimeMode {
    Legacy,
    Csv,
    Cdi,
    JitCdi,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ImageStore {
    /// Layers in the engine's graph driver.
    GraphDriver,
    /// Layers as blobs and snapshots in containerd.
    Containerd,
}

/// A way of asking an engine for GPUs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GpuMode {
    /// nvidia-docker 1's volume plug-in.
    VolumePlugin,
    /// HostConfig.Runtime = "nvidia".
    Runtime,
    /// HostConfig.DeviceRequests with the capability "gpu".
    DeviceRequest,
    /// HostConfig.DeviceRequests with driver "cdi".
    Cdi,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineImage {
    /// The engine's own identifier; differs between image stores for equal images.
    pub engine_id: String,
    pub tags: Vec<String>,
    /// Ordered diff IDs, base first: the image's identity together with its runtime configuration.
    pub diff_ids: Vec<Digest>,
    pub size_bytes: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldSource {
    /// The field's path: "driver.cuda_version", "gpus[GPU-…].memory_bytes".
    pub field: String,
    pub source: Source,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// NVML's newest call for the value.
    Nvml,
    /// An older NVML call, because the driver's library lacks the newest.
    NvmlOlder,
    NvidiaSmi,
    Proc,
    /// Derived from the compatibility catalog.
    Catalog,
    Engine,
    /// The distribution's os-release file.
    OsRelease,
    /// The file system.
    Statvfs,
}

impl fmt::Display for GpuMode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::VolumePlugin => "volume plug-in",
            Self::Runtime => "runtime",
            Self::DeviceRequest => "device request",
            Self::Cdi => "cdi",
        })
    }
}

impl fmt::Display for ImageStore {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::GraphDriver => "graph driver",
            Self::Containerd => "containerd",
        })
    }
}

impl fmt::Display for Source {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Nvml => "nvml",
            Self::NvmlOlder => "nvml (older call)",
            Self::NvidiaSmi => "nvidia-smi",
            Self::Proc => "/proc",
            Self::Catalog => "catalog",
            Self::Engine => "engine",
            Self::OsRelease => "os-release",
            Self::Statvfs => "statvfs",
        })
    }
}
