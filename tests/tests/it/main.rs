//! Tests on real engines, with imitated GPUs. They need root, and fail without it.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod airgap;
mod build;
mod bundle;
mod commands;
mod containers;
mod delivery;
mod faults;
mod forward;
mod gpu;
mod inventory;
mod kill;
mod lab;
mod main_job;
mod memory;
mod nvml;
mod patches;
mod peers;
mod policy;
mod services;
mod terminal;
mod variants;
mod watching;
