//! Commands in containers, and their logs: an operator's stream, joined to the one that the host's agent opens.

use futures::stream;
use tfleet_proto::model::failure::Failure;
use tfleet_proto::model::name::HostName;
use tfleet_proto::wire;
use tfleet_proto::wire::exec_request::Request as FromOperator;
use tfleet_proto::wire::operation_output::Output;
use tfleet_proto::wire::start_operation::Operation;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::{Status, Streaming};
use tracing::info;

use super::declined::Declined;
use super::{Answers, OperatorService, incoming};
use crate::fleet::{ATTACH_WITHIN, OperationEnds, Operations};

impl OperatorService {
    pub(super) async fn exec(
        &self,
        mut incoming: Streaming<wire::ExecRequest>,
        by: &str,
    ) -> Result<Answers<wire::OperationOutput>, Declined> {
        let first = incoming::first(&mut incoming).await?;
        let Some(FromOperator::Start(start)) = first.and_then(|first| first.request) else {
            return Err(Declined::field("start", "must be the first message"));
        };
        let host = read_host("start.host", &start.host)?;
        let exec = start
            .exec
            .ok_or_else(|| Declined::field("start.exec", "is required"))?;
        if exec.container.is_empty() {
            return Err(Declined::field("start.exec.container", "is required"));
        }
        if exec.command.is_empty() {
            return Err(Declined::field(
                "start.exec.command",
                "needs at least one word",
            ));
        }
        info!(%host, container = exec.container, command = ?exec.command, by, "a command is to run");
        let ends = self.fleet.start_operation(&host, Operation::Exec(exec))?;
        let over = self.stop.child_token();
        self.tasks
            .spawn(pass_on(incoming, ends.input.clone(), over.clone()));
        Ok(self.output(host, ends, over))
    }

    pub(super) fn logs(
        &self,
        request: wire::LogsRequest,
    ) -> Result<Answers<wire::OperationOutput>, Declined> {
        let host = read_host("host", &request.host)?;
        let logs = request
            .logs
            .ok_or_else(|| Declined::field("logs", "is required"))?;
        if logs.container.is_empty() {
            return Err(Declined::field("logs.container", "is required"));
        }
        let ends = self.fleet.start_operation(&host, Operation::Logs(logs))?;
        Ok(self.output(host, ends, CancellationToken::new()))
    }

    fn output(
        &self,
        host: HostName,
        ends: OperationEnds,
        over: CancellationToken,
    ) -> Answers<wire::OperationOutput> {
        let output = OutputStream {
            host,
            ends,
            operations: self.fleet.operations().clone(),
            attached: false,
            _over: over.drop_guard(),
        };
        Box::pin(stream::unfold(Some(output), |output| async {
            let mut output = output?;
            match output.next().await {
                Ok(message) if is_last(&message) => Some((Ok(message), None)),
                Ok(message) => Some((Ok(message), Some(output))),
                Err(status) => Some((Err(status), None)),
            }
        }))
    }
}

/// What the operator hears. While it lives, the agent's stream does: `ends.input`, and that of what passes the operator's
/// words on, is what tells the agent that the operator is gone.
struct OutputStream {
    host: HostName,
    ends: OperationEnds,
    operations: Operations,
    attached: bool,
    /// Whoever has heard the last word may still hold its own side of the stream open.
    _over: DropGuard,
}

impl OutputStream {
    async fn next(&mut self) -> Result<wire::OperationOutput, Status> {
        while !self.attached {
            match timeout(ATTACH_WITHIN, self.ends.output.recv()).await {
                Ok(heard) => {
                    self.attached = true;
                    return self.heard(heard);
                }
                Err(_) if self.operations.give_up(&self.ends.id) => {
                    let why = format!(
                        "host {} did not take the operation up within {} s",
                        self.host,
                        ATTACH_WITHIN.as_secs()
                    );
                    let failure = Failure::new("host-silent", why)
                        .with_remedy("its agent's log on the host says what it is doing");
                    return Ok(failed(failure));
                }
                // The agent is there; the command has nothing to say yet.
                Err(_) => self.attached = true,
            }
        }
        let heard = self.ends.output.recv().await;
        self.heard(heard)
    }

    fn heard(
        &self,
        heard: Option<Result<wire::OperationOutput, Status>>,
    ) -> Result<wire::OperationOutput, Status> {
        heard.unwrap_or_else(|| {
            let why = format!("the connection to host {} was lost", self.host);
            Ok(failed(Failure::new("host-lost", why).with_remedy(
                "the command may have gone on; see `tfleet hosts` and try again",
            )))
        })
    }
}

impl Drop for OutputStream {
    fn drop(&mut self) {
        self.operations.give_up(&self.ends.id);
    }
}

/// From the operator to the agent. An operator who has nothing more to say still listens.
async fn pass_on(
    mut incoming: Streaming<wire::ExecRequest>,
    input: mpsc::Sender<wire::OperationInput>,
    stop: CancellationToken,
) {
    loop {
        // Neither a message that is still being read nor the two signals lose anything when dropped.
        let heard = tokio::select! {
            heard = incoming.message() => heard,
            () = input.closed() => return,
            () = stop.cancelled() => return,
        };
        let Ok(Some(heard)) = heard else { return };
        if let Some(FromOperator::Input(heard)) = heard.request
            && input.send(heard).await.is_err()
        {
            return;
        }
    }
}

fn is_last(message: &wire::OperationOutput) -> bool {
    matches!(
        message.output,
        Some(Output::ExitCode(_) | Output::Failure(_))
    )
}

fn failed(failure: Failure) -> wire::OperationOutput {
    wire::OperationOutput {
        output: Some(Output::Failure(failure.into())),
    }
}

fn read_host(field: &str, name: &str) -> Result<HostName, Declined> {
    name.parse()
        .map_err(|error| Declined::field(field, format!("{error}")))
}
