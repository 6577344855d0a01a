//! The fleet as a whole.

use serde::Serialize;
use tfleet_proto::wire;

use super::quantity::bytes;
use super::{Cell, Grid, Tabular};

#[derive(Debug, Serialize)]
pub struct Fleet {
    pub name: String,
    pub coordinator_version: String,
    pub incarnation: u64,
    pub hosts: u32,
    pub connected_hosts: u32,
    pub stored_bytes: u64,
    pub free_bytes: u64,
}

impl From<wire::Fleet> for Fleet {
    fn from(fleet: wire::Fleet) -> Self {
        Self {
            name: fleet.name,
            coordinator_version: fleet.coordinator_version,
            incarnation: fleet.incarnation,
            hosts: fleet.hosts,
            connected_hosts: fleet.connected_hosts,
            stored_bytes: fleet.stored_bytes,
            free_bytes: fleet.free_bytes,
        }
    }
}

impl Tabular for Fleet {
    fn grids(&self) -> Vec<Grid> {
        vec![Grid::of_pairs([
            ("fleet", Cell::from(self.name.as_str())),
            ("coordinator", Cell::from(self.coordinator_version.as_str())),
            ("incarnation", Cell::from(self.incarnation.to_string())),
            (
                "hosts",
                Cell::from(format!(
                    "{} of {} connected",
                    self.connected_hosts, self.hosts
                )),
            ),
            ("stored", Cell::from(bytes(self.stored_bytes))),
            ("free", Cell::from(bytes(self.free_bytes))),
        ])]
    }
}
