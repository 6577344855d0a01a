//! What an image asks of the host that is to run it: the grammar of `NVIDIA_REQUIRE_*`.
//!
//! A space is or, a comma is and: `cuda>=12.4 brand=tesla,driver>=470,driver<471` holds if the driver's CUDA is at least
//! 12.4, or if the GPU is a Tesla and the driver of branch 470. Everything here follows what libnvidia-container does
//! (`src/cli/dsl.c` and `src/cli/configure.c`, <https://github.com/NVIDIA/libnvidia-container>), where it is odd too: it
//! reads from the left and stops where it is satisfied, so nonsense behind a satisfied alternative does no harm.
//! [`Requirement::read`] reads an image's text as the runtime would; parsing with [`FromStr`] is for what a person writes
//! and refuses whatever the runtime could ever refuse.

mod change;
mod condition;
mod version;

use std::fmt;
use std::str::FromStr;

use crate::version::{ComputeCapability, CudaVersion, DriverVersion};

pub use change::changes;
pub use condition::{Comparator, Condition, Property};

/// The text of one `NVIDIA_REQUIRE_*` variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requirement {
    text: String,
    alternatives: Vec<Alternative>,
}

/// Conditions that must hold together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alternative {
    text: String,
    column: usize,
    conditions: Vec<Result<Condition, RequirementError>>,
}

/// What a requirement is held against: the machine and one of its GPUs.
#[derive(Debug, Clone, Copy, Default)]
pub struct Subject<'a> {
    /// The CUDA level that the driver reports; none: conditions on it hold.
    pub cuda: Option<CudaVersion>,
    /// The driver's version; none: conditions on it hold.
    pub driver: Option<&'a DriverVersion>,
    /// The GPU's compute capability; none (also where no GPU is visible): conditions on it hold.
    pub arch: Option<ComputeCapability>,
    /// The GPU's brand; none (also where no GPU is visible): conditions on it hold.
    pub brand: Option<&'a str>,
}

/// Why a requirement does not hold. Prints as the runtime prints it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unmet {
    /// No alternative holds. The runtime names the first one, whole, whichever condition failed (`dsl_evaluate`; older
    /// releases named the last condition instead, as `brand = tesla`:
    /// <https://github.com/NVIDIA/nvidia-docker/issues/861>).
    #[error("unsatisfied condition: {alternative}{}", advice(alternative))]
    Condition {
        /// The text before the first space.
        alternative: String,
    },
    /// The runtime came to something that it does not understand.
    #[error("invalid expression")]
    Malformed(RequirementError),
}

/// A place that is not in the grammar.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{condition:?} at column {column} {problem}")]
pub struct RequirementError {
    /// The condition.
    pub condition: String,
    /// Where it begins, from 1.
    pub column: usize,
    /// What is wrong with it.
    pub problem: RequirementProblem,
}

/// What is wrong with a condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RequirementProblem {
    /// Commas and nothing between them.
    #[error("has no condition")]
    Empty,
    /// No `<`, `>`, `=` or `!`.
    #[error("compares nothing: expected a property, a comparison and a value, such as cuda>=12.4")]
    NoComparison,
    /// Nothing before the comparison, or what is there is no property.
    #[error("names no property: expected cuda, driver, brand or arch")]
    UnknownProperty,
    /// Signs that are no comparison, such as `==`.
    #[error("has no known comparison: expected =, !=, <, <=, > or >=")]
    UnknownComparison,
    /// Nothing after the comparison.
    #[error("has no value")]
    NoValue,
    /// A version with anything but digits and dots, or a number beyond 64 bits.
    #[error("has a value that is no version: expected dotted numbers such as 12.4")]
    NotAVersion,
    /// `brand` with an order.
    #[error("puts brands in an order: they can only be compared by = and !=")]
    Unordered,
    /// The runtime cannot hold it for its message.
    #[error("is longer than the 127 bytes that the runtime can hold")]
    TooLong,
}

impl Requirement {
    /// A text as the runtime reads it; what is wrong with it shows only if an evaluation comes there.
    #[must_use]
    pub fn read(text: &str) -> Self {
        let mut column = 1;
        let mut alternatives = Vec::new();
        for word in text.split(' ') {
            if !word.is_empty() {
                alternatives.push(Alternative::read(word, column));
            }
            column += word.chars().count() + 1;
        }
        Self {
            text: text.to_owned(),
            alternatives,
        }
    }

