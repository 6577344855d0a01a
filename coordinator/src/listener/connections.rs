//! Open connections by peer, so that a revocation ends them at once.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio_util::sync::CancellationToken;

use super::peer::Peer;

#[derive(Clone, Default)]
pub struct Connections {
    open: Arc<Mutex<BTreeMap<Peer, CancellationToken>>>,
}

impl Connections {
    /// The token that ends every connection of this peer.
    pub(crate) fn register(&self, peer: &Peer) -> CancellationToken {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.entry(peer.clone()).or_default().child_token()
    }

    /// Ends the connections of every peer that `gone` takes.
    pub fn end(&self, gone: impl Fn(&Peer) -> bool) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|peer, token| {
            let ends = gone(peer);
            if ends {
                token.cancel();
            }
            !ends
        });
    }
}
