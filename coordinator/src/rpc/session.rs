//! The stream that each host holds open, and the streams of its operations.

mod hello;
mod version;

use std::pin::Pin;
use std::time::Duration;

use futures::{Stream, StreamExt as _};
use tfleet_proto::model::desired::DesiredState;
use tfleet_proto::model::inventory::Inventory;
use tfleet_proto::model::name::HostName;
use tfleet_proto::model::status::HostStatus;
use tfleet_proto::wire::agent_message::Message as FromAgent;
use tfleet_proto::wire::coordinator_message::Message as ToAgent;
use tfleet_proto::wire::operation_output::Output;
use tfleet_proto::wire::session_server::Session;
use tfleet_proto::wire::{
    AgentMessage, CoordinatorMessage, OperationInput, OperationOutput, StartOperation, Welcome,
};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::{Request, Response, Status, Streaming};
use tracing::{debug, info, warn};

use super::access;
use super::refusal::internal;
use crate::fleet::{AgentEnd, Fleet, SessionEnd, SessionSeat};

/// An agent says its first word at once.
const FIRST_MESSAGE_WITHIN: Duration = Duration::from_secs(30);
/// What is on its way to one agent; the newest desired state waits in its `watch`.
const MESSAGES_WAITING: usize = 4;

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

pub struct SessionService {
    fleet: Fleet,
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// One host's session.
struct Conversation {
    fleet: Fleet,
    host: HostName,
    seat: SessionSeat,
    desired: watch::Receiver<std::sync::Arc<DesiredState>>,
    outgoing: mpsc::Sender<Result<CoordinatorMessage, Status>>,
    stop: CancellationToken,
}

impl SessionService {
    /// Sessions run as tasks of `tasks` and end with `stop`.
    pub fn new(fleet: Fleet, tasks: TaskTracker, stop: CancellationToken) -> Self {
        Self { fleet, tasks, stop }
    }
}

#[tonic::async_trait]
impl Session for SessionService {
    type OpenStream = Answers<CoordinatorMessage>;
    type AttachStream = Answers<OperationInput>;

    async fn open(
        &self,
        request: Request<Streaming<AgentMessage>>,
    ) -> Result<Response<Self::OpenStream>, Status> {
        let (host, address) = access::host(request.extensions())?;
        let mut incoming = request.into_inner();
        let Some(FromAgent::Hello(hello)) =
            first(&mut incoming).await?.and_then(|first| first.message)
        else {
            return Err(Status::invalid_argument("the first message must be hello"));
        };
        version::check(&hello.agent_version, env!("CARGO_PKG_VERSION"))
            .map_err(|unfit| Status::failed_precondition(unfit.to_string()))?;
        let seat = self
            .fleet
            .sit_down(&host, &hello.agent_version, address)
            .await;
        let seat = seat.map_err(|refused| match refused {
            SessionEnd::NotEnrolled(host) => removed(&host),
            SessionEnd::Store(error) => internal("write down the session")(error),
        })?;
        let desired = self.fleet.desired(&host).ok_or_else(|| removed(&host))?;
        hello::listen(&host, &hello, &desired.borrow())?;
        info!(%host, %address, agent_version = hello.agent_version, "a host connected");

        let (outgoing, answers) = mpsc::channel(MESSAGES_WAITING);
        let welcome = ToAgent::Welcome(Welcome {
            coordinator_version: env!("CARGO_PKG_VERSION").to_owned(),
            host: host.to_string(),
        });
        // The channel is new, so there is room.
        let _ = outgoing.try_send(Ok(message(welcome)));
        let conversation = Conversation {
            fleet: self.fleet.clone(),
            host,
            seat,
            desired,
            outgoing,
            stop: self.stop.clone(),
        };
        self.tasks.spawn(conversation.hold(incoming));
        Ok(Response::new(Box::pin(ReceiverStream::new(answers))))
    }

