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
}

impl Acceptor {
    /// What was accepted before is passed on at once: the host goes on without a coordinator.
    pub fn new(accepted: Accepted, desired: watch::Sender<Option<Arc<DesiredState>>>) -> Self {
        desired.send_replace(accepted.state());
        Self { accepted, desired }
    }

    pub fn accepted(&self) -> Option<Arc<DesiredState>> {
        self.accepted.state()
    }

    /// Takes a desired state in, or says why not. `Err` only if it could not be kept; it is not acted on then.
    pub(super) async fn take(
        &mut self,
        offered: wire::DesiredState,
    ) -> Result<Option<Failure>, LedgerError> {
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

#[cfg(test)]
mod tests;
