//! The agent's configuration file, `agent.toml`.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::{fs, io};

use bytesize::ByteSize;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use tfleet_proto::channel::Address;

/// Where the host owner's policy is, unless the configuration says otherwise.
const POLICY_FILE: &str = "/etc/tfleet/policy.toml";

/// What `agent.toml` says. A key that is not below is an error.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Folder for key, certificate, ledger and the spool of images on their way; absolute.
    pub data_dir: PathBuf,
    /// The coordinator's enrolment listener.
    #[serde(deserialize_with = "address")]
    pub enrolment: Address,
    /// The coordinator's fleet listener.
    #[serde(deserialize_with = "address")]
    pub fleet: Address,
    /// The container engine: "unix:///run/docker.sock".
    #[serde(default = "default_engine")]
    pub engine: String,
    /// Where containerd keeps its data; absolute. Says where there must be room for images on a containerd image store,
    /// where it is not found by itself.
    #[serde(default)]
    pub containerd_root: Option<PathBuf>,
    /// The host owner's policy file; absolute.
    #[serde(default = "default_policy")]
    pub policy: PathBuf,
    /// A file with a token, used while there is no certificate, emptied after use; absolute.
    #[serde(default)]
    pub token_file: Option<PathBuf>,
    /// Where this host serves the images that it fetches to other hosts, `ADDRESS:PORT`, if the policy allows it.
    #[serde(default)]
    pub peers: Option<SocketAddr>,
    /// How much of earlier images may stay on the disk, so that the next ones are sent as what changed: "10GB".
    #[serde(default = "default_cache", deserialize_with = "size")]
    pub cache: ByteSize,
    /// What operators select this host by.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
}

#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("cannot read the configuration {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("cannot understand the configuration {}", path.display())]
    Form {
        path: PathBuf,
        source: toml::de::Error,
    },
    #[error("the configuration {} has {key} = \"{}\": expected an absolute path", path.display(), value.display())]
    Relative {
        path: PathBuf,
        key: &'static str,
        value: PathBuf,
    },
}

impl Config {
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = fs::read_to_string(path).map_err(|source| ConfigError::Read {
            path: path.to_path_buf(),
            source,
        })?;
        Self::parse(&text, path)
    }

    /// Reads the text of `path`, which is named in errors.
    pub fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let config: Self = toml::from_str(text).map_err(|source| ConfigError::Form {
            path: path.to_path_buf(),
            source,
        })?;
        let paths = [
            ("data_dir", Some(&config.data_dir)),
            ("containerd_root", config.containerd_root.as_ref()),
            ("policy", Some(&config.policy)),
            ("token_file", config.token_file.as_ref()),
        ];
        for (key, value) in paths {
            if let Some(value) = value.filter(|value| !value.is_absolute()) {
                return Err(ConfigError::Relative {
                    path: path.to_path_buf(),
                    key,
                    value: value.clone(),
                });
            }
        }
        Ok(config)
    }

    /// Key, certificate and the fleet's CA.
    pub fn identity_folder(&self) -> PathBuf {
        self.data_dir.join("identity")
    }

    /// What the agent accepted and did.
    pub fn ledger_folder(&self) -> PathBuf {
        self.data_dir.join("ledger")
    }

    /// Chunks of images on their way, and what was loaded.
    pub fn delivery_folder(&self) -> PathBuf {
        self.data_dir.join("delivery")
    }
}

/// An address is checked when the file is read, so that the error has a line.
fn address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Address, D::Error> {
    String::deserialize(deserializer)?
        .parse()
        .map_err(D::Error::custom)
}

fn size<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ByteSize, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map_err(|_| {
        D::Error::custom(format!(
            "\"{text}\" is no size; write it as \"10GB\" or \"500MiB\", or \"0\" for none"
        ))
    })
}

/// Five images with CUDA's libraries, about.
fn default_cache() -> ByteSize {
    ByteSize::gb(10)
}

fn default_engine() -> String {
    "unix:///run/docker.sock".to_owned()
}

fn default_policy() -> PathBuf {
    PathBuf::from(POLICY_FILE)
}

#[cfg(test)]
mod tests;
