//! Operations: an operator's stream waits here until the host's agent attaches its own, then the two are joined.
//!
//! Each direction is a bounded channel, so the slower end holds back the faster one all the way through both HTTP/2
//! streams.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rand::RngExt as _;
use tfleet_proto::model::name::HostName;
use tfleet_proto::wire;
use tokio::sync::mpsc;
use tonic::Status;

use super::Fleet;

/// Messages of at most a few hundred KiB each.
const MESSAGES_WAITING: usize = 8;
/// A connected agent attaches within milliseconds; one that does not is hanging.
pub const ATTACH_WITHIN: Duration = Duration::from_secs(20);

#[derive(Clone, Default)]
pub struct Operations {
    waiting: Arc<Mutex<BTreeMap<String, Waiting>>>,
}

struct Waiting {
    host: HostName,
    agent_end: AgentEnd,
}

/// The agent's side of the two channels.
pub struct AgentEnd {
    pub output: mpsc::Sender<Result<wire::OperationOutput, Status>>,
    pub input: mpsc::Receiver<wire::OperationInput>,
}

/// The operator's side.
pub struct OperationEnds {
    pub id: String,
    pub output: mpsc::Receiver<Result<wire::OperationOutput, Status>>,
    pub input: mpsc::Sender<wire::OperationInput>,
}

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("there is no host {0}")]
    UnknownHost(HostName),
    #[error(
        "host {host} is not connected (last seen {last_seen}); what runs there goes on running"
    )]
    NotConnected { host: HostName, last_seen: String },
    #[error("host {0} does not take up operations; its agent's log says why")]
    Busy(HostName),
}

#[derive(Debug, thiserror::Error)]
#[error("there is no such operation, or whoever asked for it is gone")]
pub struct AttachError;

impl Fleet {
    /// Asks a host to start an operation. The agent's stream joins the ends that this returns.
    pub fn start_operation(
        &self,
        host: &HostName,
        operation: wire::start_operation::Operation,
    ) -> Result<OperationEnds, StartError> {
        let view = self
            .host(host)
            .ok_or_else(|| StartError::UnknownHost(host.clone()))?;
        let starts = self
            .starts_of(host)
            .ok_or_else(|| StartError::NotConnected {
                host: host.clone(),
                last_seen: view
                    .last_seen_at
                    .map_or_else(|| "never".to_owned(), |at| at.to_string()),
            })?;
        let id = hex::encode(rand::rng().random::<[u8; 16]>());
        let (output_sender, output) = mpsc::channel(MESSAGES_WAITING);
        let (input, input_receiver) = mpsc::channel(MESSAGES_WAITING);
        let agent_end = AgentEnd {
            output: output_sender,
            input: input_receiver,
        };
        self.operations().lock().insert(
            id.clone(),
            Waiting {
                host: host.clone(),
                agent_end,
            },
        );
        let start = wire::StartOperation {
            operation_id: id.clone(),
            operation: Some(operation),
        };
        if starts.try_send(start).is_err() {
            self.operations().lock().remove(&id);
            return Err(StartError::Busy(host.clone()));
        }
        Ok(OperationEnds { id, output, input })
    }
}

impl Operations {
    /// Joins an agent's stream. Only the host that was asked may, and only once.
    pub fn attach(&self, id: &str, host: &HostName) -> Result<AgentEnd, AttachError> {
        let mut waiting = self.lock();
        if waiting.get(id).is_none_or(|waiting| waiting.host != *host) {
            return Err(AttachError);
        }
        waiting
            .remove(id)
            .map(|waiting| waiting.agent_end)
            .ok_or(AttachError)
    }

    /// Gives one up. True: no agent had attached to it.
    pub fn give_up(&self, id: &str) -> bool {
        self.lock().remove(id).is_some()
    }

    pub(super) fn end_of_host(&self, host: &HostName) {
        self.lock().retain(|_, waiting| waiting.host != *host);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
