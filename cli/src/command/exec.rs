//! `tfleet exec`.

use clap::Args;
use futures::StreamExt as _;
use futures::stream;
use tfleet_proto::wire;
use tfleet_proto::wire::exec_request::Request;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use super::container_options::environment;
use super::operation::{Ended, Piece, Printed, Printer, next_piece, print_all, summary};
use super::selection::{Selection, with_container};
use super::terminal::{RawMode, forward, is_terminal, terminal_size};
use super::{Context, Operator};
use crate::error::{Error, ExitStatus};
use crate::view::{Format, note};

/// Hosts that are spoken to at once.
const AT_ONCE: usize = 128;

const ACTION: &str = "run the command";

const EXAMPLES: &str = "\
On one host it ends with the command's own exit status; on several with 1 if it was not 0 everywhere.

Examples:
  tfleet exec tf --all -- nvidia-smi
  tfleet exec tf --where 'driver >= 535' -- python -c 'import tensorflow as tf; print(tf.__version__)'
  tfleet exec -it tf --host t4 -- bash
  tfleet exec -i tf --host t4 -- tee /tmp/copy  # < file";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Exec {
    /// The container's name. Of the selected hosts, those that have it are asked
    container: String,
    /// Hand over standard input; one host only
    #[arg(short, long)]
    pub(super) interactive: bool,
    /// Give the command a terminal; one host only
    #[arg(short, long)]
    pub(super) tty: bool,
    /// Run as UID, UID:GID, or a name inside the image
    #[arg(short, long, default_value = "", hide_default_value = true)]
    user: String,
    /// The folder to start in
    #[arg(
        short,
        long,
        value_name = "PATH",
        default_value = "",
        hide_default_value = true
    )]
    workdir: String,
    /// Set a variable
    #[arg(short, long = "env", value_name = "NAME=VALUE", value_parser = environment)]
    environment: Vec<(String, String)>,
    #[arg(last = true, required = true, value_name = "CMD")]
    pub(super) command: Vec<String>,
    #[command(flatten)]
    selection: Selection,
}

impl Exec {
    pub(super) async fn run(self, context: &Context) -> Result<ExitStatus, Error> {
        // What the command does is its own matter, so that it counts as a change.
        let selector = self.selection.required()?;
        let mut operator = context.connect().await?;
        let containers = std::slice::from_ref(&self.container);
        let hosts = with_container(&mut operator, selector, containers).await?;
        let hosts: Vec<String> = hosts
            .into_iter()
            .map(|host| host.name.to_string())
            .collect();
        let exec = wire::ExecOperation {
            container: self.container,
            command: self.command,
            tty: self.tty,
            stdin: self.interactive,
            user: self.user,
            working_directory: self.workdir,
            environment: self.environment.into_iter().collect(),
            terminal: None,
        };
        match (hosts.as_slice(), self.interactive || self.tty) {
            ([host], true) => attach(&mut operator, host, exec).await,
            (_, true) => Err(Error::Usage(format!(
                "-i and -t are for one host; {} have the container: {}; choose with --host",
                hosts.len(),
                hosts.join(", ")
            ))),
            (_, false) => everywhere(&operator, hosts, exec, context.output.format).await,
        }
    }
}

/// Runs the command on one host with our standard input, and with our terminal if it wants one.
pub(super) async fn attach(
    operator: &mut Operator,
    host: &str,
    mut exec: wire::ExecOperation,
) -> Result<ExitStatus, Error> {
    if exec.tty && is_terminal() {
        exec.terminal = Some(terminal_size()?);
    }
    let (raw, with_input) = (takes_keys(&exec), exec.stdin);
    let (sender, mut outputs) = open(operator, host, exec).await?;
    let mut printer = Printer::new(Format::Text, &[host.to_owned()]);
    // Dropped on every way out, so that the terminal is as it was before a message is printed.
    let mode = if raw { Some(RawMode::enter()?) } else { None };
    let ended = {
        let forwarding = forward(sender.clone(), raw);
        tokio::pin!(forwarding);
        let mut forwards = with_input;
        loop {
            let piece = tokio::select! {
                piece = next_piece(&mut outputs, ACTION) => piece?,
                // Its end is no end of the command, which may go on printing.
                result = &mut forwarding, if forwards => {
                    forwards = false;
                    result?;
                    continue;
                }
            };
            match piece {
                Piece::Printed(channel, bytes) => printer.print(host, channel, &bytes)?,
                Piece::Ended(ended) => break ended,
            }
        }
    };
    drop(mode);
    Ok(exit_status(ended, host))
}

