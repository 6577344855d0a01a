//! Words that agents and coordinator share where agents fetch an artifact from each other.

mod chunks;
mod random;

use super::digest::Digest;
use super::name::HostName;

pub use chunks::{ChunkNumber, ChunkSet};
pub use random::{Random, mixed};

/// An agent, by the number that the coordinator gave it for this artifact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Peer(pub u32);

/// Where a neighbour is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Distance {
    /// In the same rack or site.
    Near,
    /// Behind a link that many share: asked only for what no near neighbour has.
    Far,
}

/// Another host in the same transfer, as the coordinator names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Neighbour {
    pub peer: Peer,
    /// SHA-256 of its public key.
    pub key: Digest,
    pub host: HostName,
    /// Where it serves others, `HOST:PORT`; `None`: it does not.
    pub address: Option<String>,
    pub distance: Distance,
}

/// Whom a host fetches from, and whom it serves.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Neighbourhood {
    pub neighbours: Vec<Neighbour>,
    pub askers: Vec<Neighbour>,
}

#[cfg(test)]
mod tests;
