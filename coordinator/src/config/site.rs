//! Which engines build, and where packages come from: the tables `[[builder]]` and `[build]`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;
use tfleet_compat::Architecture;

/// A Docker Engine that builds images of one architecture.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Builder {
    pub architecture: Architecture,
    /// `unix://PATH` or `tcp://HOST:PORT`.
    pub engine: String,
}

/// Where packages come from, and what every image of this site gets.
///
/// Without indexes or mirrors, those of the machine are used: pip's configuration and apt's sources.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Site {
    /// Python package indexes (PEP 503), in the order in which they are tried.
    pub python_indexes: Vec<String>,
    /// Debian mirrors, in the order in which they are tried.
    pub debian_mirrors: Vec<String>,
    /// Certificates (PEM) to trust for both, and for nothing inside the image.
    pub ca_bundle: Option<PathBuf>,
    /// `http://[USER:PASSWORD@]HOST:PORT`.
    pub proxy: Option<String>,
    /// An index or mirror that sends nothing for so long is given up for the next.
    pub stall_seconds: u32,
    /// The engine's network for build steps.
    pub network: String,
    /// Debian packages for every bootstrapped base.
    pub extra_packages: Vec<String>,
    /// Becomes root's `.bashrc`.
    pub bashrc: Option<PathBuf>,
    /// Environment of every image; a release's own wins.
    pub environment: BTreeMap<String, String>,
}

impl Default for Site {
    fn default() -> Self {
        Self {
            python_indexes: Vec::new(),
            debian_mirrors: Vec::new(),
            ca_bundle: None,
            proxy: None,
            stall_seconds: 30,
            // An engine without a bridge, and a site whose mirror listens on the builder itself, both work with it.
            network: "host".to_owned(),
            extra_packages: Vec::new(),
            bashrc: None,
            environment: BTreeMap::new(),
        }
    }
}