/// Whether our terminal's keys go to the host as they are pressed. Without our input nobody there would get them, and
/// Ctrl-C has to end us instead.
fn takes_keys(exec: &wire::ExecOperation) -> bool {
    exec.stdin && exec.terminal.is_some()
}

fn exit_status(ended: Ended, host: &str) -> ExitStatus {
    match ended {
        Ended::Exit(code) => ExitStatus::OfCommand(u8::try_from(code).unwrap_or(u8::MAX)),
        Ended::Failed(failure) => {
            note(&format!("{host}: {failure}"));
            ExitStatus::Partial
        }
    }
}

/// Runs the command on all hosts, and lists what failed where.
async fn everywhere(
    operator: &Operator,
    hosts: Vec<String>,
    exec: wire::ExecOperation,
    format: Format,
) -> Result<ExitStatus, Error> {
    let printer = Printer::new(format, &hosts);
    let (pieces, arriving) = mpsc::channel::<Printed>(64);
    let one = |host: String| {
        let (mut operator, exec, pieces) = (operator.clone(), exec.clone(), pieces.clone());
        async move {
            let ended = run_on(&mut operator, &host, exec, pieces).await;
            (host, ended)
        }
    };
    let running = stream::iter(hosts.into_iter().map(one)).buffer_unordered(AT_ONCE);
    let mut ended = print_all(printer, arriving, running).await?;
    ended.sort_by(|(left, _), (right, _)| left.cmp(right));
    if let ([(_, Ended::Exit(code))], false) = (ended.as_slice(), format == Format::Json) {
        return Ok(ExitStatus::OfCommand(
            u8::try_from(*code).unwrap_or(u8::MAX),
        ));
    }
    Ok(ExitStatus::all_well(summary(ended, format)?))
}

async fn run_on(
    operator: &mut Operator,
    host: &str,
    exec: wire::ExecOperation,
    pieces: mpsc::Sender<Printed>,
) -> Result<Ended, Error> {
    // The sender is kept: the end of our messages would be the end of the operation.
    let (_sender, mut outputs) = open(operator, host, exec).await?;
    loop {
        match next_piece(&mut outputs, ACTION).await? {
            Piece::Ended(ended) => return Ok(ended),
            Piece::Printed(channel, bytes) => {
                if pieces
                    .send((host.to_owned(), channel, bytes))
                    .await
                    .is_err()
                {
                    return Err(Error::Cut { action: ACTION });
                }
            }
        }
    }
}

async fn open(
    operator: &mut Operator,
    host: &str,
    exec: wire::ExecOperation,
) -> Result<
    (
        mpsc::Sender<wire::ExecRequest>,
        Streaming<wire::OperationOutput>,
    ),
    Error,
> {
    let start = wire::ExecStart {
        host: host.to_owned(),
        exec: Some(exec),
    };
    let (sender, receiver) = mpsc::channel(8);
    let first = wire::ExecRequest {
        request: Some(Request::Start(start)),
    };
    // The queue has room for the first message, and its receiver is right here.
    sender
        .try_send(first)
        .map_err(|_| Error::Cut { action: ACTION })?;
    let answer = operator
        .exec(ReceiverStream::new(receiver))
        .await
        .map_err(Error::call(ACTION))?;
    Ok((sender, answer.into_inner()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_without_input_leaves_our_keys_to_us() {
        let exec = |stdin, terminal| wire::ExecOperation {
            tty: true,
            stdin,
            terminal,
            ..wire::ExecOperation::default()
        };
        let size = Some(wire::TerminalSize::default());
        assert!(takes_keys(&exec(true, size)));
        assert!(!takes_keys(&exec(false, size)), "exec -t");
        assert!(!takes_keys(&exec(true, None)), "exec -i");
    }
}
