//! Which of the chunks that peers ask for are sent now.

use std::collections::VecDeque;

use tfleet_proto::model::swarm::{ChunkNumber, Peer};

/// What to tell a peer that asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Answer {
    /// It will be sent when its turn comes.
    Queued,
    /// Nothing was noted; the peer should ask someone else.
    Busy,
}

/// Sends a bounded number of chunks at once. Peers take turns, one chunk each.
#[derive(Debug)]
pub struct Uploads {
    slots: usize,
    per_peer: usize,
    peers: usize,
    sending: Vec<(Peer, ChunkNumber)>,
    /// Whose turn it is first; each has at least one chunk waiting.
    queue: VecDeque<(Peer, VecDeque<ChunkNumber>)>,
}

impl Uploads {
    /// Sends `slots` chunks at once, and lets `peers` peers wait for `per_peer` chunks each.
    pub fn new(slots: usize, peers: usize, per_peer: usize) -> Self {
        Self {
            slots,
            per_peer,
            peers,
            sending: Vec::new(),
            queue: VecDeque::new(),
        }
    }

    /// Asking again for what is already waiting or being sent changes nothing.
    pub fn ask(&mut self, peer: Peer, chunk: ChunkNumber) -> Answer {
        if self.sending.contains(&(peer, chunk)) {
            return Answer::Queued;
        }
        if let Some((_, chunks)) = self.queue.iter_mut().find(|(waiting, _)| *waiting == peer) {
            if chunks.contains(&chunk) {
                return Answer::Queued;
            }
            if chunks.len() >= self.per_peer {
                return Answer::Busy;
            }
            chunks.push_back(chunk);
            return Answer::Queued;
        }
        if self.queue.len() >= self.peers {
            return Answer::Busy;
        }
        self.queue.push_back((peer, VecDeque::from([chunk])));
        Answer::Queued
    }

    /// The next chunk to send now, if a slot is free. Peers that are sent nothing yet come first.
    pub fn start(&mut self) -> Option<(Peer, ChunkNumber)> {
        if self.sending.len() >= self.slots {
            return None;
        }
        let idle = |(peer, _): &(Peer, VecDeque<ChunkNumber>)| {
            !self.sending.iter().any(|(served, _)| served == peer)
        };
        let place = self.queue.iter().position(idle).unwrap_or(0);
        let (peer, mut chunks) = self.queue.remove(place)?;
        let chunk = chunks.pop_front()?;
        if !chunks.is_empty() {
            self.queue.push_back((peer, chunks));
        }
        self.sending.push((peer, chunk));
        Some((peer, chunk))
    }

    /// The chunk was sent, or its asker no longer wants it: its slot or place is free.
    pub fn ended(&mut self, peer: Peer, chunk: ChunkNumber) {
        self.sending.retain(|sent| *sent != (peer, chunk));
        if let Some((_, chunks)) = self.queue.iter_mut().find(|(waiting, _)| *waiting == peer) {
            chunks.retain(|waiting| *waiting != chunk);
        }
        self.queue.retain(|(_, chunks)| !chunks.is_empty());
    }

    /// The connection to the peer is gone.
    pub fn lost(&mut self, peer: Peer) {
        self.sending.retain(|(served, _)| *served != peer);
        self.queue.retain(|(waiting, _)| *waiting != peer);
    }

    /// What the slots hold.
    pub fn sending(&self) -> &[(Peer, ChunkNumber)] {
        &self.sending
    }
}
