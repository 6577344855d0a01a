//! One operation, from attaching its stream to its last word.

use std::sync::Arc;
use std::time::Duration;

use tfleet_proto::model::failure::Failure;
use tfleet_proto::model::status::HostStatus;
use tfleet_proto::wire;
use tfleet_proto::wire::operation_input::Input;
use tfleet_proto::wire::operation_output::Output;
use tfleet_proto::wire::session_client::SessionClient;
use tfleet_proto::wire::start_operation::Operation as Kind;
use tfleet_proto::wire::{OperationInput, OperationOutput};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tonic::transport::Channel;
use tracing::{debug, info, warn};

use crate::engine::Engine;
use crate::policy::Policy;

use super::translation::{exec_command, exec_input, logs_request, wire_output};

/// Pieces on their way, in each direction: the operator's pace is the container's.
const PIECES: usize = 8;
/// How long the coordinator may take to read the last word.
const LAST_WORD: Duration = Duration::from_secs(30);

pub(super) struct Operation {
    pub id: String,
    pub kind: Option<Kind>,
    pub engine: Engine,
    pub policy: Arc<Policy>,
    pub status: Arc<HostStatus>,
    pub channel: Channel,
    pub has_room: bool,
}

impl Operation {
    pub async fn run(self) {
        let id = self.id.clone();
        let (output, outgoing) = mpsc::channel(PIECES);
        // The receiver is in our hand, so there is room for the first message.
        let _ = output.try_send(Output::OperationId(id.clone()));
        let outgoing = ReceiverStream::new(outgoing).map(|output| OperationOutput {
            output: Some(output),
        });
        let mut client = SessionClient::new(self.channel.clone());
        let mut incoming = match client.attach(outgoing).await {
            Ok(response) => response.into_inner(),
            Err(status) => {
                warn!(
                    operation = id,
                    reason = status.message(),
                    "the coordinator does not take the operation's stream"
                );
                return;
            }
        };
        let Some(last) = self.outcome(&mut incoming, &output).await else {
            debug!(operation = id, "the operator is gone");
            return;
        };
        let _ = output.send(last).await;
        drop(output);
        // Dropping the incoming half would reset the stream, and with it what the coordinator has not read yet.
        let read_out = async { while let Ok(Some(_)) = incoming.message().await {} };
        let _ = timeout(LAST_WORD, read_out).await;
    }

    /// The operation's last word; `None` if the operator left before it.
    async fn outcome(
        self,
        incoming: &mut Streaming<OperationInput>,
        output: &mpsc::Sender<Output>,
    ) -> Option<Output> {
        let (input, received) = mpsc::channel(PIECES);
        tokio::select! {
            result = self.carry_out(received, output.clone()) => Some(match result {
                Ok(exit_code) => Output::ExitCode(exit_code),
                Err(failure) => Output::Failure(wire::Failure::from(failure)),
            }),
            // What is dropped below was for an operator who is gone, or for an operation that is over.
            () = pass_input_on(incoming, input) => None,
            () = output.closed() => None,
        }
    }

    async fn carry_out(
        self,
        input: mpsc::Receiver<Input>,
        output: mpsc::Sender<Output>,
    ) -> Result<i32, Failure> {
        if !self.has_room {
            return Err(Failure::new(
                "too-many-operations",
                "this host is busy with as many operations as it takes",
            )
            .with_remedy("try again when some of them have ended"));
        }
        match self.kind {
            Some(Kind::Exec(exec)) => {
                self.policy
                    .check_exec()
                    .map_err(|refusal| refusal.failure())?;
                let id = container_id(&self.status, &exec.container)?;
                info!(operation = self.id, container = exec.container, command = ?exec.command, "an operator runs a command");
                let (command, input) = (exec_command(exec), exec_input(input));
                let (written, pieces) = mpsc::channel(PIECES);
                // Each side ends when the other has: the command with its output, or the operator by leaving.
                let (ended, ()) = tokio::join!(
                    self.engine.exec(&id, &command, input, written),
                    pass_output_on(pieces, output)
                );
                let exit_code = ended.map_err(|error| error.failure())?;
                exit_code.ok_or_else(|| {
                    Failure::new(
                        "exit-code-unknown",
                        "the engine does not tell how the command ended",
                    )
                })
            }
            Some(Kind::Logs(logs)) => {
                let id = container_id(&self.status, &logs.container)?;
                let (written, pieces) = mpsc::channel(PIECES);
                let (ended, ()) = tokio::join!(
                    self.engine.logs(&id, logs_request(logs), written),
                    pass_output_on(pieces, output)
                );
                ended.map(|()| 0).map_err(|error| error.failure())
            }
            None => Err(Failure::new(
                "operation-unknown",
                "this host's agent does not know such an operation",
            )
            .with_remedy("upgrade the agent")),
        }
    }
}

/// Passes on what the operator sends; ends when the operator is gone. What nobody wants any more is thrown away.
async fn pass_input_on(incoming: &mut Streaming<OperationInput>, input: mpsc::Sender<Input>) {
    while let Ok(Some(message)) = incoming.message().await {
        if let Some(piece) = message.input {
            let _ = input.send(piece).await;
        }
    }
}

/// Ends when there is nothing more, or when nobody takes it.
async fn pass_output_on(
    mut pieces: mpsc::Receiver<crate::engine::Output>,
    output: mpsc::Sender<Output>,
) {
    while let Some(piece) = pieces.recv().await {
        if output.send(wire_output(piece)).await.is_err() {
            return;
        }
    }
}

/// Only containers that the reconciler knows as the fleet's can be looked into.
fn container_id(status: &HostStatus, name: &str) -> Result<String, Failure> {
    status
        .containers
        .iter()
        .find(|container| container.name == name)
        .and_then(|container| container.container_id.clone())
        .ok_or_else(|| {
            Failure::new(
                "container-missing",
                format!("this fleet has no container named {name} on this host"),
            )
            .with_remedy("see `tfleet ps` for what it has")
        })
}
