//! Hosts that serve each other on loopback, for tests.

use std::sync::Arc;

use tfleet_proto::model::digest::Digest;
use tfleet_proto::model::swarm::{Distance, Neighbour, Peer};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::{Listener, Peers};
use crate::identity::testing::Authority;

/// A host with a listener. Dropping it ends the listener.
pub struct TestHost {
    pub peers: Peers,
    pub key: Digest,
    name: String,
    number: u32,
    _tasks: JoinSet<std::convert::Infallible>,
}

impl TestHost {
    pub fn new(fleet: &Authority, number: u32) -> Self {
        let name = format!("host-{number}");
        let (credentials, key) = fleet.host(&name);
        // The receiver keeps the last value when the sender is gone.
        let (_, credentials) = watch::channel(Arc::new(credentials));
        let address = "127.0.0.1:0".parse().unwrap();
        let listener = Listener::bind(address, credentials.clone()).unwrap();
        let peers = Peers::new(listener.port(), credentials);
        let mut tasks = JoinSet::new();
        tasks.spawn(listener.run(peers.clone()));
        Self {
            peers,
            key,
            name,
            number,
            _tasks: tasks,
        }
    }

    /// As the coordinator names it to others.
    pub fn named(&self) -> Neighbour {
        Neighbour {
            peer: Peer(self.number),
            key: self.key,
            host: self.name.parse().unwrap(),
            address: Some(format!("127.0.0.1:{}", self.peers.port())),
            distance: Distance::Near,
        }
    }
}
