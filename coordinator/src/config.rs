//! `coordinator.toml`: what the site decides. Unknown keys are errors.

mod catalog;
mod site;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::{fs, io};

use serde::Deserialize;
use tfleet_compat::{Catalog, CatalogError};

pub use site::{Builder, Site};

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// State, keys, blobs. Owned by this coordinator alone.
    pub data_dir: PathBuf,
    /// The fleet's name; container labels carry it.
    pub name: String,
    /// The host name or address by which hosts and operators reach this coordinator.
    pub advertise: String,
    /// Files with the site's own facts about compatibility, laid over the built-in ones in this order.
    #[serde(default)]
    pub catalog: Vec<PathBuf>,
    pub listen: Listen,
    #[serde(default)]
    pub certificates: Certificates,
    #[serde(default, rename = "builder")]
    pub builders: Vec<Builder>,
    #[serde(default)]
    pub build: Site,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listen {
    /// Asks for no client certificate; serves enrolment alone.
    pub enrolment: SocketAddr,
    /// Requires a client certificate; serves everything else.
    pub fleet: SocketAddr,
}

/// Ten years. Beyond it a life is a slip of the pen, and far beyond it no calendar holds its end.
pub const LONGEST_LIFE_DAYS: u32 = 3650;

/// How long certificates live.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Certificates {
    /// An agent renews after two thirds of this.
    pub host_life_hours: u32,
    pub operator_life_days: u32,
}

#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("cannot read the configuration {path}")]
    Read { path: PathBuf, source: io::Error },
    #[error("the configuration {path} is not as it should be")]
    Parse {
        path: PathBuf,
        source: Box<toml::de::Error>,
    },
    #[error("the configuration {path}: {why}")]
    Invalid { path: PathBuf, why: String },
    #[error("the catalog file {path} cannot be used")]
    Catalog {
        path: PathBuf,
        source: Box<CatalogError>,
    },
}

impl Default for Certificates {
    fn default() -> Self {
        Self {
            host_life_hours: 7 * 24,
            operator_life_days: 365,
        }
    }
}

impl Config {
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = fs::read_to_string(path).map_err(|source| ConfigError::Read {
            path: path.to_owned(),
            source,
        })?;
        let config: Self = toml::from_str(&text).map_err(|source| ConfigError::Parse {
            path: path.to_owned(),
            source: Box::new(source),
        })?;
        config.check().map_err(|why| ConfigError::Invalid {
            path: path.to_owned(),
            why,
        })?;
        Ok(config)
    }

    /// The built-in facts with the site's own on top.
    pub fn catalog(&self) -> Result<Catalog, ConfigError> {
        catalog::read(&self.catalog)
    }

    /// Where hosts and operators connect to the fleet listener, `HOST:PORT`.
    pub fn fleet_endpoint(&self) -> String {
        endpoint(&self.advertise, self.listen.fleet)
    }

    /// Where hosts enrol.
    pub fn enrolment_endpoint(&self) -> String {
        endpoint(&self.advertise, self.listen.enrolment)
    }

    fn check(&self) -> Result<(), String> {
        if self.name.is_empty() {
            return Err("`name` is empty: name the fleet".to_owned());
        }
        if self.advertise.is_empty() || self.advertise.contains(char::is_whitespace) {
            return Err(
                "`advertise` must be a host name or an address that hosts can reach".to_owned(),
            );
        }
        if self.listen.enrolment == self.listen.fleet {
            return Err(
                "`listen.enrolment` and `listen.fleet` must differ: one asks for certificates"
                    .to_owned(),
            );
        }
        if self.certificates.host_life_hours == 0 || self.certificates.operator_life_days == 0 {
            return Err("`certificates`: a life of zero would end before it begins".to_owned());
        }
        if self.certificates.operator_life_days > LONGEST_LIFE_DAYS
            || self.certificates.host_life_hours > LONGEST_LIFE_DAYS * 24
        {
            return Err(format!(
                "`certificates`: a life is at most {LONGEST_LIFE_DAYS} days, that is {} hours",
                LONGEST_LIFE_DAYS * 24
            ));
        }
        for builder in &self.builders {
            builder.check()?;
        }
        let mut seen = std::collections::BTreeSet::new();
        match self
            .builders
            .iter()
            .find(|builder| !seen.insert(&builder.architecture))
        {
            Some(twice) => Err(format!(
                "two [[builder]] entries for {}",
                twice.architecture
            )),
            None => Ok(()),
        }
    }
}

/// An IPv6 address needs brackets.
fn endpoint(host: &str, listener: SocketAddr) -> String {
    match host.parse() {
        Ok(std::net::IpAddr::V6(address)) => format!("[{address}]:{}", listener.port()),
        _ => format!("{host}:{}", listener.port()),
    }
}

#[cfg(test)]
mod tests;
