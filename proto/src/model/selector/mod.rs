//! Which hosts an operator means: `label.rack = 7 && driver >= 470 && gpu.memory >= 16GiB`.
//!
//! A test on a value that the host does not have is false, and `a != b` is `!(a = b)`. A test on `gpu.…` is true when
//! it is true of any of the host's GPUs. Versions are compared as far as they are written: `driver = 470` and
//! `driver <= 470` are true of 470.256.02, `driver > 470` is not.

mod grammar;
#[cfg(test)]
mod tests;

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use super::inventory::{Gpu, Inventory};
use super::name::HostName;

/// A parsed expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expression(Node);

/// What an expression is about: one host, as the coordinator knows it.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    pub name: &'a HostName,
    pub connected: bool,
    /// `None` before the host's first session: every test on it is false then.
    pub inventory: Option<&'a Inventory>,
}

/// Why a text is not an expression, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("column {column}: {why}\n  {expression}\n  {:>column$}", "^")]
pub struct ExpressionError {
    pub expression: String,
    /// Counts characters from 1.
    pub column: usize,
    pub why: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Node {
    All(Vec<Node>),
    Any(Vec<Node>),
    Not(Box<Node>),
    Flag(Flag),
    Text {
        field: TextField,
        comparison: TextComparison,
        value: String,
    },
    Version {
        field: VersionField,
        relation: Relation,
        value: Version,
    },
    Amount {
        field: AmountField,
        relation: Relation,
        value: u64,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Flag {
    Connected,
    Driver,
    Gpu,
    Mig,
    Label(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum TextField {
    Name,
    Architecture,
    Distribution,
    CpuFlag,
    GpuName,
    GpuUuid,
    EngineStorage,
    Label(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum VersionField {
    Driver,
    Cuda,
    GpuCapability,
    Engine,
    Kernel,
    Label(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AmountField {
    GpuCount,
    GpuMemory,
    Memory,
    CpuCount,
    DiskFree,
}

/// Both ignore case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TextComparison {
    Equals,
    Contains,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Relation {
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// The numbers of a version before anything else: "20.10.24+dfsg1" is 20, 10, 24.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Version(Vec<u64>);

impl FromStr for Expression {
    type Err = ExpressionError;

    fn from_str(text: &str) -> Result<Self, ExpressionError> {
        grammar::parse(text).map(Self)
    }
}

impl Expression {
    pub fn matches(&self, subject: Subject<'_>) -> bool {
        self.0.matches(subject)
    }
}

impl Node {
    fn matches(&self, subject: Subject<'_>) -> bool {
        match self {
            Self::All(nodes) => nodes.iter().all(|node| node.matches(subject)),
            Self::Any(nodes) => nodes.iter().any(|node| node.matches(subject)),
            Self::Not(node) => !node.matches(subject),
            Self::Flag(flag) => flag.is_set(subject),
            Self::Text {
                field,
                comparison,
                value,
            } => field
                .values(subject)
                .into_iter()
                .any(|text| comparison.holds(text, value)),
            Self::Version {
                field,
                relation,
                value,
            } => field
                .values(subject)
                .into_iter()
                .filter_map(Version::leading)
                .any(|version| relation.holds(version.compare_as_written(value))),
            Self::Amount {
                field,
                relation,
                value,
            } => field
                .values(subject)
                .into_iter()
                .any(|amount| relation.holds(amount.cmp(value))),
        }
    }
}

impl Flag {
    fn is_set(&self, subject: Subject<'_>) -> bool {
        let of_inventory = |test: &dyn Fn(&Inventory) -> bool| subject.inventory.is_some_and(test);
        match self {
            Self::Connected => subject.connected,
            Self::Driver => of_inventory(&|inventory| inventory.driver.is_some()),
            Self::Gpu => of_inventory(&|inventory| !inventory.gpus.is_empty()),
            Self::Mig => of_inventory(&|inventory| {
                inventory
                    .gpus
                    .iter()
                    .any(|gpu| gpu.mig_enabled == Some(true))
            }),
            Self::Label(key) => of_inventory(&|inventory| inventory.labels.contains_key(key)),
        }
    }
}

impl TextField {
    fn values<'a>(&self, subject: Subject<'a>) -> Vec<&'a str> {
        if matches!(self, Self::Name) {
            return vec![subject.name.as_str()];
        }
        let Some(inventory) = subject.inventory else {
            return Vec::new();
        };
        let machine = &inventory.machine;
        match self {
            Self::Name => Vec::new(),
            Self::Architecture => vec![&machine.architecture],
            Self::Distribution => machine.distribution.iter().map(String::as_str).collect(),
            Self::CpuFlag => machine.cpu_flags.iter().map(String::as_str).collect(),
            Self::GpuName => inventory.gpus.iter().map(|gpu| gpu.name.as_str()).collect(),
            Self::GpuUuid => inventory.gpus.iter().map(|gpu| gpu.uuid.as_str()).collect(),
            Self::EngineStorage => inventory
                .engine
                .storage_driver
                .iter()
                .map(String::as_str)
                .collect(),
            Self::Label(key) => inventory
                .labels
                .get(key)
                .map(String::as_str)
                .into_iter()
                .collect(),
        }
    }
}

impl VersionField {
    fn values<'a>(&self, subject: Subject<'a>) -> Vec<&'a str> {
        let Some(inventory) = subject.inventory else {
            return Vec::new();
        };
        let driver = inventory.driver.as_ref();
        match self {
            Self::Driver => driver
                .map(|driver| driver.version.as_str())
                .into_iter()
                .collect(),
            Self::Cuda => driver
                .and_then(|driver| driver.cuda_version.as_deref())
                .into_iter()
                .collect(),
            Self::GpuCapability => inventory
                .gpus
                .iter()
                .filter_map(|gpu| gpu.compute_capability.as_deref())
                .collect(),
            Self::Engine => inventory.engine.version.as_deref().into_iter().collect(),
            Self::Kernel => inventory
                .machine
                .kernel_release
                .as_deref()
                .into_iter()
                .collect(),
            Self::Label(key) => inventory
                .labels
                .get(key)
                .map(String::as_str)
                .into_iter()
                .collect(),
        }
    }
}

impl AmountField {
    fn values(self, subject: Subject<'_>) -> Vec<u64> {
        let Some(inventory) = subject.inventory else {
            return Vec::new();
        };
        match self {
            Self::GpuCount => vec![inventory.gpus.len() as u64],
            Self::GpuMemory => inventory
                .gpus
                .iter()
                .filter_map(|gpu: &Gpu| gpu.memory_bytes)
                .collect(),
            Self::Memory => inventory.machine.memory_bytes.into_iter().collect(),
            Self::CpuCount => vec![inventory.machine.cpu_count.into()],
            Self::DiskFree => {
                let free_bytes = inventory.engine.data_root_free_bytes;
                free_bytes.into_iter().collect()
            }
        }
    }
}

impl TextComparison {
    fn holds(self, text: &str, value: &str) -> bool {
        let (text, value) = (text.to_lowercase(), value.to_lowercase());
        match self {
            Self::Equals => text == value,
            Self::Contains => text.contains(&value),
        }
    }
}

impl Relation {
    fn holds(self, ordering: Ordering) -> bool {
        match self {
            Self::Equal => ordering.is_eq(),
            Self::Less => ordering.is_lt(),
            Self::LessOrEqual => ordering.is_le(),
            Self::Greater => ordering.is_gt(),
            Self::GreaterOrEqual => ordering.is_ge(),
        }
    }
}

impl Version {
    /// `None` when the text does not begin with a number.
    fn leading(text: &str) -> Option<Self> {
        let end = text
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(text.len());
        let numbers: Vec<u64> = text[..end]
            .split('.')
            .map_while(|number| number.parse().ok())
            .collect();
        (!numbers.is_empty()).then_some(Self(numbers))
    }

    /// Like [`Version::leading`], but the whole text must be the version.
    fn whole(text: &str) -> Option<Self> {
        text.split('.')
            .map(|number| number.parse().ok())
            .collect::<Option<_>>()
            .map(Self)
    }

    /// Compares as many numbers as `written` has; missing ones are zero.
    fn compare_as_written(&self, written: &Self) -> Ordering {
        let ours = self.0.iter().copied().chain(std::iter::repeat(0));
        ours.take(written.0.len()).cmp(written.0.iter().copied())
    }
}

impl fmt::Display for Relation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Equal => "=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
        })
    }
}
