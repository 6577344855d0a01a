//! `tfleet-coordinator`: serves a fleet, or issues an operator's credentials on its own machine.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use tfleet_coordinator::app::{Coordinator, issue_operator};
use tfleet_coordinator::config::Config;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

/// Reads a fleet's inventory, plans and builds its images, and streams them to the hosts that dial in.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve the fleet until a SIGTERM or SIGINT.
    Serve {
        #[arg(long, default_value = "/etc/tfleet/coordinator.toml")]
        config: PathBuf,
    },
    /// Operators' credentials, for whoever may read the data directory.
    #[command(subcommand)]
    Operator(OperatorCommand),
}

#[derive(Subcommand)]
enum OperatorCommand {
    /// Write the credentials of a new operator to a file that only its owner can read.
    Issue {
        name: String,
        #[arg(long)]
        out: PathBuf,
        #[arg(long, default_value = "/etc/tfleet/coordinator.toml")]
        config: PathBuf,
    },
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let filter = EnvFilter::try_from_env("TFLEET_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false)
        .init();
    match Arguments::parse().command {
        Command::Serve { config } => {
            let stop = stop_signal().context("cannot watch for signals")?;
            let coordinator = Coordinator::open(Config::read(&config)?).await?;
            Ok(coordinator.serve(stop).await?)
        }
        Command::Operator(OperatorCommand::Issue { name, out, config }) => {
            Ok(issue_operator(&Config::read(&config)?, &name, &out).await?)
        }
    }
}

fn stop_signal() -> std::io::Result<CancellationToken> {
    let stop = CancellationToken::new();
    let (mut terminate, mut interrupt) = (
        signal(SignalKind::terminate())?,
        signal(SignalKind::interrupt())?,
    );
    let asked = stop.clone();
    tokio::spawn(async move {
        // Both only wait.
        tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
        asked.cancel();
    });
    Ok(stop)
}
