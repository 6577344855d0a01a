//! The coordinator: reads the fleet's inventory, plans, builds, and streams images to the hosts that dial it.

pub mod app;
pub mod artifact;
pub mod build;
pub mod bundle;
pub mod ca;
pub mod config;
pub mod distribute;
pub mod fleet;
pub mod listener;
pub mod patch;
pub mod rollout;
pub mod rpc;
pub mod store;
pub mod vault;
