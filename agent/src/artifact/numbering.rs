//! Chunks by one number over all layers, as transfers and patches name them.

use std::collections::BTreeMap;

use tfleet_proto::model::artifact::{ArtifactIndex, Layer};
use tfleet_proto::model::digest::Digest;
use tfleet_proto::model::swarm::ChunkNumber;

/// The numbers of one artifact's chunks.
#[derive(Debug)]
pub(super) struct Numbering {
    /// The first chunk's number, by the layer's diff ID.
    first: BTreeMap<Digest, u32>,
    /// The first number of each layer, in order, and the number after the last.
    starts: Vec<u32>,
}

impl Numbering {
    pub fn of(index: &ArtifactIndex) -> Self {
        let (mut first, mut starts) = (BTreeMap::new(), vec![0]);
        let mut next = 0;
        for layer in &index.layers {
            // A layer that comes twice is handed to the engine once, with the numbers of the first.
            first.entry(layer.diff_id).or_insert(next);
            next += layer.chunks.len() as u32;
            starts.push(next);
        }
        Self { first, starts }
    }

    /// Chunk `place` of a layer.
    pub fn number(&self, layer: &Layer, place: usize) -> ChunkNumber {
        let first = self.first.get(&layer.diff_id).copied().unwrap_or(0);
        ChunkNumber(first + place as u32)
    }

    /// The first chunk after so many layers.
    pub fn after(&self, layers: usize) -> u32 {
        self.starts
            .get(layers)
            .copied()
            .unwrap_or_else(|| self.count())
    }

    /// How many chunks there are.
    pub fn count(&self) -> u32 {
        self.starts.last().copied().unwrap_or(0)
    }
}
