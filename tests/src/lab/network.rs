//! The bridge of a lab, and each host's network namespace with its cable to it.
//!
//! A host has no default route: it reaches what is on the bridge and nothing else, like the hosts of a closed site.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use super::command::ip;
use super::error::{LabError, at};
use super::id::LabId;

/// Makes the bridge unless it is there.
pub fn raise_bridge(name: &str, address: Ipv4Addr) -> Result<(), LabError> {
    if !link_exists(name) {
        ip(&format!("link add {name} type bridge"))?;
    }
    ip(&format!("address replace {address}/24 dev {name}"))?;
    ip(&format!("link set {name} up"))?;
    Ok(())
}

pub fn remove_link(name: &str) -> Result<(), LabError> {
    if link_exists(name) {
        ip(&format!("link delete {name}"))?;
    }
    Ok(())
}

/// A host's network namespace and its end of the cable.
#[derive(Clone, Debug)]
pub struct HostNetwork {
    namespace: String,
    cable: String,
    bridge: String,
    address: Ipv4Addr,
}

impl HostNetwork {
    pub fn new(lab: LabId, host: &str, index: u8) -> Self {
        Self {
            namespace: lab.namespace(host),
            cable: lab.cable(index),
            bridge: lab.bridge(),
            address: lab.host_address(index),
        }
    }

    pub fn address(&self) -> Ipv4Addr {
        self.address
    }

    /// The file by which the namespace is entered.
    pub fn path(&self) -> PathBuf {
        Path::new("/run/netns").join(&self.namespace)
    }

    /// The root namespace's end of the cable, for `tc` and the like.
    pub fn cable(&self) -> &str {
        &self.cable
    }

    /// Bytes that went to the host since it came up.
    pub fn sent_bytes(&self) -> Result<u64, LabError> {
        self.counter("tx_bytes")
    }

    /// Bytes that came from the host since it came up.
    pub fn received_bytes(&self) -> Result<u64, LabError> {
        self.counter("rx_bytes")
    }

    /// Both together.
    pub fn passed_bytes(&self) -> Result<u64, LabError> {
        Ok(self.sent_bytes()? + self.received_bytes()?)
    }

    /// Of our end of the cable.
    fn counter(&self, name: &str) -> Result<u64, LabError> {
        let file = PathBuf::from(format!("/sys/class/net/{}/statistics/{name}", self.cable));
        let text = fs::read_to_string(&file).map_err(at("read", &file))?;
        let malformed = |error| std::io::Error::new(std::io::ErrorKind::InvalidData, error);
        text.trim()
            .parse()
            .map_err(malformed)
            .map_err(at("read", &file))
    }

    pub fn raise(&self) -> Result<(), LabError> {
        let Self {
            namespace,
            cable,
            bridge,
            address,
        } = self;
        if !self.path().exists() {
            ip(&format!("netns add {namespace}"))?;
        }
        if !link_exists(cable) {
            ip(&format!(
                "link add {cable} type veth peer name eth0 netns {namespace}"
            ))?;
        }
        ip(&format!("link set {cable} master {bridge} up"))?;
        ip(&format!("-n {namespace} link set lo up"))?;
        ip(&format!(
            "-n {namespace} address replace {address}/24 dev eth0"
        ))?;
        ip(&format!("-n {namespace} link set eth0 up"))?;
        Ok(())
    }

    /// Pulls the cable out of the bridge; [`Self::raise`] puts it back.
    pub fn unplug(&self) -> Result<(), LabError> {
        ip(&format!("link set {} down", self.cable)).map(drop)
    }

    pub fn remove(&self) -> Result<(), LabError> {
        remove_link(&self.cable)?;
        if self.path().exists() {
            ip(&format!("netns delete {}", self.namespace))?;
        }
        Ok(())
    }
}

fn link_exists(name: &str) -> bool {
    Path::new("/sys/class/net").join(name).exists()
}
