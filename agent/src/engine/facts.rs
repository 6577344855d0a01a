//! What the engine says of itself.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use tfleet_proto::model::inventory::ImageStore;

use super::{Engine, EngineError};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineFacts {
    pub version: String,
    /// The newest that it speaks.
    pub api_version: ApiVersion,
    pub image_store: ImageStore,
    /// "overlay2", or "overlayfs" on a containerd image store.
    pub storage_driver: Option<String>,
    /// Where it keeps its data.
    pub data_root: Option<PathBuf>,
    /// Where containerd keeps images, on a containerd image store, if that can be told.
    pub containerd_root: Option<PathBuf>,
    /// Names, with the program of each. A runtime that containerd finds by its type has none.
    pub runtimes: HashMap<String, Option<String>>,
    pub volume_plugins: Vec<String>,
    /// Where descriptions of devices lie (Container Device Interface); empty where the engine does not read any.
    pub cdi_folders: Vec<PathBuf>,
    /// The devices that are described, "nvidia.com/gpu=0"; empty before API 1.50.
    pub cdi_devices: Vec<String>,
}

/// Where containerd that a distribution starts is reached, and where it keeps its data.
const SYSTEM_CONTAINERD: (&str, &str) = ("/run/containerd/containerd.sock", "/var/lib/containerd");
/// Where a containerd that the engine starts itself keeps its data, below the engine's own.
const OWN_CONTAINERD: &str = "containerd/daemon";

/// "1.41".
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ApiVersion {
    pub major: u32,
    pub minor: u32,
}

impl Engine {
    /// As its configuration names it: "unix:///run/docker.sock".
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    pub async fn facts(&self) -> Result<EngineFacts, EngineError> {
        const OPERATION: &str = "say what it is";
        let incomplete = |what| EngineError::Incomplete {
            operation: OPERATION,
            what,
        };
        let docker = self.quick().await?;
        let version = self.ask(OPERATION, docker.version()).await?;
        let info = self.ask(OPERATION, docker.info()).await?;
        let status = info.driver_status.unwrap_or_default();
        let is_containerd = status
            .iter()
            .flatten()
            .any(|word| word.starts_with("io.containerd.snapshotter"));
        let data_root = info.docker_root_dir.map(PathBuf::from);
        let containerd_root = is_containerd
            .then(|| {
                containerd_root(
                    self.containerd_root.as_deref(),
                    info.containerd.and_then(|containerd| containerd.address),
                    data_root.as_deref(),
                    Path::exists,
                )
            })
            .flatten();
        let devices = info.discovered_devices.unwrap_or_default().into_iter();
        Ok(EngineFacts {
            version: version.version.ok_or_else(|| incomplete("its version"))?,
            api_version: version
                .api_version
                .and_then(|version| version.parse().ok())
                .ok_or_else(|| incomplete("the version of its API"))?,
            image_store: if is_containerd {
                ImageStore::Containerd
            } else {
                ImageStore::GraphDriver
            },
            storage_driver: info.driver,
            data_root,
            containerd_root,
            runtimes: info
                .runtimes
                .unwrap_or_default()
                .into_iter()
                .map(|(name, runtime)| (name, runtime.path.filter(|path| !path.is_empty())))
                .collect(),
            volume_plugins: info
                .plugins
                .and_then(|plugins| plugins.volume)
                .unwrap_or_default(),
            cdi_folders: info
                .cdi_spec_dirs
                .unwrap_or_default()
                .into_iter()
                .map(PathBuf::from)
                .collect(),
            cdi_devices: devices.filter_map(|device| device.id).collect(),
        })
    }
}

impl EngineFacts {
    /// Where an image's bytes go: on a containerd store to containerd's folder, which may lie on another disk than the
    /// engine's.
    pub fn image_folder(&self) -> Option<&Path> {
        self.containerd_root
            .as_deref()
            .or(self.data_root.as_deref())
    }
}

/// What the agent's configuration says, or else what follows from where containerd is reached. Engines do not tell its
/// folder, and some not even its address.
fn containerd_root(
    configured: Option<&Path>,
    address: Option<String>,
    data_root: Option<&Path>,
    exists: impl Fn(&Path) -> bool,
) -> Option<PathBuf> {
    if let Some(root) = configured {
        return Some(root.to_owned());
    }
    let (system_address, system_root) = SYSTEM_CONTAINERD;
    let is_systems = address.is_none_or(|address| address == system_address);
    let own = data_root.map(|root| root.join(OWN_CONTAINERD));
    let candidate = if is_systems {
        Some(PathBuf::from(system_root))
    } else {
        own
    };
    candidate.filter(|root| exists(root))
}

impl FromStr for ApiVersion {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (major, minor) = text.split_once('.').unwrap_or((text, "0"));
        Ok(Self {
            major: major.parse()?,
            minor: minor.parse()?,
        })
    }
}

impl fmt::Display for ApiVersion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}", self.major, self.minor)
    }
}

#[cfg(test)]
mod tests;
