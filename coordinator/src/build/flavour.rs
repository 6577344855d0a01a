//! Flavours: what an image is for, and what that adds to its recipe.
//!
//! What each adds is data (`flavours.toml`); how its service starts is a case of `start.sh`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;
use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

/// A flavour by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Flavour {
    Runtime,
    Jupyter,
    Ssh,
    Devel,
}

/// What a flavour adds.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Addition {
    #[serde(default)]
    pub python_packages: Vec<String>,
    #[serde(default)]
    pub debian_packages: Vec<String>,
    #[serde(default)]
    pub ports: Vec<ServicePort>,
    /// What `tfleet-start` starts.
    pub service: Option<String>,
    /// CUDA wheels, without their `-cuNN`, whose programs join PATH where the lock has them.
    #[serde(default)]
    pub wheel_programs: Vec<String>,
    pub note: String,
}

/// Where a service listens, and the port of the host that it gets where nobody says another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServicePort {
    pub container: u16,
    pub host: u16,
}

#[derive(Debug, thiserror::Error)]
#[error("`{0}` is no flavour; there are {known}", known = known())]
pub struct UnknownFlavour(String);

/// Where the program that starts services lies in an image.
pub const START: &str = "/opt/tfleet/bin/tfleet-start";

/// The program itself.
pub const START_PROGRAM: &str = include_str!("flavour/start.sh");

#[expect(
    clippy::expect_used,
    reason = "the file is part of the program, and a test reads it"
)]
static ADDITIONS: LazyLock<BTreeMap<Flavour, Addition>> = LazyLock::new(|| {
    toml::from_str(include_str!("flavour/flavours.toml")).expect("flavours.toml is well formed")
});

static NOTHING: LazyLock<Addition> = LazyLock::new(|| Addition {
    python_packages: Vec::new(),
    debian_packages: Vec::new(),
    ports: Vec::new(),
    service: None,
    wheel_programs: Vec::new(),
    note: String::new(),
});

impl Flavour {
    pub const ALL: [Self; 4] = [Self::Runtime, Self::Jupyter, Self::Ssh, Self::Devel];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Runtime => "runtime",
            Self::Jupyter => "jupyter",
            Self::Ssh => "ssh",
            Self::Devel => "devel",
        }
    }

    pub fn addition(self) -> &'static Addition {
        ADDITIONS.get(&self).unwrap_or(&NOTHING)
    }
}

/// The command of an image with these flavours; none where nothing is to be served.
pub fn start_command(flavours: &BTreeSet<Flavour>) -> Option<Vec<String>> {
    let services = flavours
        .iter()
        .filter_map(|flavour| flavour.addition().service.clone());
    let command: Vec<_> = std::iter::once(START.to_owned()).chain(services).collect();
    (command.len() > 1).then_some(command)
}

/// The ports that services of these flavours listen on.
pub fn service_ports(flavours: &BTreeSet<Flavour>) -> impl Iterator<Item = ServicePort> {
    flavours
        .iter()
        .flat_map(|flavour| flavour.addition().ports.iter().copied())
}

fn known() -> String {
    Flavour::ALL.map(Flavour::as_str).join(", ")
}

impl FromStr for Flavour {
    type Err = UnknownFlavour;

    fn from_str(text: &str) -> Result<Self, UnknownFlavour> {
        Self::ALL
            .into_iter()
            .find(|flavour| flavour.as_str() == text)
            .ok_or_else(|| UnknownFlavour(text.to_owned()))
    }
}

impl fmt::Display for Flavour {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests;
