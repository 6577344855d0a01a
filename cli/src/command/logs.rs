//! `tfleet logs`.

use clap::Args;
use futures::stream::{self, StreamExt as _};
use tfleet_proto::wire;
use tokio::sync::mpsc;

use super::operation::{Ended, Piece, Printed, Printer, next_piece, print_all, summary};
use super::selection::{Selection, with_container};
use super::{Context, Operator};
use crate::error::{Error, ExitStatus};

/// Streams that are open at once, in all where logs are only read, and on each connection where they are followed. The
/// coordinator lets each connection have 256; more would wait for one to end, which it never does while it is followed.
const AT_ONCE: usize = 128;
const ACTION: &str = "read the logs";

const EXAMPLES: &str = "\
Without a selection the logs of every host that has the container are read.

Examples:
  tfleet logs tf
  tfleet logs -f --tail 20 tf --host t4 --host a100";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Logs {
    /// The container's name. Without a selection: on every host that has it
    container: String,
    /// Go on while the container prints
    #[arg(short, long)]
    follow: bool,
    /// Begin with the last N lines
    #[arg(long, value_name = "N")]
    tail: Option<u64>,
    /// Put the time before each line
    #[arg(short, long)]
    timestamps: bool,
    #[command(flatten)]
    selection: Selection,
}

impl Logs {
    pub(super) async fn run(self, context: &Context) -> Result<ExitStatus, Error> {
        let mut operator = context.connect().await?;
        let containers = std::slice::from_ref(&self.container);
        let hosts = with_container(&mut operator, self.selection.or_all(), containers).await?;
        let hosts: Vec<String> = hosts
            .into_iter()
            .map(|host| host.name.to_string())
            .collect();
        let logs = wire::LogsOperation {
            container: self.container,
            follow: self.follow,
            tail_lines: self.tail,
            timestamps: self.timestamps,
        };
        let printer = Printer::new(context.output.format, &hosts);
        let (pieces, arriving) = mpsc::channel::<Printed>(64);
        // Whoever follows follows every host; without that, some at a time are quick enough.
        let at_once = if self.follow { hosts.len() } else { AT_ONCE };
        let mut operators = vec![operator];
        while operators.len() < connections(at_once) {
            operators.push(context.connect().await?);
        }
        let one = |(index, host): (usize, String)| {
            let operator = &operators[index % operators.len()];
            let (mut operator, logs, pieces) = (operator.clone(), logs.clone(), pieces.clone());
            async move {
                let ended = read(&mut operator, &host, logs, pieces).await;
                (host, ended)
            }
        };
        let running =
            stream::iter(hosts.into_iter().enumerate().map(one)).buffer_unordered(at_once);
        let ended = print_all(printer, arriving, running).await?;
        let failed: Vec<_> = ended
            .into_iter()
            .filter(|(_, ended)| *ended != Ended::Exit(0))
            .collect();
        Ok(ExitStatus::all_well(
            failed.is_empty() || summary(failed, context.output.format)?,
        ))
    }
}

/// How many connections so many open streams need.
fn connections(streams: usize) -> usize {
    streams.div_ceil(AT_ONCE)
}

async fn read(
    operator: &mut Operator,
    host: &str,
    logs: wire::LogsOperation,
    pieces: mpsc::Sender<Printed>,
) -> Result<Ended, Error> {
    let request = wire::LogsRequest {
        host: host.to_owned(),
        logs: Some(logs),
    };
    let mut outputs = operator
        .logs(request)
        .await
        .map_err(Error::call(ACTION))?
        .into_inner();
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_connection_carries_more_streams_than_it_may() {
        for (streams, needed) in [(0, 0), (1, 1), (128, 1), (129, 2), (1000, 8)] {
            assert_eq!(connections(streams), needed, "{streams}");
        }
        // As the streams are dealt out, by turns.
        let dealt = |streams: usize| streams.div_ceil(connections(streams));
        assert!((1..5000).all(|streams| dealt(streams) <= AT_ONCE));
    }
}
