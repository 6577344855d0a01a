//! What the coordinator says shall be here: accepted by its number, kept, and only then passed on.

use std::sync::Arc;

use tfleet_proto::model::desired::DesiredState;
use tfleet_proto::model::failure::Failure;
use tfleet_proto::wire;
use tokio::sync::watch;
use tracing::{error, info};

use crate::ledger::{Acceptance, Accepted, LedgerError};

#[derive(Debug)]
pub struct Acceptor {
    accepted: Accepted,
    desired: watch::Sender<Option<Arc<DesiredState>>>,
    /// What could not be kept; the newest only, since each is whole.
    unkept: Option<wire::DesiredState>,
}

impl Acceptor {
    /// What was accepted before is passed on at once: the host goes on without a coordinator.
    pub fn new(accepted: Accepted, desired: watch::Sender<Option<Arc<DesiredState>>>) -> Self {
        desired.send_replace(accepted.state());
        Self {
            accepted,
            desired,
            unkept: None,
        }
    }

    pub fn accepted(&self) -> Option<Arc<DesiredState>> {
        self.accepted.state()
    }

    /// Takes in what the coordinator offers, and gives what there is to tell about it. What cannot be kept now is tried
    /// again by [`Self::try_again`].
    pub(super) async fn hear(&mut self, offered: wire::DesiredState) -> Option<Failure> {
        let is_first = self.unkept.take().is_none();
        match self.take(offered.clone()).await {
            Ok(failure) => failure,
            Err(ledger_error) => {
                let reason: &dyn std::error::Error = &ledger_error;
                if is_first {
                    error!(
                        error = reason,
                        "the new desired state cannot be kept, so it is not acted on; trying again until it can"
                    );
                }
                self.unkept = Some(offered);
                let message = format!(
                    "the new desired state cannot be kept, so it is not acted on: {}",
                    chain(reason)
                );
                Some(
                    Failure::new("ledger-not-written", message).with_remedy(
                        "free space in the agent's data folder; it tries again by itself",
                    ),
                )
            }
        }
    }

    /// Whether the coordinator has offered what could not be kept.
    pub(super) fn is_behind(&self) -> bool {
        self.unkept.is_some()
    }

    /// Tries to keep what could not be kept before.
    pub(super) async fn try_again(&mut self) -> Option<Failure> {
        let offered = self.unkept.clone()?;
        self.hear(offered).await
    }

    /// Forgets what could not be kept: the next session offers the newest again.
    pub(super) fn begin_session(&mut self) {
        self.unkept = None;
    }

    /// Takes a desired state in, or says why not. `Err` only if it could not be kept; it is not acted on then.
    async fn take(&mut self, offered: wire::DesiredState) -> Result<Option<Failure>, LedgerError> {
        let offered = match DesiredState::try_from(offered) {
            Ok(offered) => offered,
            Err(refusal) => {
                let message = format!(
                    "the coordinator sent a desired state that cannot be understood: {refusal}"
                );
                error!("{message}");
                let failure = Failure::new("desired-state-malformed", message);
                return Ok(Some(
                    failure.with_remedy("upgrade the older of coordinator and agent"),
                ));
            }
        };
        match self.accepted.judge(&offered) {
            Ok(Acceptance::Same) => Ok(None),
            Ok(Acceptance::Newer) => {
                let offered = Arc::new(offered);
                self.accepted.keep(Arc::clone(&offered)).await?;
                info!(
                    incarnation = offered.incarnation,
                    generation = offered.generation,
                    images = offered.images.len(),
                    containers = offered.containers.len(),
                    "accepted a desired state"
                );
                self.desired.send_replace(Some(offered));
                Ok(None)
            }
            Err(unacceptable) => {
                error!("{unacceptable}");
                Ok(Some(unacceptable.failure()))
            }
        }
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests;
