//! The answer about one host and one image's own word, in a form that is a public interface.

use serde::{Deserialize, Serialize};

use super::ImageGate;
use crate::catalog::Catalog;
use crate::host::HostFacts;
use crate::rules;

/// Whether NVIDIA's runtime would start a container of an image on a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GateAnswer {
    /// Whether it would.
    pub starts: bool,
    /// The part of the image's text that is not met, as the runtime prints it; none: it is met, or nothing was evaluated.
    pub unsatisfied: Option<String>,
    /// What to do; none: nothing.
    pub remedy: Option<String>,
}

/// Whether a container of the image starts, as far as the image's own word goes.
#[must_use]
pub fn gate_answer(catalog: &Catalog, host: &HostFacts, gate: &ImageGate) -> GateAnswer {
    match rules::image_requirement(catalog, host, gate) {
        Ok(_) => GateAnswer {
            starts: true,
            unsatisfied: None,
            remedy: None,
        },
        Err(refusal) => GateAnswer {
            starts: false,
            unsatisfied: rules::unsatisfied_requirement(catalog, host, gate)
                .map(|unsatisfied| unsatisfied.unmet.text().to_owned()),
            remedy: Some(refusal.remedy),
        },
    }
}
