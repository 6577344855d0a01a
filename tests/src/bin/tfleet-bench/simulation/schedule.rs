//! What happens next.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use tfleet_proto::model::swarm::ChunkNumber;

/// A flow, by its place in the network's table.
pub(super) type FlowId = u32;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Event {
    /// A block has left its sender's uplink.
    Sent(FlowId),
    /// A block has left the link of its sender's rack.
    LeftRack(FlowId),
    /// A block has come through the link of its receiver's rack.
    EnteredRack(FlowId),
    Received(FlowId),
    Asked {
        from: u32,
        to: u32,
        chunk: ChunkNumber,
    },
    Refused {
        from: u32,
        to: u32,
        chunk: ChunkNumber,
    },
    Cancelled {
        from: u32,
        to: u32,
        chunk: ChunkNumber,
    },
    AskedAny(u32),
    Offered(u32),
    /// The reply to an offer reaches the coordinator: `to` is the one that replied.
    Replied(u32),
    /// The coordinator says what it sends.
    Chosen {
        to: u32,
        chunk: Option<ChunkNumber>,
    },
    Announce(u32),
    /// The chunks from `first` to `last` of the host's log reach its subscribers.
    Announced {
        from: u32,
        first: u32,
        last: u32,
    },
    /// `to` has a new connection to `from`.
    Connected {
        from: u32,
        to: u32,
    },
    Tick(u32),
    Dies(u32),
    DeathSeen(u32),
}

/// Events by time in nanoseconds; equal times in order of entry.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    heap: BinaryHeap<Reverse<(u64, u64, Event)>>,
    entered: u64,
    pub now: u64,
}

impl Schedule {
    pub fn at(&mut self, time: u64, event: Event) {
        self.entered += 1;
        self.heap
            .push(Reverse((time.max(self.now), self.entered, event)));
    }

    pub fn next(&mut self) -> Option<Event> {
        let Reverse((time, _, event)) = self.heap.pop()?;
        self.now = time;
        Some(event)
    }
}
