//! What the imitation of NVIDIA's container runtime decides; the program is around it.

pub mod bundle;
pub mod hook;
pub mod request;
pub mod requirement;

/// What the hook is started with, after the GPU file.
pub const HOOK: &str = "prestart-hook";
