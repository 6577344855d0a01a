//! The host owner's last word: a root-owned file that caps whatever the coordinator asks. Deny by default.
//!
//! A specification is checked before a container is made of it, and what the engine made is checked before it starts.

mod check;
mod file;
mod nesting;

use std::fmt;
use std::path::PathBuf;

use tfleet_proto::model::desired::HostNamespace;
use tfleet_proto::model::failure::Failure;

pub use check::Made;
pub use file::PolicyError;
pub use nesting::check_beside;

/// What the owner of this host allows. See `deploy/agent/policy.toml` for the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Folders of the host of which containers may see something.
    bind_prefixes: Vec<PathBuf>,
    exec: bool,
    peers: bool,
    privileged: bool,
    host_namespaces: Vec<HostNamespace>,
    /// Upper case, without "CAP_".
    capabilities: Vec<String>,
    gpus: bool,
    releases: Vec<ReleasePattern>,
    host_ports: Vec<PortRange>,
}

/// A key of the policy file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Rule {
    BindPrefixes,
    Exec,
    Privileged,
    HostNamespaces,
    Capabilities,
    Gpus,
    Releases,
    HostPorts,
}

/// What the policy does not allow.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("this host's policy refuses {what}")]
    Rule { rule: Rule, what: String },
    /// A missing folder is never made: it would be root's, and empty.
    #[error("the path {} that shall be bound into the container cannot be found on this host: {why}", path.display())]
    BindSource { path: PathBuf, why: String },
    /// Passes when the other container goes.
    #[error(
        "this host's policy refuses to bind {} and {} in two containers, this one and {other}: who may write in the outer \
         one can make the inner one lead anywhere",
        inner.display(), outer.display()
    )]
    Nested {
        inner: PathBuf,
        outer: PathBuf,
        other: String,
    },
}

/// A release's name; a `*` at the end stands for anything.
#[derive(Debug, Clone, PartialEq, Eq)]
struct ReleasePattern(String);

/// From the first to the last, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct PortRange {
    first: u16,
    last: u16,
}

impl Policy {
    /// Where there is no file: containers with GPUs, from any release of the fleet, with ports from 1024 up, and
    /// nothing of the host beyond that.
    pub fn built_in() -> Self {
        Self {
            bind_prefixes: Vec::new(),
            exec: false,
            peers: false,
            privileged: false,
            host_namespaces: Vec::new(),
            capabilities: Vec::new(),
            gpus: true,
            releases: vec![ReleasePattern("*".to_owned())],
            host_ports: vec![PortRange {
                first: 1024,
                last: u16::MAX,
            }],
        }
    }

    /// Whether operators may run commands in this host's containers.
    pub fn check_exec(&self) -> Result<(), Refusal> {
        if self.exec {
            Ok(())
        } else {
            Err(Refusal::rule(Rule::Exec, "commands inside containers"))
        }
    }

    /// Whether this host may serve images to other hosts, and fetch from them.
    pub fn allows_peers(&self) -> bool {
        self.peers
    }
}

impl Rule {
    /// As the file has it.
    pub const fn key(self) -> &'static str {
        match self {
            Self::BindPrefixes => "bind_prefixes",
            Self::Exec => "exec",
            Self::Privileged => "privileged",
            Self::HostNamespaces => "host_namespaces",
            Self::Capabilities => "capabilities",
            Self::Gpus => "gpus",
            Self::Releases => "releases",
            Self::HostPorts => "host_ports",
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.key())
    }
}

impl Refusal {
    fn rule(rule: Rule, what: impl Into<String>) -> Self {
        Self::Rule {
            rule,
            what: what.into(),
        }
    }

    pub fn failure(&self) -> Failure {
        match self {
            Self::Rule { rule, .. } => Failure::new("policy-refused", self.to_string())
                .with_rule(rule.key())
                .with_remedy(format!(
                    "ask for less, or have the host's owner allow it under `{rule}` in the host's policy file and \
                     restart its agent"
                )),
            Self::BindSource { .. } => Failure::new("bind-source-missing", self.to_string())
                .with_remedy("create it on the host, or bind another path"),
            Self::Nested { other, .. } => Failure::new("bind-nested", self.to_string())
                .with_rule(Rule::BindPrefixes.key())
                .with_remedy(format!(
                    "bind the outer one read-only, bind folders that lie beside each other, or remove {other}"
                )),
        }
    }
}

impl ReleasePattern {
    fn matches(&self, release: &str) -> bool {
        match self.0.strip_suffix('*') {
            Some(start) => release.starts_with(start),
            None => self.0 == release,
        }
    }
}

impl PortRange {
    fn contains(self, port: u16) -> bool {
        (self.first..=self.last).contains(&port)
    }
}

#[cfg(test)]
mod tests;
