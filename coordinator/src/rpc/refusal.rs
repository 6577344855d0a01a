//! What a peer is told when something fails: little, where it is none of its business, and everything goes to the log.

use std::error::Error;

use tonic::Status;
use tracing::error;

/// A failure of the coordinator's own. Logged here, once; the peer learns that it is not its fault.
pub(super) fn internal<E: Error + 'static>(what: &'static str) -> impl FnOnce(E) -> Status {
    move |failure| {
        error!(error = &failure as &dyn Error, "cannot {what}");
        Status::internal(format!(
            "the coordinator could not {what}; its log says why"
        ))
    }
}
