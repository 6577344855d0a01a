//! The border: from the wire's messages to the model and back, and from the model to what the rules ask about.
//!
//! `TryFrom` checks everything that the `.proto` files call required, and every identifier's form, so that code behind
//! the border never does. A [`Refusal`] names the field by its path.

mod desired;
mod facts;
mod failure;
mod field;
mod inventory;
mod status;
mod swarm;
#[cfg(test)]
mod tests;
mod what_if;

pub use facts::facts;
pub use field::{timestamp, wire_timestamp};
pub use what_if::{WhatIf, WhatIfError};

/// A message that is not acceptable: which field, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {why}")]
pub struct Refusal {
    /// From the message that was converted: `containers[2].spec.ports[0].host_port`.
    pub path: String,
    pub why: String,
}

impl Refusal {
    pub fn new(path: impl Into<String>, why: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            why: why.into(),
        }
    }

    /// The same refusal, seen from the message that holds the refused one in `field`.
    #[must_use]
    pub fn within(self, field: &str) -> Self {
        let separator = if self.path.is_empty() || self.path.starts_with('[') {
            ""
        } else {
            "."
        };
        Self {
            path: format!("{field}{separator}{}", self.path),
            why: self.why,
        }
    }
}

impl From<Refusal> for tonic::Status {
    fn from(refusal: Refusal) -> Self {
        Self::invalid_argument(refusal.to_string())
    }
}
