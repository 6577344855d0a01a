//! What a lab consists of: the file `lab.toml`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tfleet_fake_gpu::Machine;

use super::engine::EngineKind;
use super::error::{LabError, at};
use super::model::machine;

#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Description {
    /// The engine that builds images; it runs in the machine's own network. Absent: none.
    pub builder: Option<EngineKind>,
    /// The policy file that each host starts with, relative to this file. Absent: the agent's default.
    pub policy: Option<PathBuf>,
    #[serde(default, rename = "host")]
    pub hosts: Vec<HostDescription>,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct HostDescription {
    pub name: String,
    #[serde(default)]
    pub engine: EngineKind,
    /// The NVIDIA driver's version. Absent: the host has neither driver nor GPU.
    pub driver: Option<String>,
    /// GPUs by the names that NVML gives them.
    #[serde(default)]
    pub gpus: Vec<String>,
    /// How a container gets a GPU here. Absent: by the `nvidia` runtime, on a host with a driver.
    pub gpu_access: Option<Vec<GpuAccess>>,
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Whether its agent serves images to other hosts, if the policy allows it.
    #[serde(default)]
    pub peers: bool,
}

/// A way of giving a container a GPU that is set up on a host.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum GpuAccess {
    /// `docker run --runtime=nvidia`.
    Runtime,
    /// `docker run --gpus`: NVIDIA's hook is on the engine's path.
    DeviceRequest,
    /// Container Device Interface: `docker run --device nvidia.com/gpu=all`, from Docker 25 on.
    Cdi,
}

/// As many as there are addresses, and cables' names, for.
const MOST_HOSTS: usize = 99;

impl Description {
    pub fn read(path: &Path) -> Result<Self, LabError> {
        let text = fs::read_to_string(path).map_err(at("read", path))?;
        let mut description: Self =
            toml::from_str(&text).map_err(|source| LabError::Description {
                path: path.to_owned(),
                source: Box::new(source),
            })?;
        if let (Some(policy), Some(folder)) = (&mut description.policy, path.parent()) {
            *policy = folder.join(&*policy);
        }
        description.check()?;
        Ok(description)
    }

    /// Whether what stands for this description serves the other: labels and policy may differ.
    pub fn has_the_machines_of(&self, other: &Self) -> bool {
        let machines = |description: &Self| -> Vec<HostDescription> {
            let hosts = description.hosts.iter().cloned();
            hosts
                .map(|host| HostDescription {
                    labels: BTreeMap::new(),
                    ..host
                })
                .collect()
        };
        self.builder == other.builder && machines(self) == machines(other)
    }

    pub fn check(&self) -> Result<(), LabError> {
        let bad = |text: String| Err(LabError::BadDescription(text));
        if self.hosts.len() > MOST_HOSTS {
            return bad(format!("a lab has at most {MOST_HOSTS} hosts"));
        }
        let mut names = BTreeSet::new();
        for host in &self.hosts {
            let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
            if host.name.is_empty() || host.name.len() > 40 || !host.name.chars().all(plain) {
                return bad(format!(
                    "`{}` is not a host's name: use up to 40 lower-case letters, digits and dashes",
                    host.name
                ));
            }
            if host.name == "builder" {
                return bad("`builder` is the name of the engine that builds".to_owned());
            }
            if !names.insert(&host.name) {
                return bad(format!("two hosts are named `{}`", host.name));
            }
            if host.driver.is_none() && !host.gpus.is_empty() {
                return bad(format!("host `{}` has GPUs but no driver", host.name));
            }
            host.machine()?;
        }
        Ok(())
    }
}

impl HostDescription {
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            ..Self::default()
        }
    }

    #[must_use]
    pub fn engine(mut self, engine: EngineKind) -> Self {
        self.engine = engine;
        self
    }

    #[must_use]
    pub fn driver(mut self, version: &str) -> Self {
        self.driver = Some(version.to_owned());
        self
    }

    #[must_use]
    pub fn gpu(mut self, model: &str) -> Self {
        self.gpus.push(model.to_owned());
        self
    }

    #[must_use]
    pub fn peers(mut self) -> Self {
        self.peers = true;
        self
    }

    /// Nothing at all is a host whose administrator forgot NVIDIA's runtime.
    #[must_use]
    pub fn gpu_access(mut self, ways: &[GpuAccess]) -> Self {
        self.gpu_access = Some(ways.to_vec());
        self
    }

    /// How a container gets a GPU.
    pub fn ways_to_a_gpu(&self) -> &[GpuAccess] {
        match (&self.gpu_access, &self.driver) {
            (Some(ways), _) => ways,
            (None, Some(_)) => &[GpuAccess::Runtime],
            (None, None) => &[],
        }
    }

    /// The machine that the fakes imitate; none without a driver.
    pub fn machine(&self) -> Result<Option<Machine>, LabError> {
        self.driver
            .as_deref()
            .map(|driver| machine(&self.name, driver, &self.gpus))
            .transpose()
    }
}

#[cfg(test)]
mod tests;
