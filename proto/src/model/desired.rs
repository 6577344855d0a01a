//! Everything that one host should have.

use core::net::IpAddr;
use std::collections::BTreeMap;
use std::num::NonZeroU16;

use serde::{Deserialize, Serialize};

use super::digest::Digest;
use super::name::{ReleaseRef, VariantId};

/// Everything that one host should have. Sent whole; (incarnation, generation) orders it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DesiredState {
    /// Raised by an operator's explicit word when a coordinator is restored from a backup.
    pub incarnation: u64,
    /// Raised by every change for this host.
    pub generation: u64,
    pub images: Vec<DesiredImage>,
    pub containers: Vec<DesiredContainer>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DesiredImage {
    /// Digest of the artifact's index.
    pub artifact: Digest,
    pub release: ReleaseRef,
    pub variant: VariantId,
    /// The references that the engine's image shall carry; at least one.
    pub tags: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DesiredContainer {
    pub spec: ContainerSpec,
    pub phase: DesiredPhase,
    /// Raised by each `restart`: a host that has not yet restarted for this number does so once.
    pub restart_serial: u64,
    /// Raised by each `start` of one that shall run already: a host that has not yet heeded this number starts the
    /// container if it has ended, once, and leaves it alone if it runs.
    // Left out of the canonical form while it is zero, as in versions that did not have it: their digests stay the same.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub start_serial: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DesiredPhase {
    Running,
    Stopped,
}

/// One container as it shall be created. A change of any field makes another container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerSpec {
    /// The container's name in the engine: letters, digits, `_`, `.`, `-`, a letter or digit first.
    pub name: String,
    /// Digest of the artifact whose image it runs.
    pub artifact: Digest,
    pub release: ReleaseRef,
    /// The variant that this image is, for the host's own check before create.
    pub variant: VariantId,
    /// Empty: the keep-alive command, which waits for a stop signal and does nothing else.
    pub command: Vec<String>,
    pub environment: BTreeMap<String, String>,
    pub ports: Vec<PortBinding>,
    pub binds: Vec<BindMount>,
    pub gpus: GpuRequest,
    /// "uid", "uid:gid" or a name inside the image. `None`: the image's own.
    pub user: Option<String>,
    pub working_directory: Option<String>,
    /// Size of /dev/shm. Zero: the engine's default (64 MiB).
    pub shm_bytes: u64,
    pub restart_policy: RestartPolicy,
    pub privileged: bool,
    /// Namespaces shared with the host.
    pub host_namespaces: Vec<HostNamespace>,
    /// Added Linux capabilities, without "CAP_".
    pub capabilities: Vec<String>,
    pub tty: bool,
    /// Seconds between the stop signal and the kill. Zero: the engine's default (10 s).
    pub stop_grace_seconds: u32,
    /// The release was planned on terms that trust intermediate code, so the host's own check does as well.
    // Left out of the canonical form while it is false, as in versions that did not have it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub trusts_intermediate_code: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PortBinding {
    /// `None`: all addresses.
    pub host_address: Option<IpAddr>,
    pub host_port: NonZeroU16,
    pub container_port: NonZeroU16,
    pub protocol: PortProtocol,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PortProtocol {
    Tcp,
    Udp,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct BindMount {
    /// Absolute path on the host; must exist there.
    pub source: String,
    /// Absolute path in the container.
    pub target: String,
    pub read_only: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GpuRequest {
    None,
    All,
    /// At least one, "GPU-…".
    Uuids(Vec<String>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RestartPolicy {
    No,
    OnFailure {
        /// How often at most. Zero: without end.
        maximum_retries: u32,
    },
    Always,
    UnlessStopped,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HostNamespace {
    Network,
    Pid,
    Ipc,
}

impl DesiredState {
    /// SHA-256 of the state's canonical form: its JSON with the fields in the order above and no white space.
    pub fn digest(&self) -> Digest {
        canonical_digest(self)
    }
}

impl ContainerSpec {
    /// SHA-256 of the specification's canonical form. Two containers are the same one if and only if it is equal.
    pub fn digest(&self) -> Digest {
        canonical_digest(self)
    }
}

impl PortProtocol {
    /// As the engine writes it: "tcp".
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

impl HostNamespace {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Network => "network",
            Self::Pid => "pid",
            Self::Ipc => "ipc",
        }
    }
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

#[expect(
    clippy::expect_used,
    reason = "these types have string keys only, so JSON can hold every value of them"
)]
fn canonical_digest<T: Serialize>(value: &T) -> Digest {
    Digest::of(&serde_json::to_vec(value).expect("a model value is valid JSON"))
}
