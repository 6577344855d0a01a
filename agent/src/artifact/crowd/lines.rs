//! The connections to neighbours.

use std::collections::BTreeMap;
use std::convert::Infallible;

use tfleet_proto::model::swarm::{Neighbour, Peer};
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};

use crate::peers::{self, Artifact, Event, Peers, Request, Said};

/// What neighbours say and was not heard yet, over all of them.
const EVENTS_WAITING: usize = 64;
/// What one neighbour may be told before it reads.
const REQUESTS_WAITING: usize = 64;

#[derive(Debug)]
pub(super) struct Lines {
    peers: Peers,
    artifact: Artifact,
    open: BTreeMap<Peer, Line>,
    tasks: JoinSet<Infallible>,
    events: (mpsc::Sender<Said>, mpsc::Receiver<Said>),
    /// The number of the next line: what an earlier line to the same neighbour said last is not heard.
    next: u64,
}

/// Dropping it ends the connection.
#[derive(Debug)]
struct Line {
    number: u64,
    neighbour: Neighbour,
    requests: mpsc::Sender<Request>,
    task: AbortHandle,
}

impl Lines {
    pub fn new(peers: Peers, artifact: Artifact) -> Self {
        Self {
            peers,
            artifact,
            open: BTreeMap::new(),
            tasks: JoinSet::new(),
            events: mpsc::channel(EVENTS_WAITING),
            next: 0,
        }
    }

    /// Connects to these and to nobody else.
    pub fn set(&mut self, neighbours: Vec<Neighbour>) {
        self.open
            .retain(|_, line| neighbours.contains(&line.neighbour));
        for neighbour in neighbours {
            if !self.open.contains_key(&neighbour.peer) {
                self.dial(neighbour);
            }
        }
    }

    /// False: it does not read, or is not connected to.
    pub fn say(&self, peer: Peer, request: Request) -> bool {
        self.open
            .get(&peer)
            .is_some_and(|line| line.requests.try_send(request).is_ok())
    }

    /// Connects anew.
    pub fn redial(&mut self, peer: Peer) {
        if let Some(line) = self.open.remove(&peer) {
            self.dial(line.neighbour.clone());
        }
    }

    /// Ends the connection, and gives the host's name.
    pub fn hang_up(&mut self, peer: Peer) -> Option<String> {
        let line = self.open.remove(&peer)?;
        Some(line.neighbour.host.to_string())
    }

    /// Ends all.
    pub fn clear(&mut self) {
        self.open.clear();
    }

    /// What a neighbour says next. Dropping the future loses nothing.
    pub async fn hear(&mut self) -> (Peer, Event) {
        loop {
            // We hold a sender ourselves, so the channel never ends.
            let Some(Said { peer, line, event }) = self.events.1.recv().await else {
                std::future::pending().await
            };
            if self.is_open(peer, line) {
                return (peer, event);
            }
        }
    }

    /// What was said already, if anything.
    pub fn heard(&mut self) -> Option<(Peer, Event)> {
        while let Ok(Said { peer, line, event }) = self.events.1.try_recv() {
            if self.is_open(peer, line) {
                return Some((peer, event));
            }
        }
        None
    }

    fn is_open(&self, peer: Peer, number: u64) -> bool {
        let line = self.open.get(&peer);
        line.is_some_and(|line| line.number == number)
    }

    fn dial(&mut self, neighbour: Neighbour) {
        while self.tasks.try_join_next().is_some() {}
        let (requests, taken) = mpsc::channel(REQUESTS_WAITING);
        let number = self.next;
        self.next += 1;
        let peer = neighbour.peer;
        let task = self.tasks.spawn(peers::converse(
            self.peers.clone(),
            self.artifact.clone(),
            neighbour.clone(),
            taken,
            peers::Ear::new(peer, number, self.events.0.clone()),
        ));
        let line = Line {
            number,
            neighbour,
            requests,
            task,
        };
        self.open.insert(peer, line);
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.task.abort();
    }
}
