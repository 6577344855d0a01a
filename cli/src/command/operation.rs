//! The output of operations on hosts, as it comes: `exec` and `logs`.

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::pin::pin;

use futures::{Stream, StreamExt as _};
use serde::Serialize;
use tfleet_proto::model::failure::Failure;
use tfleet_proto::wire;
use tfleet_proto::wire::operation_output::Output;
use tokio::sync::mpsc;
use tonic::{Status, Streaming};

use crate::error::Error;
use crate::view::change::{HostResult, HostResults, Outcome};
use crate::view::{self, Format, note};

/// A line that is longer is printed in pieces.
const LONGEST_LINE_BYTES: usize = 64 << 10;

/// How an operation ended on one host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ended {
    /// The command's exit status; zero at the end of logs.
    Exit(i32),
    Failed(Failure),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Channel {
    Stdout,
    Stderr,
}

/// Prints what comes from hosts: raw for one, in lines with the host's name for several, as JSON for programs.
pub(super) struct Printer {
    form: Form,
    /// Widest host name, so that the lines below each other begin at one column.
    width: usize,
    /// What has come of the last line, by host and channel.
    partial: BTreeMap<(String, Channel), Vec<u8>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Raw,
    Prefixed,
    Json,
}

/// One line of output in the JSON form.
#[derive(Serialize)]
struct JsonLine<'a> {
    host: &'a str,
    channel: Channel,
    line: &'a str,
}

impl Printer {
    pub(super) fn new(format: Format, hosts: &[String]) -> Self {
        let form = match format {
            Format::Json => Form::Json,
            Format::Table | Format::Text if hosts.len() == 1 => Form::Raw,
            Format::Table | Format::Text => Form::Prefixed,
        };
        let width = hosts.iter().map(String::len).max().unwrap_or_default();
        Self {
            form,
            width,
            partial: BTreeMap::new(),
        }
    }

    pub(super) fn print(
        &mut self,
        host: &str,
        channel: Channel,
        bytes: &[u8],
    ) -> Result<(), Error> {
        if self.form == Form::Raw {
            return write(channel, bytes);
        }
        let key = (host.to_owned(), channel);
        let mut pending = self.partial.remove(&key).unwrap_or_default();
        pending.extend_from_slice(bytes);
        let mut rest = pending.as_slice();
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            self.line(host, channel, &rest[..end])?;
            rest = &rest[end + 1..];
        }
        if rest.len() > LONGEST_LINE_BYTES {
            self.line(host, channel, rest)?;
            rest = &[];
        }
        if !rest.is_empty() {
            self.partial.insert(key, rest.to_vec());
        }
        Ok(())
    }

    /// The last line of a host may have no end.
    pub(super) fn finish(&mut self, host: &str) -> Result<(), Error> {
        for channel in [Channel::Stdout, Channel::Stderr] {
            if let Some(line) = self.partial.remove(&(host.to_owned(), channel)) {
                self.line(host, channel, &line)?;
            }
        }
        Ok(())
    }

    fn line(&self, host: &str, channel: Channel, line: &[u8]) -> Result<(), Error> {
        let text = String::from_utf8_lossy(line);
        let text = text.trim_end_matches('\r');
        if self.form == Form::Json {
            let line = serde_json::to_string(&JsonLine {
                host,
                channel,
                line: text,
            });
            return view::write_stdout(
                &(line.map_err(|error| Error::Output(error.into()))? + "\n"),
            );
        }
        write(
            channel,
            format!("{host:width$} | {text}\n", width = self.width).as_bytes(),
        )
    }
}

fn write(channel: Channel, bytes: &[u8]) -> Result<(), Error> {
    let written = match channel {
        Channel::Stdout => {
            let mut stdout = io::stdout().lock();
            stdout.write_all(bytes).and_then(|()| stdout.flush())
        }
        Channel::Stderr => io::stderr().lock().write_all(bytes),
    };
    written.map_err(Error::Output)
}

/// The next piece of an operation: what it printed, or how it ended.
pub(super) enum Piece {
    Printed(Channel, bytes::Bytes),
    Ended(Ended),
}

