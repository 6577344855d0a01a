//! Which agents fetch from which.

use std::collections::{BTreeMap, BTreeSet};

use tfleet_proto::model::swarm::{Distance, Peer, mixed};

/// An agent that takes part in a transfer, with or without the image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its number in this transfer.
    pub peer: Peer,
    /// From its labels: the rack, or else the site. Members of one place are near each other.
    pub place: u32,
    /// Whether other agents can connect to it, and its policy lets them. If not, it is nobody's neighbour.
    pub serves: bool,
}

/// How many neighbours each agent gets.
#[derive(Debug, Clone, Copy)]
pub struct Degree {
    /// In the same place.
    pub near: usize,
    /// Anywhere, besides what the place lacks.
    pub far: usize,
}

impl Default for Degree {
    fn default() -> Self {
        Self { near: 12, far: 4 }
    }
}

/// The members on rings, each shuffled in its own way by `seed`; neighbours on a ring are neighbours in the transfer.
///
/// Two rings of random order already connect all with few hops; being a neighbour goes both ways, so nobody is asked by
/// many; and a member that comes or goes changes only the members beside it.
#[derive(Debug)]
pub struct Neighbours {
    degree: Degree,
    /// The place of each member, for telling near from far.
    places: BTreeMap<Peer, u32>,
    near: BTreeMap<u32, Vec<Ring>>,
    far: Vec<Ring>,
}

#[derive(Debug)]
struct Ring {
    salt: u64,
    order: BTreeSet<(u64, Peer)>,
}

impl Neighbours {
    /// Sorts the members into rings; equal seeds and members, in any order, give equal neighbours.
    pub fn new(members: &[Member], degree: Degree, seed: u64) -> Self {
        let mut neighbours = Self {
            degree,
            places: BTreeMap::new(),
            near: BTreeMap::new(),
            // The far rings also fill up what a small place lacks.
            far: (0..degree.near + degree.far)
                .map(|ring| Ring::new(seed, 1 << 32 | ring as u64))
                .collect(),
        };
        for member in members {
            neighbours.places.insert(member.peer, member.place);
            let near = neighbours.near.entry(member.place).or_insert_with(|| {
                (0..degree.near.div_ceil(2))
                    .map(|ring| Ring::new(seed, ring as u64))
                    .collect()
            });
            if member.serves {
                near.iter_mut()
                    .chain(&mut neighbours.far)
                    .for_each(|ring| ring.insert(member.peer));
            }
        }
        neighbours
    }

    /// The neighbours of `peer`, who need not serve; nobody if it is not a member.
    pub fn of(&self, peer: Peer) -> Vec<(Peer, Distance)> {
        let Some(place) = self.places.get(&peer) else {
            return Vec::new();
        };
        let mut chosen = BTreeMap::new();
        for ring in self.near.get(place).into_iter().flatten() {
            for other in ring.beside(peer) {
                if chosen.len() < self.degree.near {
                    chosen.insert(other, Distance::Near);
                }
            }
        }
        for other in self.far.iter().flat_map(|ring| ring.beside(peer)) {
            if chosen.len() < self.degree.near + self.degree.far && !chosen.contains_key(&other) {
                let near = self.places.get(&other) == Some(place);
                chosen.insert(other, if near { Distance::Near } else { Distance::Far });
            }
        }
        chosen.into_iter().collect()
    }
}

impl Ring {
    fn new(seed: u64, ring: u64) -> Self {
        Self {
            salt: mixed(seed ^ mixed(ring)),
            order: BTreeSet::new(),
        }
    }

    fn key(&self, peer: Peer) -> (u64, Peer) {
        (mixed(self.salt ^ mixed(u64::from(peer.0) + 1)), peer)
    }

    fn insert(&mut self, peer: Peer) {
        self.order.insert(self.key(peer));
    }

    /// Who comes before and after `peer`, whether it is on the ring or not.
    fn beside(&self, peer: Peer) -> impl Iterator<Item = Peer> {
        let key = self.key(peer);
        let before = self
            .order
            .range(..key)
            .next_back()
            .or_else(|| self.order.last());
        let above = (std::ops::Bound::Excluded(key), std::ops::Bound::Unbounded);
        let after = self
            .order
            .range(above)
            .next()
            .or_else(|| self.order.first());
        before
            .into_iter()
            .chain(after)
            .map(|(_, other)| *other)
            .filter(move |other| *other != peer)
    }
}

#[cfg(test)]
mod tests;
