//! How far a host is with what it was asked.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::desired::PortBinding;
use super::digest::Digest;
use super::failure::Failure;
use super::inventory::GpuMode;
use super::name::{ReleaseRef, VariantId};

/// How far a host is. Sent whole whenever it changes, at most a few times per second.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostStatus {
    /// The pair that the host last accepted; zero and zero before the first.
    pub incarnation: u64,
    pub generation: u64,
    /// The generation for which everything below was observed.
    pub observed_generation: u64,
    pub images: Vec<ImageStatus>,
    pub containers: Vec<ContainerStatus>,
    /// Set when the host refused a desired state, or cannot work at all (engine down).
    pub fault: Option<Failure>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageStatus {
    pub artifact: Digest,
    pub release: ReleaseRef,
    pub variant: VariantId,
    pub phase: ImagePhase,
    /// Bytes of layer content (uncompressed) that this image has in all, …
    pub content_bytes: u64,
    /// … that the engine had already, …
    pub present_bytes: u64,
    /// … and that were fetched and verified so far (kept ones included).
    pub fetched_bytes: u64,
    /// Of the fetched, bytes that the host kept of an earlier attempt or image, or made of such.
    pub kept_bytes: u64,
    /// Bytes that crossed the wire for it so far (compressed).
    pub wire_bytes: u64,
    /// Of these, bytes that came from other hosts.
    pub peer_bytes: u64,
    /// Content bytes handed to the engine so far.
    pub loaded_bytes: u64,
    pub started_at: Option<Timestamp>,
    /// Set once present.
    pub finished_at: Option<Timestamp>,
    /// With `Failed`, and with `Waiting` after a failure that will be tried again.
    pub failure: Option<Failure>,
    pub tags: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ImagePhase {
    Waiting,
    /// Fetching and loading overlap; the two counters tell them apart.
    Transferring,
    Present,
    Failed,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerStatus {
    pub name: String,
    pub phase: ContainerPhase,
    /// The engine's identifier; `None` before create.
    pub container_id: Option<String>,
    pub release: Option<ReleaseRef>,
    pub variant: Option<VariantId>,
    pub exit_code: Option<i32>,
    pub started_at: Option<Timestamp>,
    pub finished_at: Option<Timestamp>,
    pub failure: Option<Failure>,
    /// How the GPU was asked for; `None` without one.
    pub gpu_mode: Option<GpuMode>,
    pub ports: Vec<PortBinding>,
    /// The restart_serial that was last carried out.
    pub restart_serial: u64,
    pub command: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ContainerPhase {
    /// Waiting for its image, or for another try after `failure`.
    Pending,
    Created,
    Running,
    Exited,
    /// It cannot be as asked; `failure` says why. Tried again with a back-off while the cause may pass.
    Failed,
    /// It ended, and the engine starts it again by its restart policy; `exit_code` says how it ended.
    Restarting,
}
