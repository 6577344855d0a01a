//! Between the contract's words for operations and the engine's.

use futures::{Stream, StreamExt};
use tfleet_proto::wire::operation_input::Input;
use tfleet_proto::wire::operation_output;
use tfleet_proto::wire::{self, ExecOperation, LogsOperation};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use crate::engine::{ExecCommand, ExecInput, LogsRequest, Output, TerminalSize};

pub(super) fn exec_command(exec: ExecOperation) -> ExecCommand {
    ExecCommand {
        command: exec.command,
        tty: exec.tty,
        stdin: exec.stdin,
        user: some(exec.user),
        working_directory: some(exec.working_directory),
        environment: exec.environment.into_iter().collect(),
        terminal: exec.terminal.map(terminal_size),
    }
}

pub(super) fn logs_request(logs: LogsOperation) -> LogsRequest {
    LogsRequest {
        follow: logs.follow,
        tail_lines: logs.tail_lines,
        timestamps: logs.timestamps,
    }
}

pub(super) fn exec_input(input: mpsc::Receiver<Input>) -> impl Stream<Item = ExecInput> + Send {
    ReceiverStream::new(input).map(|piece| match piece {
        Input::Stdin(bytes) => ExecInput::Stdin(bytes),
        Input::StdinEnd(_) => ExecInput::StdinEnd,
        Input::Resize(size) => ExecInput::Resize(terminal_size(size)),
    })
}

pub(super) fn wire_output(piece: Output) -> operation_output::Output {
    match piece {
        Output::Stdout(bytes) => operation_output::Output::Stdout(bytes),
        Output::Stderr(bytes) => operation_output::Output::Stderr(bytes),
    }
}

/// No terminal is larger than the kernel's 16 bits can say.
fn terminal_size(size: wire::TerminalSize) -> TerminalSize {
    let most = |cells: u32| u16::try_from(cells).unwrap_or(u16::MAX);
    TerminalSize {
        columns: most(size.columns),
        rows: most(size.rows),
    }
}

fn some(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}
