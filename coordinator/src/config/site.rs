//! Which engines build, and where packages come from: the tables `[[builder]]` and `[build]`.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use serde::Deserialize;
use tfleet_compat::Architecture;

/// A Docker Engine that builds images of one architecture.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Builder {
    pub architecture: Architecture,
    /// `unix://PATH`, or `tcp://HOST:PORT` where the host is this machine.
    pub engine: String,
}

impl Builder {
    /// Refuses an endpoint that anybody on the way could read and command: an engine behind a TCP port asks nobody who
    /// he is, and a build sends it the passwords of package indexes.
    ///
    /// # Errors
    /// Why not, and what to do instead.
    pub(super) fn check(&self) -> Result<(), String> {
        let engine = &self.engine;
        if let Some(path) = engine.strip_prefix("unix://") {
            return if path.starts_with('/') {
                Ok(())
            } else {
                Err(format!(
                    "`builder.engine` = \"{engine}\": the socket's path must begin with a slash"
                ))
            };
        }
        let Some((host, port)) = engine
            .strip_prefix("tcp://")
            .and_then(|address| address.trim_end_matches('/').rsplit_once(':'))
        else {
            return Err(format!(
                "`builder.engine` = \"{engine}\" must be unix://PATH or tcp://HOST:PORT"
            ));
        };
        if port.parse::<u16>().is_err() {
            return Err(format!("`builder.engine` = \"{engine}\" has no port"));
        }
        let host = host.trim_matches(['[', ']']);
        let is_loopback = host == "localhost"
            || host
                .parse::<IpAddr>()
                .is_ok_and(|address| address.to_canonical().is_loopback());
        if is_loopback {
            Ok(())
        } else {
            Err(format!(
                "`builder.engine` = \"{engine}\" would send passwords of package indexes and images over the network \
                 unencrypted: forward the engine's socket instead, for example with `ssh -N -L \
                 /run/tfleet/builder.sock:/run/docker.sock {host}`, and name it as \
                 unix:///run/tfleet/builder.sock"
            ))
        }
    }
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
    /// Whether the wheels of builds stay in the vault, so that every variant can be built again without an index. A
    /// variant's weigh 0.3 GB (CPU) to 3 GB (CUDA 12); what variants share is kept once.
    pub keep_wheels: bool,
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
            keep_wheels: true,
            // An engine without a bridge, and a site whose mirror listens on the builder itself, both work with it.
            network: "host".to_owned(),
            extra_packages: Vec::new(),
            bashrc: None,
            environment: BTreeMap::new(),
        }
    }
}
