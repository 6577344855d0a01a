//! The contract between tfleet's coordinator, agents and operators.
//!
//! [`wire`] is what travels, generated from `tfleet/v1/*.proto`. [`model`] is what the programs think in: plain values
//! that were checked once. [`convert`] is the only way from one to the other, and [`channel`] is how a client reaches
//! a coordinator. [`allocator`] is what the long-running programs do first.

pub mod allocator;
pub mod channel;
pub mod convert;
pub mod model;

/// The generated messages, clients and servers of package `tfleet.v1`.
#[allow(clippy::all, clippy::unwrap_used, missing_docs)]
pub mod wire {
    include!("gen/tfleet.v1.rs");
}

/// The package's encoded `FileDescriptorSet`, for the reflection service.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!("gen/descriptor.bin");
