//! The program `tfleet-agent`: its life from the configuration to the last task.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::{Parser, Subcommand, ValueEnum};
use tfleet_agent::app;
use tfleet_agent::config::Config;
use tfleet_agent::engine::Engine;
use tfleet_agent::identity::{self, IdentityFolder};
use tfleet_agent::inventory::Inspector;
use tfleet_proto::allocator;
use tfleet_proto::model::inventory::Inventory;
use tfleet_proto::model::token::Token;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

/// Reports what a host has, brings images to it and runs containers, as its fleet's coordinator asks and its owner's
/// policy allows.
#[derive(Parser)]
#[command(version, max_term_width = 100)]
struct Arguments {
    /// How log lines look on standard error
    #[arg(long, value_enum, default_value = "text", global = true)]
    log_format: LogFormat,
    #[command(subcommand)]
    command: Command,
}

#[derive(Clone, Copy, ValueEnum)]
enum LogFormat {
    Text,
    Json,
}

#[derive(Subcommand)]
enum Command {
    /// Run the agent until it is told to stop (SIGTERM or Ctrl-C); containers go on
    Run {
        /// The configuration
        #[arg(long, default_value = "/etc/tfleet/agent.toml")]
        config: PathBuf,
    },
    /// Trade a one-use token for this host's certificate
    #[command(after_help = "Example:\n  tfleet-agent enrol --token \"$(cat token)\"")]
    Enrol {
        /// The configuration
        #[arg(long, default_value = "/etc/tfleet/agent.toml")]
        config: PathBuf,
        /// What `tfleet token create NAME` printed
        #[arg(long)]
        token: String,
    },
    /// Show what this host has, without a coordinator
    Inventory {
        /// The configuration
        #[arg(long, default_value = "/etc/tfleet/agent.toml")]
        config: PathBuf,
        #[arg(long, value_enum, default_value = "text")]
        output: OutputFormat,
    },
}

#[derive(Clone, Copy, ValueEnum)]
enum OutputFormat {
    Text,
    Json,
}

#[expect(
    clippy::print_stderr,
    reason = "the last words of a program go to standard error"
)]
fn main() -> ExitCode {
    allocator::share_among_threads();
    let arguments = Arguments::parse();
    match start_log(arguments.log_format).and_then(|()| carry_out(arguments.command)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tfleet-agent: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn carry_out(command: Command) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Runtime::new().context("cannot start the async runtime")?;
    match command {
        Command::Run { config } => runtime.block_on(run(&config)),
        Command::Enrol { config, token } => runtime.block_on(enrol(&config, &token)),
        Command::Inventory { config, output } => runtime.block_on(inventory(&config, output)),
    }
}

async fn run(config: &Path) -> anyhow::Result<()> {
    let config = Config::load(config)?;
    let stop = CancellationToken::new();
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
    let told_to_stop = async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping; what runs on this host goes on");
        stop.cancel();
        std::future::pending::<()>().await;
    };
    tokio::select! {
        outcome = app::run(config, stop.clone()) => Ok(outcome?),
        () = told_to_stop => Ok(()),
    }
}

async fn enrol(config: &Path, token: &str) -> anyhow::Result<()> {
    let config = Config::load(config)?;
    let token: Token = token.parse()?;
    let folder = IdentityFolder::open(&config.identity_folder())?;
    let _claim = folder.claim()?;
    let credentials = identity::enrol(&folder, &config.enrolment, &token).await?;
    tracing::info!(host = %credentials.host, until = %credentials.not_after, "enrolled");
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the inventory is what was asked for")]
async fn inventory(config: &Path, output: OutputFormat) -> anyhow::Result<()> {
    let config = Config::load(config)?;
    let engine =
        Engine::connect(&config.engine)?.with_containerd_root(config.containerd_root.as_deref());
    let inventory = Inspector::new(engine, config.labels).inspect().await;
    match output {
        OutputFormat::Json => {
            println!(
                "{}",
                serde_json::to_string_pretty(&inventory)
                    .context("cannot write the inventory as JSON")?
            );
        }
        OutputFormat::Text => print!("{}", told(&inventory)),
    }
    Ok(())
}

/// What matters most, a line each; `--output json` has everything.
fn told(inventory: &Inventory) -> String {
    let unknown = || "unknown".to_owned();
    let machine = &inventory.machine;
    let mut lines = vec![
        format!(
            "machine   {} {}",
            machine.architecture,
            machine.distribution.clone().unwrap_or_else(unknown)
        ),
        match &inventory.driver {
            None => "driver    none".to_owned(),
            Some(driver) => {
                let cuda = driver.cuda_version.clone().unwrap_or_else(unknown);
                format!("driver    {}, CUDA {cuda}", driver.version)
            }
        },
    ];
    lines.extend(
        inventory
            .gpus
            .iter()
            .map(|gpu| format!("gpu {}     {} ({})", gpu.index, gpu.name, gpu.uuid)),
    );
    lines.push(match (&inventory.engine.version, &inventory.engine.fault) {
        (Some(version), None) => format!("engine    {version} at {}", inventory.engine.endpoint),
        (_, Some(fault)) => format!("engine    {fault}"),
        (None, None) => format!("engine    at {}", inventory.engine.endpoint),
    });
    let modes: Vec<String> = inventory
        .gpu_modes
        .iter()
        .map(ToString::to_string)
        .collect();
    lines.push(format!(
        "gpu modes {}",
        if modes.is_empty() {
            "none".to_owned()
        } else {
            modes.join(", ")
        }
    ));
    let faults = inventory
        .driver
        .iter()
        .filter_map(|driver| driver.fault.as_ref());
    let faults = faults.chain(inventory.gpus.iter().filter_map(|gpu| gpu.fault.as_ref()));
    lines.extend(faults.map(|fault| format!("fault     {fault}")));
    lines.extend(
        inventory
            .warnings
            .iter()
            .map(|warning| format!("warning   {warning}")),
    );
    lines.join("\n") + "\n"
}

/// `TFLEET_LOG` holds filter directives, such as `debug` or `tfleet_agent::link=trace`.
fn start_log(format: LogFormat) -> anyhow::Result<()> {
    let filter = EnvFilter::builder()
        .with_default_directive(LevelFilter::INFO.into())
        .with_env_var("TFLEET_LOG")
        .from_env()
        .context("TFLEET_LOG cannot be understood")?;
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    match format {
        LogFormat::Text => log.init(),
        LogFormat::Json => log.json().init(),
    }
    Ok(())
}
