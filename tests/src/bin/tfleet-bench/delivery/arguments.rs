//! What can be typed.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// Delivery of an image against every other way to move the same image
#[derive(Args)]
pub struct Arguments {
    /// How often everything is measured
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub rounds: u32,
    /// Deliver a generated image with a layer of 1.2 GB, instead of building TensorFlow
    #[arg(long)]
    pub small: bool,
    /// The TensorFlow to build, for CPU
    #[arg(
        long,
        value_name = "SPECIFIER",
        default_value = "==2.15.1",
        conflicts_with = "small"
    )]
    pub tensorflow: String,
    /// Measure this alone; may be given more than once
    #[arg(long, value_enum, value_name = "PART")]
    pub only: Vec<Only>,
    /// Where the numbers are written as JSON
    #[arg(
        long,
        value_name = "FILE",
        default_value = "target/bench/delivery.json"
    )]
    pub report: PathBuf,
}

/// What can be measured by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Only {
    /// One host, against every other way
    OneHost,
    /// A patch release, for a host that has the one before
    Patch,
    /// A stream without engines, against bare TLS and a registry
    Stream,
    /// An agent's start with a full cache
    ColdStart,
    /// Eight hosts behind limited links
    EightHosts,
    /// Many hosts, simulated
    Simulated,
}

impl Arguments {
    pub fn measures(&self, part: Only) -> bool {
        self.only.is_empty() || self.only.contains(&part)
    }
}