    async fn attach(
        &self,
        request: Request<Streaming<OperationOutput>>,
    ) -> Result<Response<Self::AttachStream>, Status> {
        let (host, _) = access::host(request.extensions())?;
        let mut incoming = request.into_inner();
        let Some(Output::OperationId(id)) =
            first(&mut incoming).await?.and_then(|first| first.output)
        else {
            return Err(Status::invalid_argument(
                "the first message must be operation_id",
            ));
        };
        let AgentEnd { output, input } = self
            .fleet
            .operations()
            .attach(&id, &host)
            .map_err(|error| Status::not_found(error.to_string()))?;
        self.tasks
            .spawn(pass_on(incoming, output, self.stop.clone()));
        Ok(Response::new(Box::pin(ReceiverStream::new(input).map(Ok))))
    }
}

impl Conversation {
    async fn hold(mut self, mut incoming: Streaming<AgentMessage>) {
        // Everything is said once at the start, whatever an earlier session said.
        let mut desired_unsaid = true;
        let mut start: Option<StartOperation> = None;
        loop {
            let has_something = desired_unsaid || start.is_some();
            tokio::select! {
                // `message` keeps what it has read of the next message in the stream, so dropping it loses nothing.
                heard = incoming.message() => match heard {
                    Ok(Some(heard)) => {
                        if let Err(refused) = self.hear(heard).await {
                            let _ = self.outgoing.send(Err(refused)).await;
                            break;
                        }
                    }
                    Ok(None) => break,
                    Err(status) => {
                        debug!(host = %self.host, %status, "a session broke");
                        break;
                    }
                },
                // `changed` marks as seen only when it returns.
                Ok(()) = self.desired.changed() => desired_unsaid = true,
                // One that is received is kept in `start` until it is sent.
                Some(asked) = self.seat.starts.recv(), if start.is_none() => start = Some(asked),
                // A place is reserved only when this returns; what it is for is decided then, so it is the newest.
                place = self.outgoing.reserve(), if has_something => {
                    let Ok(place) = place else { break };
                    if let Some(start) = start.take() {
                        place.send(Ok(message(ToAgent::StartOperation(start))));
                        continue;
                    }
                    desired_unsaid = false;
                    let desired = self.desired.borrow_and_update().clone();
                    // Generation zero is what nobody has asked anything of since it enrolled. What ran there before goes on.
                    if desired.generation > 0 {
                        place.send(Ok(message(ToAgent::Desired((*desired).clone().into()))));
                    }
                }
                () = self.seat.ended.cancelled() => {
                    let _ = self.outgoing.try_send(Err(match self.fleet.host(&self.host) {
                        None => removed(&self.host),
                        Some(_) => Status::aborted("another session of this host began"),
                    }));
                    break;
                }
                () = self.stop.cancelled() => {
                    let _ = self.outgoing.try_send(Err(Status::unavailable("the coordinator is stopping")));
                    break;
                }
            }
        }
        info!(host = %self.host, "a host's session ended");
    }

    async fn hear(&self, heard: AgentMessage) -> Result<(), Status> {
        match heard.message {
            Some(FromAgent::Inventory(inventory)) => {
                let inventory = Inventory::try_from(inventory)
                    .map_err(|refusal| refusal.within("inventory"))?;
                let kept = self.fleet.set_inventory(&self.host, inventory).await;
                kept.map_err(internal("write down an inventory"))
            }
            Some(FromAgent::Status(status)) => {
                let status =
                    HostStatus::try_from(status).map_err(|refusal| refusal.within("status"))?;
                self.fleet.set_status(&self.host, status);
                Ok(())
            }
            Some(FromAgent::Hello(_)) => Err(Status::invalid_argument(
                "hello is the first message and no other",
            )),
            None => {
                warn!(host = %self.host, "an agent sent a message that this version does not know");
                Ok(())
            }
        }
    }
}

/// From the agent to the operator, until either is gone.
async fn pass_on(
    mut incoming: Streaming<OperationOutput>,
    output: mpsc::Sender<Result<OperationOutput, Status>>,
    stop: CancellationToken,
) {
    loop {
        // Neither a message that is still being read nor the two signals lose anything when dropped.
        let heard = tokio::select! {
            heard = incoming.message() => heard,
            () = output.closed() => return,
            () = stop.cancelled() => return,
        };
        match heard {
            Ok(Some(heard)) => {
                if output.send(Ok(heard)).await.is_err() {
                    return;
                }
            }
            Ok(None) => return,
            Err(status) => {
                debug!(%status, "an operation's stream broke");
                return;
            }
        }
    }
}

async fn first<T>(incoming: &mut Streaming<T>) -> Result<Option<T>, Status> {
    timeout(FIRST_MESSAGE_WITHIN, incoming.message())
        .await
        .map_err(|_| Status::deadline_exceeded("nothing was said"))?
}

fn message(message: ToAgent) -> CoordinatorMessage {
    CoordinatorMessage {
        message: Some(message),
    }
}

fn removed(host: &HostName) -> Status {
    Status::permission_denied(format!(
        "host {host} was removed from this fleet; enrol it again with a new token"
    ))
}
