//! Which older chunks are most like a newer one.

use std::collections::HashMap;

use tfleet_proto::model::artifact::MOST_REFERENCES;

use super::sketch::Feature;

/// A feature of more chunks than this says nothing: zeros, tables that every library has.
const COMMON: usize = 8;

/// A reference must have at least one in so many of the features that no other reference has.
const WORTH_ONE_IN: usize = 32;

/// The features of many chunks, by their place in a list.
#[derive(Debug)]
pub struct Catalogue {
    /// Sorted.
    features: Vec<(Feature, u32)>,
}

impl Catalogue {
    pub fn new(sketches: impl IntoIterator<Item = Vec<Feature>>) -> Self {
        let mut features: Vec<_> = (0..)
            .zip(sketches)
            .flat_map(|(place, sketch)| sketch.into_iter().map(move |feature| (feature, place)))
            .collect();
        features.sort_unstable();
        Self { features }
    }

    /// The chunks that together have the most of these features, at most [`MOST_REFERENCES`], in the order of their
    /// places.
    pub fn most_like(&self, sketch: &[Feature]) -> Vec<u32> {
        let worth = (sketch.len() / WORTH_ONE_IN).max(2);
        let mut known: Vec<&[(Feature, u32)]> = sketch
            .iter()
            .map(|feature| self.having(*feature))
            .filter(|having| (1..=COMMON).contains(&having.len()))
            .collect();
        let mut chosen = Vec::new();
        while chosen.len() < MOST_REFERENCES {
            let mut votes: HashMap<u32, usize> = HashMap::new();
            for (_, place) in known.iter().copied().flatten() {
                *votes.entry(*place).or_default() += 1;
            }
            // The lower place of two that are equal, so that equal questions have equal answers.
            let best = votes
                .into_iter()
                .max_by_key(|(place, votes)| (*votes, std::cmp::Reverse(*place)));
            let Some((best, _)) = best.filter(|(_, votes)| *votes >= worth) else {
                break;
            };
            chosen.push(best);
            known.retain(|having| having.iter().all(|(_, place)| *place != best));
        }
        chosen.sort_unstable();
        chosen
    }

    fn having(&self, feature: Feature) -> &[(Feature, u32)] {
        let from = self.features.partition_point(|(other, _)| *other < feature);
        let rest = &self.features[from..];
        let count = rest.partition_point(|(other, _)| *other == feature);
        &rest[..count]
    }
}