/// Reads the next piece. Cancel-safe, as the stream is.
pub(super) async fn next_piece(
    outputs: &mut Streaming<wire::OperationOutput>,
    action: &'static str,
) -> Result<Piece, Error> {
    loop {
        let message = outputs.message().await.map_err(Error::call(action))?;
        let output = message.ok_or(Error::Cut { action })?.output;
        return Ok(match output {
            Some(Output::Stdout(bytes)) => Piece::Printed(Channel::Stdout, bytes),
            Some(Output::Stderr(bytes)) => Piece::Printed(Channel::Stderr, bytes),
            Some(Output::ExitCode(code)) => Piece::Ended(Ended::Exit(code)),
            Some(Output::Failure(failure)) => Piece::Ended(Ended::Failed(failure.try_into()?)),
            Some(Output::OperationId(_)) | None => continue,
        });
    }
}

/// What a host printed, on which channel.
pub(super) type Printed = (String, Channel, bytes::Bytes);

/// Prints what arrives, until every operation has ended; tells how each did, in the order in which they ended. Pieces of all
/// hosts meet in one short queue: who prints fast waits for the terminal.
pub(super) async fn print_all(
    mut printer: Printer,
    mut arriving: mpsc::Receiver<Printed>,
    operations: impl Stream<Item = (String, Result<Ended, Error>)>,
) -> Result<Vec<(String, Ended)>, Error> {
    let mut operations = pin!(operations);
    let mut ended = Vec::new();
    loop {
        tokio::select! {
            biased;
            // Both are cancel-safe. What has arrived is printed before its host's end is noted.
            Some((host, channel, bytes)) = arriving.recv() => printer.print(&host, channel, &bytes)?,
            next = operations.next() => match next {
                Some((host, result)) => {
                    while let Ok((host, channel, bytes)) = arriving.try_recv() {
                        printer.print(&host, channel, &bytes)?;
                    }
                    printer.finish(&host)?;
                    ended.push((host, as_result(result)?));
                }
                None => return Ok(ended),
            },
        }
    }
}

/// One host's trouble is that host's result, whatever it was; only our own output ends the whole command.
fn as_result(ended: Result<Ended, Error>) -> Result<Ended, Error> {
    match ended {
        Err(error @ Error::Output(_)) => Err(error),
        Err(error) => {
            let why = error.why().unwrap_or_else(|| error.to_string());
            let failure = Failure::new(code_of(&error), why);
            Ok(Ended::Failed(match error.remedy() {
                Some(remedy) => failure.with_remedy(remedy),
                None => failure,
            }))
        }
        ended => ended,
    }
}

fn code_of(error: &Error) -> &'static str {
    let status = match error {
        Error::Call { source, .. } => Some(Status::code(source)),
        _ => None,
    };
    match status {
        Some(tonic::Code::NotFound) => "not-found",
        Some(tonic::Code::Unavailable) => "not-connected",
        _ => "operation-failed",
    }
}

/// How it ended on each host, for more than one: a table beside the output, which is on standard output already.
pub(super) fn summary(ended: Vec<(String, Ended)>, format: Format) -> Result<bool, Error> {
    let result = |(host, ended): (String, Ended)| HostResult {
        host,
        variant: None,
        outcome: match ended {
            Ended::Exit(0) => Outcome::Done {
                detail: "exit status 0".to_owned(),
            },
            Ended::Exit(code) => Outcome::Failed {
                failure: Failure::new("exit-status", format!("exit status {code}")),
            },
            Ended::Failed(failure) => Outcome::Failed { failure },
        },
    };
    let results = HostResults(ended.into_iter().map(result).collect());
    let well = results.all_well();
    match format {
        Format::Json => {
            for result in &results.0 {
                let line =
                    serde_json::to_string(result).map_err(|error| Error::Output(error.into()))?;
                view::write_stdout(&(line + "\n"))?;
            }
        }
        Format::Table | Format::Text => {
            for result in &results.0 {
                if let Outcome::Failed { failure } = &result.outcome {
                    note(&format!("{}: {failure}", result.host));
                }
            }
            let good = results
                .0
                .iter()
                .filter(|result| matches!(result.outcome, Outcome::Done { .. }))
                .count();
            if results.0.len() > 1 {
                note(&format!(
                    "{good} of {} hosts ended with exit status 0",
                    results.0.len()
                ));
            }
        }
    }
    Ok(well)
}
