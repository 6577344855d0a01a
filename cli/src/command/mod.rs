//! The command line: what may be typed, and which file does it.

mod agent;
mod build;
mod compat;
mod completions;
mod container_options;
mod exec;
mod fleet;
mod hosts;
mod image;
mod lifecycle;
mod logs;
mod operation;
mod operator;
mod plan;
mod ps;
mod release;
mod rollout;
mod run;
mod schema;
mod selection;
mod settle;
mod terminal;
mod token;
mod transfers;
mod vault;
mod verdict;

#[cfg(test)]
mod tests;

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use tfleet_proto::wire::operator_client::OperatorClient;
use tonic::transport::Channel;

use crate::client;
use crate::error::{Error, ExitStatus};
use crate::view::{self, Format, Output};

const EXIT_STATUS: &str = "\
Exit status:
  0  everything went well
  1  carried out, but some hosts or variants failed or are pending
  2  the command line or an input cannot be understood
  3  the coordinator cannot be reached, or does not accept our certificate
  4  no such host, release, container or operator
  5  refused: something has to be done first; the message says what
  6  anything else
  `tfleet exec` on one host ends with the command's own status.

Examples:
  tfleet hosts
  tfleet plan train --tensorflow '>=2.14,<2.16' --all
  tfleet compat --driver 470.82.01 --gpu 'Tesla T4'
  tfleet run train --name tf --all -p 8888:8888
  tfleet exec -it tf --host t4 -- bash";

/// The right TensorFlow image on every GPU host of a fleet whose drivers differ.
#[derive(Debug, Parser)]
#[command(name = "tfleet", version, after_help = EXIT_STATUS, max_term_width = 110)]
pub struct CommandLine {
    /// The operator's credentials; without it ~/.config/tfleet/credentials.toml, then /var/lib/tfleet/admin.toml
    #[arg(long, global = true, env = "TFLEET_CREDENTIALS", value_name = "FILE")]
    credentials: Option<PathBuf>,
    /// The form of the result on standard output
    #[arg(long, global = true, value_enum, default_value_t, value_name = "FORM")]
    output: Format,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Which hosts there are, and what they have
    Hosts(hosts::Hosts),
    /// Let new hosts in
    #[command(subcommand)]
    Token(token::Token),
    /// Certificates of operators
    #[command(subcommand)]
    Operator(operator::Operators),
    /// What a release would mean for the fleet, or for hosts in a file; changes nothing
    Plan(Box<plan::Plan>),
    /// What one driver and one GPU can do; needs no coordinator
    Compat(Box<compat::Compat>),
    /// The JSON Schema of what plan and compat read and print
    Schema(schema::Schema),
    /// Named sets of images, one for each variant
    #[command(subcommand)]
    Release(release::Release),
    /// Lock and build every variant of a release
    Build(build::Build),
    /// Bring a release's images to hosts
    #[command(subcommand)]
    Rollout(rollout::Rollout),
    /// Images on their way to hosts: how far, how fast, and from where
    Transfers(transfers::Transfers),
    /// Images that others built
    #[command(subcommand)]
    Image(image::Image),
    /// Bases to build on
    #[command(subcommand)]
    Base(image::Base),
    /// What can be built again with no network, and bundles for sites without one
    #[command(subcommand)]
    Vault(vault::Vault),
    /// Run a container of a release on hosts
    Run(Box<run::Run>),
    /// Start containers that were stopped
    #[command(after_help = lifecycle::START)]
    Start(lifecycle::Containers),
    /// Stop containers; they stay, stopped
    #[command(after_help = lifecycle::STOP)]
    Stop(lifecycle::Containers),
    /// Stop and start containers
    #[command(after_help = lifecycle::RESTART)]
    Restart(lifecycle::Containers),
    /// Stop and remove containers
    #[command(after_help = lifecycle::REMOVE)]
    Rm(lifecycle::Containers),
    /// Which containers there are
    Ps(ps::Ps),
    /// What containers printed
    Logs(logs::Logs),
    /// Run a command inside a container, on one host or many
    Exec(exec::Exec),
    /// Getting the agent onto hosts
    #[command(subcommand)]
    Agent(agent::Agent),
    /// The coordinator: version, hosts, disk
    #[command(after_help = fleet::EXAMPLES)]
    Fleet,
    /// A completion script for a shell
    Completions(completions::Completions),
}

/// The channel that every command speaks through. Cheap to clone.
type Operator = OperatorClient<Channel>;

/// What every command gets besides its own arguments.
struct Context {
    credentials: Option<PathBuf>,
    output: Output,
}

impl Context {
    async fn connect(&self) -> Result<Operator, Error> {
        client::connect(self.credentials.as_deref()).await
    }
}

/// Carries the command out and reports its error.
pub async fn run(line: CommandLine) -> ExitStatus {
    let context = Context {
        credentials: line.credentials,
        output: Output::to_stdout(line.output),
    };
    match line.command.run(&context).await {
        Ok(status) => status,
        Err(Error::Output(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => {
            ExitStatus::Ok
        }
        Err(error) => {
            view::report(&error);
            error.exit_status()
        }
    }
}

impl Command {
    async fn run(self, context: &Context) -> Result<ExitStatus, Error> {
        match self {
            Self::Hosts(command) => command.run(context).await,
            Self::Token(command) => command.run(context).await,
            Self::Operator(command) => command.run(context).await,
            Self::Plan(command) => command.run(context).await,
            Self::Compat(command) => command.run(context),
            Self::Schema(command) => command.run(),
            Self::Release(command) => command.run(context).await,
            Self::Build(command) => command.run(context).await,
            Self::Rollout(command) => command.run(context).await,
            Self::Transfers(command) => command.run(context).await,
            Self::Image(command) => command.run(context).await,
            Self::Base(command) => command.run(context).await,
            Self::Vault(command) => command.run(context).await,
            Self::Run(command) => command.run(context).await,
            Self::Start(command) => command.start(context).await,
            Self::Stop(command) => command.stop(context).await,
            Self::Restart(command) => command.restart(context).await,
            Self::Rm(command) => command.remove(context).await,
            Self::Ps(command) => command.run(context).await,
            Self::Logs(command) => command.run(context).await,
            Self::Exec(command) => command.run(context).await,
            Self::Agent(command) => command.run(context).await,
            Self::Fleet => fleet::run(context).await,
            Self::Completions(command) => command.run(),
        }
    }
}
