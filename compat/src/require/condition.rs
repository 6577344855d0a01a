//! One condition: a property, a comparison and a value, such as `driver>=470`.

use std::cmp::Ordering;
use std::fmt;

use super::{RequirementError, RequirementProblem, Subject, version};

/// One condition. Made by reading a [`Requirement`](super::Requirement).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    text: String,
    column: usize,
    property: Property,
    comparator: Comparator,
    value: String,
}

/// What is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Property {
    /// The CUDA level that the driver reports.
    Cuda,
    /// The driver's version.
    Driver,
    /// The GPU's brand, such as `tesla`.
    Brand,
    /// The GPU's compute capability.
    Arch,
}

/// How it is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Comparator {
    /// `=`
    Equal,
    /// `!=`; the runtime also takes a bare `!` for it.
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
}

/// What the runtime can hold of a condition that fails, its final zero counted (`EXPR_MAX`).
const HELD_BYTES: usize = 128;

impl Condition {
    pub(super) fn read(text: &str, column: usize) -> Result<Self, RequirementError> {
        let wrong = |problem| RequirementError {
            condition: text.to_owned(),
            column,
            problem,
        };
        let is_sign = |letter: char| matches!(letter, '<' | '>' | '=' | '!');
        let at = text
            .find(is_sign)
            .ok_or(wrong(RequirementProblem::NoComparison))?;
        let (name, rest) = text.split_at(at);
        let value = rest.trim_start_matches(is_sign);
        let signs = &rest[..rest.len() - value.len()];
        // In the runtime's order: it looks at the name last.
        let comparator =
            Comparator::read(signs).ok_or(wrong(RequirementProblem::UnknownComparison))?;
        if value.is_empty() {
            return Err(wrong(RequirementProblem::NoValue));
        }
        let property = Property::read(name).ok_or(wrong(RequirementProblem::UnknownProperty))?;
        Ok(Self {
            text: text.to_owned(),
            column,
            property,
            comparator,
            value: value.to_owned(),
        })
    }

    /// What is compared.
    #[must_use]
    pub fn property(&self) -> Property {
        self.property
    }

    /// How it is compared.
    #[must_use]
    pub fn comparator(&self) -> Comparator {
        self.comparator
    }

    /// With what it is compared.
    #[must_use]
    pub fn value(&self) -> &str {
        &self.value
    }

    /// Whether the condition holds. What is not known of the subject holds, whatever the value is.
    pub(super) fn holds(&self, subject: Subject<'_>) -> Result<bool, RequirementError> {
        let known = match self.property {
            Property::Cuda => subject.cuda.map(|cuda| cuda.to_string()),
            Property::Driver => subject.driver.map(ToString::to_string),
            Property::Arch => subject.arch.map(|arch| arch.to_string()),
            Property::Brand => subject.brand.map(str::to_owned),
        };
        let Some(known) = known else {
            return Ok(true);
        };
        let holds = if self.property == Property::Brand {
            let same = known.eq_ignore_ascii_case(&self.value);
            match self.comparator {
                Comparator::Equal => same,
                Comparator::NotEqual => !same,
                _ => return Err(self.wrong(RequirementProblem::Unordered)),
            }
        } else {
            let order = version::order(&known, &self.value)
                .ok_or_else(|| self.wrong(RequirementProblem::NotAVersion))?;
            self.comparator.accepts(order)
        };
        if !holds && self.is_too_long() {
            return Err(self.wrong(RequirementProblem::TooLong));
        }
        Ok(holds)
    }

    /// What the runtime could refuse in it, for one subject or another.
    pub(super) fn problem(&self) -> Option<RequirementError> {
        let is_order = !matches!(self.comparator, Comparator::Equal | Comparator::NotEqual);
        let problem = match self.property {
            Property::Brand if is_order => RequirementProblem::Unordered,
            Property::Cuda | Property::Driver | Property::Arch
                if !version::is_version(&self.value) =>
            {
                RequirementProblem::NotAVersion
            }
            _ if self.is_too_long() => RequirementProblem::TooLong,
            _ => return None,
        };
        Some(self.wrong(problem))
    }

    /// The runtime formats a failed condition as `cuda >= 12.4`, with spaces.
    fn is_too_long(&self) -> bool {
        let name = self.property.as_str().len();
        name + self.comparator.as_str().len() + self.value.len() + 2 >= HELD_BYTES
    }

    fn wrong(&self, problem: RequirementProblem) -> RequirementError {
        RequirementError {
            condition: self.text.clone(),
            column: self.column,
            problem,
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}{}{}",
            self.property.as_str(),
            self.comparator.as_str(),
            self.value
        )
    }
}

impl Property {
    /// Case does not matter.
    fn read(name: &str) -> Option<Self> {
        [Self::Cuda, Self::Driver, Self::Brand, Self::Arch]
            .into_iter()
            .find(|property| property.as_str().eq_ignore_ascii_case(name))
    }

    /// The name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cuda => "cuda",
            Self::Driver => "driver",
            Self::Brand => "brand",
            Self::Arch => "arch",
        }
    }
}

impl Comparator {
    fn read(signs: &str) -> Option<Self> {
        Some(match signs {
            "=" => Self::Equal,
            "!=" | "!" => Self::NotEqual,
            "<" => Self::Less,
            "<=" => Self::LessOrEqual,
            ">" => Self::Greater,
            ">=" => Self::GreaterOrEqual,
            _ => return None,
        })
    }

    /// The signs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
        }
    }

    fn accepts(self, order: Ordering) -> bool {
        match self {
            Self::Equal => order.is_eq(),
            Self::NotEqual => order.is_ne(),
            Self::Less => order.is_lt(),
            Self::LessOrEqual => order.is_le(),
            Self::Greater => order.is_gt(),
            Self::GreaterOrEqual => order.is_ge(),
        }
    }
}
