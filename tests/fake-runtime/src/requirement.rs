//! The requirement grammar of `NVIDIA_REQUIRE_*`: a space is or, a comma is and.
//!
//! `cuda>=11.0 brand=tesla,driver>=418,driver<419` holds if CUDA is new enough, or if the GPU is a Tesla and the driver
//! a 418. Properties: `cuda` and `driver` of the machine, `arch` and `brand` of each GPU. (libnvidia-container,
//! `src/cli/dsl.c` and `src/cli/configure.c`.)

use std::cmp::Ordering;

use tfleet_fake_gpu::Gpu;

/// One `NVIDIA_REQUIRE_*` value.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Requirement {
    alternatives: Vec<Alternative>,
}

#[derive(Clone, Debug, Eq, PartialEq)]
struct Alternative {
    text: String,
    conditions: Vec<Condition>,
}

#[derive(Clone, Debug, Eq, PartialEq)]
struct Condition {
    property: Property,
    comparison: Comparison,
    value: String,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Property {
    Cuda,
    Driver,
    Arch,
    Brand,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// What a requirement is held against.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    pub cuda: &'a str,
    pub driver: &'a str,
    /// None when no GPU is visible: conditions on one then hold.
    pub gpu: Option<&'a Gpu>,
}

#[derive(Debug, Eq, PartialEq, thiserror::Error)]
pub enum RequirementError {
    #[error("invalid expression")]
    Invalid,
    #[error(
        "unsatisfied condition: {0}, please update your driver to a newer version, or use an earlier cuda container"
    )]
    Unsatisfied(String),
}

impl Requirement {
    pub fn parse(text: &str) -> Result<Self, RequirementError> {
        let alternatives = text.split(' ').filter(|text| !text.is_empty());
        let alternatives = alternatives
            .map(Alternative::parse)
            .collect::<Result<_, _>>()?;
        Ok(Self { alternatives })
    }

    /// A refusal shows the whole first alternative, whichever condition failed.
    pub fn check(&self, subject: Subject<'_>) -> Result<(), RequirementError> {
        match self.alternatives.first() {
            Some(first) if !self.alternatives.iter().any(|one| one.holds(subject)) => {
                Err(RequirementError::Unsatisfied(first.text.clone()))
            }
            _ => Ok(()),
        }
    }
}

impl Alternative {
    fn parse(text: &str) -> Result<Self, RequirementError> {
        let conditions = text.split(',').filter(|text| !text.is_empty());
        Ok(Self {
            text: text.to_owned(),
            conditions: conditions.map(Condition::parse).collect::<Result<_, _>>()?,
        })
    }

    fn holds(&self, subject: Subject<'_>) -> bool {
        self.conditions
            .iter()
            .all(|condition| condition.holds(subject))
    }
}

impl Condition {
    fn parse(text: &str) -> Result<Self, RequirementError> {
        let invalid = RequirementError::Invalid;
        let at = text
            .find(['=', '!', '<', '>'])
            .ok_or(RequirementError::Invalid)?;
        let (name, rest) = text.split_at(at);
        let property = match name {
            "cuda" => Property::Cuda,
            "driver" => Property::Driver,
            "arch" => Property::Arch,
            "brand" => Property::Brand,
            _ => return Err(invalid),
        };
        let signs = [
            (">=", Comparison::GreaterOrEqual),
            ("<=", Comparison::LessOrEqual),
            ("!=", Comparison::NotEqual),
            ("=", Comparison::Equal),
            ("<", Comparison::Less),
            (">", Comparison::Greater),
        ];
        let (comparison, value) = signs
            .into_iter()
            .find_map(|(sign, comparison)| Some((comparison, rest.strip_prefix(sign)?)))
            .ok_or(invalid)?;
        let is_order = !matches!(comparison, Comparison::Equal | Comparison::NotEqual);
        if value.is_empty() || (property == Property::Brand && is_order) {
            return Err(RequirementError::Invalid);
        }
        Ok(Self {
            property,
            comparison,
            value: value.to_owned(),
        })
    }

    fn holds(&self, subject: Subject<'_>) -> bool {
        let order = match (self.property, subject.gpu) {
            (Property::Cuda, _) => by_number(subject.cuda, &self.value),
            (Property::Driver, _) => by_number(subject.driver, &self.value),
            (Property::Arch, Some(gpu)) => {
                by_number(&gpu.compute_capability.to_string(), &self.value)
            }
            (Property::Brand, Some(gpu)) => {
                let brand = gpu.brand.as_deref().unwrap_or("unknown").to_lowercase();
                brand.cmp(&self.value.to_lowercase())
            }
            (Property::Arch | Property::Brand, None) => return true,
        };
        match self.comparison {
            Comparison::Equal => order.is_eq(),
            Comparison::NotEqual => order.is_ne(),
            Comparison::Less => order.is_lt(),
            Comparison::LessOrEqual => order.is_le(),
            Comparison::Greater => order.is_gt(),
            Comparison::GreaterOrEqual => order.is_ge(),
        }
    }
}

/// Version order: number by number, a missing one is zero.
fn by_number(left: &str, right: &str) -> Ordering {
    let numbers = |text: &str| -> Vec<u64> {
        text.split('.')
            .map(|part| part.parse().unwrap_or(0))
            .collect()
    };
    let (mut left, mut right) = (numbers(left), numbers(right));
    let length = left.len().max(right.len());
    left.resize(length, 0);
    right.resize(length, 0);
    left.cmp(&right)
}

#[cfg(test)]
mod tests;
