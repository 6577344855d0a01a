//! A command in a running container.

use std::collections::BTreeMap;
use std::time::Duration;

use bollard::Docker;
use bollard::container::LogOutput;
use bollard::exec::{ResizeExecOptions, StartExecOptions, StartExecResults};
use bollard::models::ExecConfig;
use bytes::Bytes;
use futures::{Stream, StreamExt as _};
use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};
use tracing::debug;

use super::{Engine, EngineError};

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExecCommand {
    /// At least one word.
    pub command: Vec<String>,
    pub tty: bool,
    pub stdin: bool,
    pub user: Option<String>,
    pub working_directory: Option<String>,
    pub environment: BTreeMap<String, String>,
    /// The terminal's size at the start, with `tty`.
    pub terminal: Option<TerminalSize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TerminalSize {
    pub columns: u16,
    pub rows: u16,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExecInput {
    Stdin(Bytes),
    StdinEnd,
    Resize(TerminalSize),
}

/// What a container wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// With a terminal everything comes here.
    Stdout(Bytes),
    Stderr(Bytes),
}

/// How long a command's end is waited for once its output has ended.
const AFTER_OUTPUT: Duration = Duration::from_secs(5);
const LOOK_AGAIN: Duration = Duration::from_millis(50);

impl Engine {
    /// Runs a command and gives its exit code once it has ended. Ends early, with no code, when nobody listens any more:
    /// the command then goes on, as the engine cannot end it.
    pub async fn exec(
        &self,
        id: &str,
        command: &ExecCommand,
        input: impl Stream<Item = ExecInput> + Send,
        output: mpsc::Sender<Output>,
    ) -> Result<Option<i32>, EngineError> {
        let docker = self.lasting().await?;
        let made = self
            .ask("prepare a command", docker.create_exec(id, config(command)))
            .await?;
        let options = StartExecOptions {
            detach: false,
            tty: command.tty,
            output_capacity: Some(32 << 10),
        };
        let started = self
            .ask("run a command", docker.start_exec(&made.id, Some(options)))
            .await?;
        let StartExecResults::Attached {
            output: mut written,
            input: stdin,
        } = started
        else {
            return Err(EngineError::Incomplete {
                operation: "run a command",
                what: "a connection to the command",
            });
        };
        let feed = self.feed(
            &made.id,
            command.terminal.filter(|_| command.tty),
            input,
            stdin,
        );
        tokio::pin!(feed);
        let mut fed = false;
        loop {
            tokio::select! {
                // A piece that was taken is passed on before the next wait; the feed keeps its place between polls.
                piece = written.next() => match piece {
                    Some(piece) => {
                        let piece = piece.map_err(|error| self.failed("pass on what a command wrote", error))?;
                        if output.send(Output::from(piece)).await.is_err() {
                            return Ok(None);
                        }
                    }
                    None => break,
                },
                () = &mut feed, if !fed => fed = true,
                () = output.closed() => return Ok(None),
            }
        }
        self.exit_code(&docker, &made.id).await
    }

    /// What a command wrote may end a moment before the engine knows that the command has ended. One that closed its
    /// output and goes on has no exit code.
    async fn exit_code(&self, docker: &Docker, exec_id: &str) -> Result<Option<i32>, EngineError> {
        let deadline = Instant::now() + AFTER_OUTPUT;
        loop {
            let ended = self
                .ask("tell how a command ended", docker.inspect_exec(exec_id))
                .await?;
            if ended.running != Some(true) || Instant::now() >= deadline {
                return Ok(ended.exit_code.and_then(|code| i32::try_from(code).ok()));
            }
            sleep(LOOK_AGAIN).await;
        }
    }

    /// Passes input on until it ends. A command that does not read any more is no error: it ends by itself, and its exit
    /// code tells.
    async fn feed(
        &self,
        exec_id: &str,
        terminal: Option<TerminalSize>,
        input: impl Stream<Item = ExecInput>,
        mut stdin: impl AsyncWrite + Unpin,
    ) {
        if let Some(size) = terminal {
            self.resize(exec_id, size).await;
        }
        tokio::pin!(input);
        while let Some(piece) = input.next().await {
            let written = match piece {
                ExecInput::Stdin(bytes) => match stdin.write_all(&bytes).await {
                    Ok(()) => stdin.flush().await,
                    Err(error) => Err(error),
                },
                ExecInput::StdinEnd => stdin.shutdown().await,
                ExecInput::Resize(size) => {
                    self.resize(exec_id, size).await;
                    Ok(())
                }
            };
            if let Err(error) = written {
                debug!(%error, "a command does not take its input any more");
            }
        }
        // The connection stays open both ways until the command ends.
        std::future::pending().await
    }

    /// A terminal of the wrong size is no reason to end a command.
    async fn resize(&self, exec_id: &str, size: TerminalSize) {
        let options = ResizeExecOptions {
            height: size.rows,
            width: size.columns,
        };
        if let Err(error) = self.docker.resize_exec(exec_id, options).await {
            debug!(%error, "a terminal keeps its size");
        }
    }
}

fn config(command: &ExecCommand) -> ExecConfig {
    let environment = command
        .environment
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    ExecConfig {
        attach_stdin: Some(command.stdin),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        tty: Some(command.tty),
        cmd: Some(command.command.clone()),
        env: Some(environment),
        user: command.user.clone(),
        working_dir: command.working_directory.clone(),
        ..ExecConfig::default()
    }
}

impl From<LogOutput> for Output {
    fn from(piece: LogOutput) -> Self {
        match piece {
            LogOutput::StdErr { message } => Self::Stderr(message),
            LogOutput::StdOut { message }
            | LogOutput::StdIn { message }
            | LogOutput::Console { message } => Self::Stdout(message),
        }
    }
}
