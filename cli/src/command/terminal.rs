//! The operator's own terminal, handed to a command on a host.

use std::io::{self, IsTerminal as _};

use crossterm::terminal::{disable_raw_mode, enable_raw_mode, size};
use tfleet_proto::wire;
use tfleet_proto::wire::operation_input::Input;
use tokio::io::AsyncReadExt as _;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use crate::error::Error;

const PIECE_BYTES: usize = 16 << 10;

/// Keys go to the host as they are pressed, Ctrl-C included, until this is dropped.
pub(super) struct RawMode(());

impl RawMode {
    pub(super) fn enter() -> Result<Self, Error> {
        enable_raw_mode().map_err(Error::Terminal)?;
        Ok(Self(()))
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        // The terminal is gone with its window, or it works.
        let _ = disable_raw_mode();
    }
}

pub(super) fn is_terminal() -> bool {
    io::stdin().is_terminal() && io::stdout().is_terminal()
}

pub(super) fn terminal_size() -> Result<wire::TerminalSize, Error> {
    let (columns, rows) = size().map_err(Error::Terminal)?;
    Ok(wire::TerminalSize {
        columns: columns.into(),
        rows: rows.into(),
    })
}

/// Sends standard input, and the terminal's size when it changes, until the input ends or nobody wants it.
///
/// The queue is short: a host that does not read stops us from reading.
pub(super) async fn forward(
    sender: mpsc::Sender<wire::ExecRequest>,
    follow_size: bool,
) -> Result<(), Error> {
    let mut resized = if follow_size {
        Some(signal(SignalKind::window_change()).map_err(Error::Terminal)?)
    } else {
        None
    };
    let mut stdin = tokio::io::stdin();
    let mut buffer = vec![0; PIECE_BYTES];
    loop {
        let input = tokio::select! {
            // Cancel-safe: what tokio's standard input has read stays in its buffer for the next call.
            read = stdin.read(&mut buffer) => match read.map_err(Error::Terminal)? {
                0 => Input::StdinEnd(wire::StdinEnd {}),
                count => Input::Stdin(bytes::Bytes::copy_from_slice(&buffer[..count])),
            },
            () = next_signal(resized.as_mut()) => Input::Resize(terminal_size()?),
        };
        let is_end = matches!(input, Input::StdinEnd(_));
        if sender.send(input_message(input)).await.is_err() || is_end {
            return Ok(());
        }
    }
}

async fn next_signal(signal: Option<&mut Signal>) {
    match signal {
        Some(signal) => drop(signal.recv().await),
        None => std::future::pending().await,
    }
}

fn input_message(input: Input) -> wire::ExecRequest {
    let input = wire::OperationInput { input: Some(input) };
    wire::ExecRequest {
        request: Some(wire::exec_request::Request::Input(input)),
    }
}
