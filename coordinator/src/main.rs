//! `tfleet-coordinator`: serves a fleet, or issues an operator's credentials on its own machine.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use tfleet_coordinator::app::{Coordinator, Restored, issue_operator, restored};
use tfleet_coordinator::config::Config;
use tfleet_proto::allocator;
use tokio::signal::unix::{Signal, SignalKind, signal};
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
    /// Say that the data directory was restored from a backup. Hosts refuse what is older than what they accepted, until
    /// they hear from the coordinator with this word.
    Restored {
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

fn main() -> anyhow::Result<()> {
    // Before the runtime's threads, which have arenas of their own as soon as they run.
    allocator::share_among_threads();
    let runtime = tokio::runtime::Runtime::new().context("cannot start the async runtime")?;
    runtime.block_on(run())
}

async fn run() -> anyhow::Result<()> {
    let filter = EnvFilter::try_from_env("TFLEET_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false)
        .init();
    match Arguments::parse().command {
        Command::Serve { config } => {
            let (mut terminate, mut interrupt) = signals().context("cannot watch for signals")?;
            let coordinator = Coordinator::open(Config::read(&config)?).await?;
            let stop = CancellationToken::new();
            let serving = coordinator.serve(stop.clone());
            tokio::pin!(serving);
            // The coordinator goes on in the next line; signals only wait.
            tokio::select! {
                ended = &mut serving => return Ok(ended?),
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            stop.cancel();
            Ok(serving.await?)
        }
        Command::Restored { config } => {
            let config = Config::read(&config)?;
            tell(&config, restored(&config).await?);
            Ok(())
        }
        Command::Operator(OperatorCommand::Issue { name, out, config }) => {
            Ok(issue_operator(&Config::read(&config)?, &name, &out).await?)
        }
    }
}

#[expect(clippy::print_stdout, reason = "the answer is what was asked for")]
fn tell(config: &Config, done: Restored) {
    println!(
        "The state in {} was incarnation {} and is {} now: its {} hosts will take what it says, although they have \
         accepted newer.\n\
         What was asked after the backup is forgotten, also who was removed and revoked. Start the coordinator only if \
         its hosts shall go back to what they had at the backup; then repeat what is missing: `tfleet hosts rm`, \
         `tfleet operator revoke`, new tokens for hosts that enrolled later, rollouts.",
        config.data_dir.display(),
        done.before,
        done.now,
        done.hosts
    );
}

/// Taken before anything is opened, so that none is missed.
fn signals() -> std::io::Result<(Signal, Signal)> {
    Ok((
        signal(SignalKind::terminate())?,
        signal(SignalKind::interrupt())?,
    ))
}
