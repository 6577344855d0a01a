//! `tfleet-bench`: measures the real programs on real engines that are started for the run.

mod delivery;
mod report;
mod simulation;
mod speak;
mod variants;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Measure tfleet on this machine.
///
/// Engines of its own, a coordinator and agents are started for the run and are gone afterwards.
#[derive(Parser)]
#[command(name = "tfleet-bench", version)]
struct Arguments {
    #[command(subcommand)]
    benchmark: Benchmark,
}

#[derive(Subcommand)]
enum Benchmark {
    Delivery(delivery::Arguments),
    Simulation(simulation::Arguments),
    Variants(variants::Arguments),
}

/// Goals decide nothing here: a benchmark that could be run has succeeded, whatever it measured. An image that does not do what
/// its row says is no measurement.
fn main() -> ExitCode {
    let run = match &Arguments::parse().benchmark {
        Benchmark::Delivery(arguments) => delivery::run(arguments),
        Benchmark::Simulation(arguments) => {
            simulation::run(arguments);
            Ok(())
        }
        Benchmark::Variants(arguments) => variants::run(arguments),
    };
    match run {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            speak::tell(&format!("tfleet-bench: {error:#}"));
            ExitCode::FAILURE
        }
    }
}
