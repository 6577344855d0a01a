//! Serving others after everything is here.

use std::sync::Arc;
use std::time::Duration;

use tfleet_proto::model::swarm::{Neighbour, Neighbourhood};
use tfleet_proto::wire::join_response::Said;
use tokio::time::{Instant, sleep_until};
use tracing::warn;

use super::coordinator::Conversation;
use crate::peers::Share;

/// No longer than this: the chunks take room on this host's disk.
const LONGEST: Duration = Duration::from_secs(600);

/// Serves until the coordinator says that nobody needs it, or is gone.
pub(super) async fn linger(mut coordinator: Conversation, share: &Arc<Share>) {
    coordinator.whole();
    let end = Instant::now() + LONGEST;
    loop {
        tokio::select! {
            // It keeps what it has not given, so dropping it loses nothing.
            said = coordinator.hear() => match said {
                Ok(Some(Said::Neighbourhood(told))) => match Neighbourhood::try_from(told) {
                    Ok(told) => set_askers(share, &told.askers),
                    Err(refusal) => warn!(%refusal, "the coordinator's word about neighbours is not understood"),
                },
                Ok(Some(Said::Offer(_))) => {
                    coordinator.want(None);
                }
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => return,
            },
            () = share.ended().cancelled() => return,
            () = sleep_until(end) => return,
        }
    }
}

/// Serves these from now on, and nobody else.
pub(super) fn set_askers(share: &Arc<Share>, askers: &[Neighbour]) {
    let askers = askers.iter().map(|asker| (asker.key, asker.peer));
    share.set_askers(askers.collect());
}
