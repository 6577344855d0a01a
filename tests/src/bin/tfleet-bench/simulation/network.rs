//! Links and the chunks on them.

use std::collections::VecDeque;

use tfleet_proto::model::swarm::ChunkNumber;

use super::schedule::{Event, FlowId, Schedule};

/// A chunk on its way from one node to another.
#[derive(Debug, Clone, Copy)]
pub(super) struct Flow {
    pub from: u32,
    pub to: u32,
    pub chunk: ChunkNumber,
    /// Blocks that have not left, that are under way, that have arrived.
    pub left: u32,
    pub under_way: u32,
    pub arrived: u32,
}

/// A link that takes blocks first come, first served. Nanoseconds per block.
#[derive(Debug, Clone, Copy)]
pub(super) struct Link {
    pub per_block: u64,
    free_at: u64,
}

impl Link {
    pub fn new(block: u64, bytes_per_second: u64) -> Self {
        Self {
            per_block: (block as u128 * 1_000_000_000 / u128::from(bytes_per_second)) as u64,
            free_at: 0,
        }
    }

    fn pass(&mut self, arrives: u64) -> u64 {
        self.free_at = self.free_at.max(arrives) + self.per_block;
        self.free_at
    }
}

#[derive(Debug)]
struct Uplink {
    per_block: u64,
    busy: bool,
    /// In turn; only flows with blocks left.
    flows: VecDeque<FlowId>,
}

#[derive(Debug)]
pub(super) struct Network {
    pub latency: u64,
    blocks: u32,
    window: u32,
    flows: Vec<Flow>,
    unused: Vec<FlowId>,
    up: Vec<Uplink>,
    down: Vec<Link>,
    /// The rack of each node; the last node, the coordinator, has a rack link of its own that never is the narrowest.
    racks: Vec<u32>,
    rack_up: Vec<Link>,
    rack_down: Vec<Link>,
}

impl Network {
    pub fn new(latency: u64, blocks: u32, window: u32) -> Self {
        Self {
            latency,
            blocks,
            window,
            flows: Vec::new(),
            unused: Vec::new(),
            up: Vec::new(),
            down: Vec::new(),
            racks: Vec::new(),
            rack_up: Vec::new(),
            rack_down: Vec::new(),
        }
    }

    pub fn add_rack(&mut self, link: Link) {
        self.rack_up.push(link);
        self.rack_down.push(link);
    }

    pub fn add_node(&mut self, link: Link, rack: u32) {
        self.up.push(Uplink {
            per_block: link.per_block,
            busy: false,
            flows: VecDeque::new(),
        });
        self.down.push(link);
        self.racks.push(rack);
    }

    pub fn flow(&self, flow: FlowId) -> &Flow {
        &self.flows[flow as usize]
    }

    pub fn open(&mut self, from: u32, to: u32, chunk: ChunkNumber, schedule: &mut Schedule) {
        let flow = Flow {
            from,
            to,
            chunk,
            left: self.blocks,
            under_way: 0,
            arrived: 0,
        };
        let id = match self.unused.pop() {
            Some(id) => {
                self.flows[id as usize] = flow;
                id
            }
            None => {
                self.flows.push(flow);
                self.flows.len() as FlowId - 1
            }
        };
        self.up[from as usize].flows.push_back(id);
        self.send(from, schedule);
    }

    /// Stops sending a chunk; what is under way still arrives. Whether it was being sent.
    pub fn stop(&mut self, from: u32, to: u32, chunk: ChunkNumber) -> bool {
        let uplink = &mut self.up[from as usize];
        let flows = &mut self.flows;
        let Some(place) = uplink.flows.iter().position(|&id| {
            let flow = &flows[id as usize];
            flow.to == to && flow.chunk == chunk
        }) else {
            return false;
        };
        let Some(id) = uplink.flows.remove(place) else {
            return false;
        };
        flows[id as usize].left = 0;
        self.recycle(id);
        true
    }

    pub fn stop_all(&mut self, from: u32) {
        while let Some(&id) = self.up[from as usize].flows.front() {
            let flow = self.flows[id as usize];
            self.stop(from, flow.to, flow.chunk);
        }
    }

    /// Stops sending to a node that is gone.
    pub fn stop_to(&mut self, from: u32, to: u32) {
        let chunks: Vec<ChunkNumber> = self.up[from as usize]
            .flows
            .iter()
            .map(|&id| self.flow(id))
            .filter(|f| f.to == to)
            .map(|f| f.chunk)
            .collect();
        for chunk in chunks {
            self.stop(from, to, chunk);
        }
    }

    /// A block has left its sender. Whether that was the chunk's last.
    pub fn sent(&mut self, id: FlowId, schedule: &mut Schedule) -> bool {
        let flow = self.flows[id as usize];
        self.up[flow.from as usize].busy = false;
        let last = flow.left == 0 && self.drop_from_uplink(id, flow.from);
        let rack = self.racks[flow.from as usize];
        if rack == self.racks[flow.to as usize] {
            self.deliver(id, schedule.now + self.latency, schedule);
        } else {
            let time = self.rack_up[rack as usize].pass(schedule.now);
            schedule.at(time, Event::LeftRack(id));
        }
        self.send(flow.from, schedule);
        last
    }

    pub fn left_rack(&mut self, id: FlowId, schedule: &mut Schedule) {
        let rack = self.racks[self.flows[id as usize].to as usize];
        let time = self.rack_down[rack as usize].pass(schedule.now);
        schedule.at(time, Event::EnteredRack(id));
    }

    pub fn entered_rack(&mut self, id: FlowId, schedule: &mut Schedule) {
        self.deliver(id, schedule.now + self.latency, schedule);
    }

    /// A block has arrived. The flow as it is then, and whether the chunk is whole.
    pub fn received(&mut self, id: FlowId, schedule: &mut Schedule) -> (Flow, bool) {
        let flow = &mut self.flows[id as usize];
        flow.under_way -= 1;
        flow.arrived += 1;
        let flow = *flow;
        if !self.recycle(id) {
            self.send(flow.from, schedule);
        }
        (flow, flow.arrived == self.blocks)
    }

    fn deliver(&mut self, id: FlowId, arrives: u64, schedule: &mut Schedule) {
        let time = self.down[self.flows[id as usize].to as usize].pass(arrives);
        schedule.at(time, Event::Received(id));
    }

    fn send(&mut self, from: u32, schedule: &mut Schedule) {
        let uplink = &mut self.up[from as usize];
        if uplink.busy {
            return;
        }
        let flows = &mut self.flows;
        let ready = |id: &FlowId| {
            flows[*id as usize].left > 0 && flows[*id as usize].under_way < self.window
        };
        let Some(place) = uplink.flows.iter().position(ready) else {
            return;
        };
        let Some(id) = uplink.flows.remove(place) else {
            return;
        };
        uplink.flows.push_back(id);
        uplink.busy = true;
        flows[id as usize].left -= 1;
        flows[id as usize].under_way += 1;
        schedule.at(schedule.now + uplink.per_block, Event::Sent(id));
    }

    fn drop_from_uplink(&mut self, id: FlowId, from: u32) -> bool {
        let flows = &mut self.up[from as usize].flows;
        let before = flows.len();
        flows.retain(|other| *other != id);
        flows.len() < before
    }

    /// Frees the entry of a flow that is over.
    fn recycle(&mut self, id: FlowId) -> bool {
        let flow = &self.flows[id as usize];
        let over = flow.left == 0 && flow.under_way == 0;
        if over {
            self.unused.push(id);
        }
        over
    }
}
