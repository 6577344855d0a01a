//! The policy file, `/etc/tfleet/policy.toml`.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use tfleet_proto::model::desired::HostNamespace;

use super::{Policy, PortRange, ReleasePattern};

/// Why there is no policy, and so no agent.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    #[error("cannot read the policy {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error(
        "the policy {} belongs to user {owner} with mode {mode:03o}: it must be root's, and writable by root alone; \
         run `chown root:root` and `chmod 644` on it",
        path.display()
    )]
    NotRoots {
        path: PathBuf,
        owner: u32,
        mode: u32,
    },
    #[error("cannot understand the policy {}", path.display())]
    Form {
        path: PathBuf,
        source: toml::de::Error,
    },
    #[error("the policy {} has `{value}` under {key}: {expected}", path.display())]
    Value {
        path: PathBuf,
        key: &'static str,
        value: String,
        expected: &'static str,
    },
}

/// The file's form. What is left out is as [`Policy::built_in`] has it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PolicyFile {
    bind_prefixes: Option<Vec<PathBuf>>,
    exec: Option<bool>,
    peers: Option<bool>,
    privileged: Option<bool>,
    host_namespaces: Option<Vec<HostNamespace>>,
    capabilities: Option<Vec<String>>,
    gpus: Option<bool>,
    releases: Option<Vec<String>>,
    host_ports: Option<Vec<PortEntry>>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum PortEntry {
    One(u16),
    Range(String),
}

impl Policy {
    /// Reads the policy; `None` where there is no such file.
    pub fn load(path: &Path) -> Result<Option<Self>, PolicyError> {
        let read_failed = |source| PolicyError::Read {
            path: path.to_path_buf(),
            source,
        };
        let file = match fs::File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(read_failed(error)),
        };
        // Of the opened file and not of the path: nobody can swap it in between.
        check_owner(path, &file.metadata().map_err(read_failed)?)?;
        let text = io::read_to_string(file).map_err(read_failed)?;
        Self::parse(&text, path).map(Some)
    }

    /// Reads the text of `path`, which is named in errors.
    pub fn parse(text: &str, path: &Path) -> Result<Self, PolicyError> {
        let file: PolicyFile = toml::from_str(text).map_err(|source| PolicyError::Form {
            path: path.to_path_buf(),
            source,
        })?;
        file.policy(path)
    }
}

impl PolicyFile {
    fn policy(self, path: &Path) -> Result<Policy, PolicyError> {
        let default = Policy::built_in();
        let wrong = |key, value: &str, expected| PolicyError::Value {
            path: path.to_path_buf(),
            key,
            value: value.to_owned(),
            expected,
        };
        let bind_prefixes = self.bind_prefixes.unwrap_or(default.bind_prefixes);
        if let Some(relative) = bind_prefixes.iter().find(|prefix| !prefix.is_absolute()) {
            return Err(wrong(
                "bind_prefixes",
                &relative.to_string_lossy(),
                "expected an absolute path",
            ));
        }
        let capabilities = self.capabilities.unwrap_or(default.capabilities);
        if let Some(odd) = capabilities.iter().find(|name| !is_capability(name)) {
            return Err(wrong(
                "capabilities",
                odd,
                "expected a name such as SYS_PTRACE, without CAP_",
            ));
        }
        let releases = match self.releases {
            None => default.releases,
            Some(patterns) => patterns
                .into_iter()
                .map(|pattern| {
                    ReleasePattern::parse(&pattern).ok_or_else(|| {
                        wrong(
                            "releases",
                            &pattern,
                            "expected a release's name, with at most one `*` at its end",
                        )
                    })
                })
                .collect::<Result<_, _>>()?,
        };
        let host_ports = match self.host_ports {
            None => default.host_ports,
            Some(entries) => entries
                .iter()
                .map(|entry| {
                    PortRange::parse(entry).ok_or_else(|| {
                        wrong(
                            "host_ports",
                            &entry.text(),
                            "expected a port such as 8888, or a range such as \"1024-65535\"",
                        )
                    })
                })
                .collect::<Result<_, _>>()?,
        };
        Ok(Policy {
            bind_prefixes,
            exec: self.exec.unwrap_or(default.exec),
            peers: self.peers.unwrap_or(default.peers),
            privileged: self.privileged.unwrap_or(default.privileged),
            host_namespaces: self.host_namespaces.unwrap_or(default.host_namespaces),
            capabilities,
            gpus: self.gpus.unwrap_or(default.gpus),
            releases,
            host_ports,
        })
    }
}

impl ReleasePattern {
    fn parse(text: &str) -> Option<Self> {
        let start = text.strip_suffix('*').unwrap_or(text);
        let is_plain =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        (!text.is_empty() && start.bytes().all(is_plain)).then(|| Self(text.to_owned()))
    }
}

impl PortRange {
    fn parse(entry: &PortEntry) -> Option<Self> {
        let (first, last) = match entry {
            PortEntry::One(port) => (*port, *port),
            PortEntry::Range(text) => {
                let (first, last) = text.split_once('-')?;
                (first.trim().parse().ok()?, last.trim().parse().ok()?)
            }
        };
        (first > 0 && first <= last).then_some(Self { first, last })
    }
}

impl PortEntry {
    fn text(&self) -> String {
        match self {
            Self::One(port) => port.to_string(),
            Self::Range(text) => text.clone(),
        }
    }
}

fn check_owner(path: &Path, metadata: &Metadata) -> Result<(), PolicyError> {
    let (owner, mode) = (metadata.uid(), metadata.mode() & 0o7777);
    if owner == 0 && mode & 0o022 == 0 {
        Ok(())
    } else {
        Err(PolicyError::NotRoots {
            path: path.to_path_buf(),
            owner,
            mode,
        })
    }
}

fn is_capability(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
    !name.is_empty() && !name.starts_with("CAP_") && name.bytes().all(is_plain)
}
