//! The agent of tfleet: it runs on each host, reports what the host has, brings images to it and runs containers.
//!
//! It dials the coordinator, and listens for other hosts only where the owner allows it. Losing the coordinator stops
//! nothing that runs.

pub mod app;
pub mod artifact;
pub mod config;
pub mod durable;
pub mod engine;
pub mod identity;
pub mod inventory;
pub mod ledger;
pub mod link;
pub mod operations;
pub mod peers;
pub mod policy;
pub mod reconcile;
pub mod steps;
pub mod swarm;
