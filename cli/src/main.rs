//! `tfleet`: parses the command line, runs one command, exits with its status.

use std::process::ExitCode;

use clap::Parser as _;
use tfleet::command::{self, CommandLine};

fn main() -> anyhow::Result<ExitCode> {
    let line = CommandLine::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let status = runtime.block_on(command::run(line));
    // A reader of standard input blocks its thread until a key is pressed; nobody waits for that.
    runtime.shutdown_background();
    Ok(status.into())
}