    /// The alternatives, in order.
    #[must_use]
    pub fn alternatives(&self) -> &[Alternative] {
        &self.alternatives
    }

    /// The text, as it was read.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The first place that is not in the grammar, whether or not an evaluation would come there.
    #[must_use]
    pub fn problem(&self) -> Option<RequirementError> {
        self.alternatives.iter().find_map(Alternative::problem)
    }

    /// Why the requirement does not hold; none: it does.
    #[must_use]
    pub fn unmet(&self, subject: Subject<'_>) -> Option<Unmet> {
        let mut met = true;
        for alternative in &self.alternatives {
            match alternative.holds(subject) {
                Err(error) => return Some(Unmet::Malformed(error)),
                // Commas alone end the search with what the alternative before them gave.
                Ok(None) => break,
                Ok(Some(true)) => return None,
                Ok(Some(false)) => met = false,
            }
        }
        (!met).then(|| Unmet::Condition {
            alternative: self.text.split(' ').next().unwrap_or_default().to_owned(),
        })
    }

    /// The CUDA level that the requirement asks for before any exception: that of the first `cuda>=`.
    #[must_use]
    pub fn cuda(&self) -> Option<CudaVersion> {
        self.alternatives.iter().find_map(|alternative| {
            let [only] = alternative.conditions.as_slice() else {
                return None;
            };
            let only = only.as_ref().ok()?;
            let asks = only.property() == Property::Cuda
                && only.comparator() == Comparator::GreaterOrEqual;
            asks.then(|| only.value().parse().ok()).flatten()
        })
    }
}

impl Alternative {
    fn read(text: &str, column: usize) -> Self {
        let mut at = column;
        let mut conditions = Vec::new();
        for part in text.split(',') {
            if !part.is_empty() {
                conditions.push(Condition::read(part, at));
            }
            at += part.chars().count() + 1;
        }
        Self {
            text: text.to_owned(),
            column,
            conditions,
        }
    }

    /// The text, as it was read.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The conditions, in order.
    pub fn conditions(&self) -> impl Iterator<Item = &Condition> {
        self.conditions
            .iter()
            .filter_map(|condition| condition.as_ref().ok())
    }

    /// Whether all conditions hold, up to the first that does not; none: there are no conditions.
    fn holds(&self, subject: Subject<'_>) -> Result<Option<bool>, RequirementError> {
        for condition in &self.conditions {
            match condition {
                Ok(condition) if condition.holds(subject)? => {}
                Ok(_) => return Ok(Some(false)),
                Err(error) => return Err(error.clone()),
            }
        }
        Ok((!self.conditions.is_empty()).then_some(true))
    }

    fn problem(&self) -> Option<RequirementError> {
        if self.conditions.is_empty() {
            return Some(RequirementError {
                condition: self.text.clone(),
                column: self.column,
                problem: RequirementProblem::Empty,
            });
        }
        self.conditions
            .iter()
            .find_map(|condition| match condition {
                Ok(condition) => condition.problem(),
                Err(error) => Some(error.clone()),
            })
    }
}

impl FromStr for Requirement {
    type Err = RequirementError;

    fn from_str(text: &str) -> Result<Self, RequirementError> {
        let requirement = Self::read(text);
        match requirement.problem() {
            None => Ok(requirement),
            Some(problem) => Err(problem),
        }
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

impl Unmet {
    /// The part of the image's text that is not met, or not understood.
    #[must_use]
    pub fn text(&self) -> &str {
        match self {
            Self::Condition { alternative } => alternative,
            Self::Malformed(error) => &error.condition,
        }
    }
}

/// What the runtime adds where the first alternative asks for a newer CUDA. It looks at the spelling: `CUDA>=12.3`, which
/// the aarch64 images of 12.3 have, gets no advice.
fn advice(alternative: &str) -> &'static str {
    if alternative.starts_with("cuda>=") {
        ", please update your driver to a newer version, or use an earlier cuda container"
    } else {
        ""
    }
}

#[cfg(test)]
mod tests;
