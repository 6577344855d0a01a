//! `tfleet-bench simulation`: the scheduler at work on a simulated network, to measure it against the lower bound.
//!
//! The network: chunks travel in blocks. A host's uplink sends one block after another, in turn over the chunks that it
//! is sending; rack links and downlinks take blocks first come, first served. A chunk has a bounded number of blocks under
//! way, so a slow receiver holds back its sender's chunk and not the sender. Links are therefore never idle while a
//! block could go, and shares come out near max-min fair, as with many TCP connections. Latency delays every block and
//! message; it never limits a connection's rate (windows are taken to grow to what the path needs). Messages take no
//! bandwidth.

mod bound;
mod host;
mod network;
mod report;
mod scenario;
mod schedule;
mod start;
mod table;
mod world;

#[cfg(test)]
mod tests;

use clap::Args;

pub use report::Report;
pub use scenario::Goal;
use scenario::Scenario;

use crate::speak::{say, tell};

/// Many hosts that fetch from each other, with the real scheduling code on a simulated network
#[derive(Args)]
pub struct Arguments {
    /// No more hosts than this
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(8..))]
    pub hosts: u32,
}

pub fn run(arguments: &Arguments) {
    say(&format!("\n{}", table::of(&simulated(arguments.hosts))));
}

/// Every scenario of no more hosts than that.
pub fn simulated(hosts: u32) -> Vec<Report> {
    tell("Simulating; 1,000 hosts take half a minute, 10,000 some minutes");
    let all = scenario::all().into_iter();
    all.filter(|scenario| scenario.hosts <= hosts)
        .map(|scenario| {
            tell(&format!("  {}", scenario.name));
            world::simulate(&scenario)
        })
        .collect()
}
