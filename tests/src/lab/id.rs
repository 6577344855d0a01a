//! Which of the labs on this machine: everything that is named machine-wide carries the lab's number.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

/// 0 is the lab of `tfleet-lab`; tests take numbers from 1 on, so that they never meet it or each other.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct LabId(u8);

impl LabId {
    pub const DEFAULT: Self = Self(0);
    /// The highest number.
    pub const LAST: u8 = 200;

    pub fn new(number: u8) -> Option<Self> {
        (number <= Self::LAST).then_some(Self(number))
    }

    pub fn number(self) -> u8 {
        self.0
    }

    /// The bridge that connects the hosts with the root namespace.
    pub fn bridge(self) -> String {
        format!("tfleet{}", self.0)
    }

    /// Where the root namespace, and so a coordinator, is reached.
    pub fn address(self) -> Ipv4Addr {
        Ipv4Addr::new(10, 88, self.0, 1)
    }

    /// The range of both, as CIDR.
    pub fn network(self) -> String {
        format!("10.88.{}.0/24", self.0)
    }

    /// The address of the host at `index`.
    pub fn host_address(self, index: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, 88, self.0, 10 + index)
    }

    pub fn namespace(self, host: &str) -> String {
        format!("tfleet{}-{host}", self.0)
    }

    /// The root namespace's end of a host's cable. Linux allows 15 characters.
    pub fn cable(self, index: u8) -> String {
        format!("tfleet{}h{index}", self.0)
    }

    /// The builder engine's own bridge. An engine that is given none removes `docker0`, whoever it belongs to.
    pub fn builder_bridge(self) -> String {
        format!("tfleet{}b", self.0)
    }

    pub fn builder_bridge_address(self) -> Ipv4Addr {
        Ipv4Addr::new(10, 89, self.0, 1)
    }

    /// The parent of all control groups of this lab's containers at `host`.
    pub fn control_group(self, host: &str) -> String {
        format!("/tfleet-lab/{}/{host}", self.0)
    }
}

impl fmt::Display for LabId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

impl FromStr for LabId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.parse()
            .ok()
            .and_then(Self::new)
            .ok_or_else(|| format!("a lab's number is between 0 and {}", Self::LAST))
    }
}
