//! What an operator does in a container while watching: commands and logs. Each has a stream of its own, which the agent
//! opens, so that a slow reader holds up nothing else.

mod operation;
mod translation;

use std::convert::Infallible;
use std::sync::Arc;

use tfleet_proto::model::status::HostStatus;
use tfleet_proto::wire::StartOperation;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tonic::transport::Channel;
use tracing::warn;

use crate::engine::Engine;
use crate::policy::Policy;

use operation::Operation;

/// More at once are refused, so that operators cannot exhaust the host.
const MOST_AT_ONCE: usize = 64;

/// Begins the operations that the coordinator asks for, and owns them to their end.
pub struct Operations {
    engine: Engine,
    policy: Arc<Policy>,
    asked: mpsc::Receiver<StartOperation>,
    /// Says which containers are the fleet's, and their identifiers.
    status: watch::Receiver<Arc<HostStatus>>,
    channel: watch::Receiver<Option<Channel>>,
}

impl Operations {
    pub fn new(
        engine: Engine,
        policy: Arc<Policy>,
        asked: mpsc::Receiver<StartOperation>,
        status: watch::Receiver<Arc<HostStatus>>,
        channel: watch::Receiver<Option<Channel>>,
    ) -> Self {
        Self {
            engine,
            policy,
            asked,
            status,
            channel,
        }
    }

    /// Works until it is dropped, which ends all operations.
    pub async fn run(mut self) -> Infallible {
        let mut running = JoinSet::new();
        loop {
            tokio::select! {
                // Both are cancel-safe: a message or an ended task that is not taken stays where it is.
                Some(asked) = self.asked.recv() => {
                    if let Some(operation) = self.prepare(asked, running.len()) {
                        running.spawn(operation.run());
                    }
                }
                Some(ended) = running.join_next() => {
                    if let Err(error) = ended {
                        warn!(%error, "an operation died");
                    }
                }
                else => std::future::pending().await,
            }
        }
    }

    /// `None` where nobody could be told anything: there is no session any more.
    fn prepare(&self, asked: StartOperation, running: usize) -> Option<Operation> {
        let channel = self.channel.borrow().clone()?;
        Some(Operation {
            id: asked.operation_id,
            kind: asked.operation,
            engine: self.engine.clone(),
            policy: Arc::clone(&self.policy),
            status: Arc::clone(&self.status.borrow()),
            channel,
            has_room: running < MOST_AT_ONCE,
        })
    }
}
