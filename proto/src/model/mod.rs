//! Domain values: what the programs think in, without a word of gRPC.
//!
//! The types mirror the messages of `tfleet.v1` field by field. What may be absent is an `Option` (also where the
//! wire has an empty string for it), what is one of several is an enum, and identifiers have types of their own, so
//! that a value that exists is a valid one.

pub mod artifact;
pub mod desired;
pub mod digest;
pub mod failure;
pub mod inventory;
pub mod name;
pub mod selector;
pub mod status;
pub mod swarm;
pub mod token;

#[cfg(test)]
mod tests;
