//! What the coordinator itself sends: each chunk about once, to different agents.

use std::cmp::Reverse;
use std::collections::{BTreeMap, VecDeque};

use tfleet_proto::model::swarm::{ChunkNumber, ChunkSet, Peer};

/// What to do with a free slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Ask this agent what it wants, and reply with [`HandingOut::choose`].
    Offer(Peer),
    /// Send this agent the chunk that it named.
    Send(Peer, ChunkNumber),
}

#[derive(Debug, Default)]
struct Agent {
    /// Waits for any chunk.
    any: bool,
    named: VecDeque<ChunkNumber>,
    queued: bool,
    /// Its last chunk held a slot for much longer than others do.
    slow: bool,
    /// What it was sent, or is being sent.
    given: Vec<ChunkNumber>,
}

/// Two follow each other without a pause. More would let the first that comes, or a slow one, keep all others waiting.
const SLOTS_OF_ONE: usize = 2;

/// While one chunk is sent, about as many others are begun as there are slots. If so many times more are, its agent is
/// slow.
const SLOW: u64 = 4;

#[derive(Debug, Clone, Copy)]
struct Slot {
    peer: Peer,
    /// `None`: offered.
    chunk: Option<ChunkNumber>,
    /// How many chunks were begun before.
    since: u64,
    /// It takes long by the clock, too.
    late: bool,
}

/// The coordinator's upload slots and the agents that wait for them, in turn.
///
/// Slow agents are told by counting, without a clock. A chunk that a slow agent is the first to have would reach the
/// others late, so slow agents are sent what was sent before, after the others, and a slot that one holds does not
/// count against the limit: up to twice as many slots are then taken.
#[derive(Debug)]
pub struct HandingOut {
    slots: usize,
    taken: Vec<Slot>,
    begun: u64,
    sent: Vec<u32>,
    agents: BTreeMap<Peer, Agent>,
    queue: VecDeque<Peer>,
}

impl HandingOut {
    /// Nothing sent yet of an image of so many chunks; `slots` are sent at once.
    pub fn new(chunks: u32, slots: usize) -> Self {
        Self {
            slots,
            taken: Vec::new(),
            begun: 0,
            sent: vec![0; chunks as usize],
            agents: BTreeMap::new(),
            queue: VecDeque::new(),
        }
    }

    /// The agent waits for any chunk that it lacks. Asking twice changes nothing.
    pub fn ask_any(&mut self, peer: Peer) {
        self.agents.entry(peer).or_default().any = true;
        self.enqueue(peer);
    }

    /// The agent wants this chunk and no other: it has no neighbours, or they failed. Chunks beyond the image are not
    /// noted.
    pub fn ask(&mut self, peer: Peer, chunk: ChunkNumber) {
        let is_sent = |slot: &Slot| slot.peer == peer && slot.chunk == Some(chunk);
        if self.taken.iter().any(is_sent) {
            return;
        }
        let agent = self.agents.entry(peer).or_default();
        if (chunk.0 as usize) < self.sent.len() && !agent.named.contains(&chunk) {
            agent.named.push_back(chunk);
            self.enqueue(peer);
        }
    }

    /// The next step, if a slot is free; the slot is then taken until [`HandingOut::ended`], or a choice of none.
    pub fn start(&mut self) -> Option<Step> {
        let overdue = self
            .taken
            .iter()
            .filter(|slot| slot.late || self.is_overdue(slot))
            .count()
            .min(self.slots);
        if self.taken.len() >= self.slots + overdue {
            return None;
        }
        let (peer, agent) = loop {
            let peer = self.queue.remove(self.next_in_queue()?)?;
            let Some(agent) = self.agents.get_mut(&peer) else {
                continue;
            };
            agent.queued = false;
            // What it waited for may have come in another way.
            if agent.any || !agent.named.is_empty() {
                break (peer, agent);
            }
        };
        let chunk = agent.named.pop_front();
        self.taken.push(Slot {
            peer,
            chunk,
            since: self.begun,
            late: false,
        });
        let step = match chunk {
            Some(chunk) => {
                agent.given.push(chunk);
                self.sent[chunk.0 as usize] += 1;
                self.begun += 1;
                Step::Send(peer, chunk)
            }
            None => {
                agent.any = false;
                Step::Offer(peer)
            }
        };
        if agent.any || !agent.named.is_empty() {
            self.enqueue(peer);
        }
        Some(step)
    }

