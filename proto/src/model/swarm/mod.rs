//! Words that agents and coordinator share where agents fetch an artifact from each other.

mod chunks;
mod random;

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

#[cfg(test)]
mod tests;