    /// The chunk to send to the agent that was offered a slot: of those that it wants, the first of the least sent,
    /// or of the most sent if it is slow. In order, so that engines, which load in order, can start early. What is on
    /// its way to another agent right now will soon come from there, and is not sent twice. If nothing is left, its
    /// slot is free.
    pub fn choose(&mut self, peer: Peer, wanted: &ChunkSet) -> Option<ChunkNumber> {
        let place = self
            .taken
            .iter()
            .position(|slot| slot.peer == peer && slot.chunk.is_none())?;
        let slow = self.agents.get(&peer).is_some_and(|agent| agent.slow);
        let known = wanted
            .iter()
            .take_while(|chunk| (chunk.0 as usize) < self.sent.len());
        let times = |chunk: &ChunkNumber| self.sent[chunk.0 as usize];
        let chunk = if slow {
            known.min_by_key(|chunk| (Reverse(times(chunk)), chunk.0))
        } else {
            known
                .filter(|chunk| !self.is_under_way(*chunk))
                .min_by_key(|chunk| (times(chunk), chunk.0))
        };
        match chunk {
            Some(chunk) => {
                self.sent[chunk.0 as usize] += 1;
                self.taken[place].chunk = Some(chunk);
                self.taken[place].since = self.begun;
                self.begun += 1;
                let agent = self.agents.entry(peer).or_default();
                agent.named.retain(|named| *named != chunk);
                agent.given.push(chunk);
            }
            None => {
                self.taken.remove(place);
            }
        }
        chunk
    }

    /// The chunk was sent whole, or its agent cancelled it: the slot is free.
    pub fn ended(&mut self, peer: Peer, chunk: ChunkNumber) {
        let is_it = |slot: &Slot| slot.peer == peer && slot.chunk == Some(chunk);
        if let Some(place) = self.taken.iter().position(is_it) {
            let slot = self.taken.remove(place);
            let slow = self.is_overdue(&slot);
            self.agents.entry(peer).or_default().slow = slow;
        }
    }

    /// Sending the chunk takes long by the clock: others need not wait for its slot. Where all links are slow this is no
    /// judgement of the agent, which is told by counting alone.
    pub fn late(&mut self, peer: Peer, chunk: ChunkNumber) {
        for slot in &mut self.taken {
            slot.late |= slot.peer == peer && slot.chunk == Some(chunk);
        }
    }

    /// The agent no longer wants a chunk that it named and that is not being sent yet.
    pub fn cancel(&mut self, peer: Peer, chunk: ChunkNumber) {
        if let Some(agent) = self.agents.get_mut(&peer) {
            agent.named.retain(|named| *named != chunk);
        }
    }

    /// The agent is gone: what it was sent may be lost with it, and counts as not sent.
    pub fn lost(&mut self, peer: Peer) {
        if let Some(agent) = self.agents.remove(&peer) {
            self.taken.retain(|slot| slot.peer != peer);
            agent
                .given
                .iter()
                .for_each(|chunk| self.sent[chunk.0 as usize] -= 1);
            self.queue.retain(|queued| *queued != peer);
        }
    }

    /// The agent has the whole image, or gave up its place in the queue.
    pub fn done(&mut self, peer: Peer) {
        if let Some(agent) = self.agents.get_mut(&peer) {
            agent.any = false;
            agent.named.clear();
            if std::mem::take(&mut agent.queued) {
                self.queue.retain(|queued| *queued != peer);
            }
        }
    }

    /// How often each chunk was sent, losses left out.
    pub fn sent(&self) -> &[u32] {
        &self.sent
    }

    fn enqueue(&mut self, peer: Peer) {
        if let Some(agent) = self.agents.get_mut(&peer)
            && !std::mem::replace(&mut agent.queued, true)
        {
            self.queue.push_back(peer);
        }
    }

    /// Whether it is being sent to an agent that takes it at the usual speed.
    fn is_under_way(&self, chunk: ChunkNumber) -> bool {
        let mut slots = self.taken.iter();
        slots.any(|slot| slot.chunk == Some(chunk) && !slot.late && !self.is_overdue(slot))
    }

    fn is_overdue(&self, slot: &Slot) -> bool {
        self.begun - slot.since > SLOW * self.slots as u64
    }

    /// Of those that wait, the first that holds the fewest slots; who holds [`SLOTS_OF_ONE`] waits. Slow agents
    /// wait for the others, except for chunks that they named.
    fn next_in_queue(&self) -> Option<usize> {
        let mut best = None;
        for (place, peer) in self.queue.iter().enumerate() {
            let held = self.taken.iter().filter(|slot| slot.peer == *peer).count();
            if held >= SLOTS_OF_ONE {
                continue;
            }
            let waits = self
                .agents
                .get(peer)
                .is_some_and(|agent| agent.slow && agent.named.is_empty());
            if held == 0 && !waits {
                return Some(place);
            }
            if best.is_none_or(|(least, _)| (waits, held) < least) {
                best = Some(((waits, held), place));
            }
        }
        best.map(|(_, place)| place)
    }
}

#[cfg(test)]
mod tests;
