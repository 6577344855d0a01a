//! One host as operators see it.

use std::sync::Arc;

use jiff::Timestamp;
use tfleet_proto::convert::wire_timestamp;
use tfleet_proto::model::desired::DesiredState;
use tfleet_proto::model::inventory::Inventory;
use tfleet_proto::model::name::HostName;
use tfleet_proto::model::selector::Subject;
use tfleet_proto::model::status::HostStatus;
use tfleet_proto::wire;

use crate::store::HostRecord;

#[derive(Debug, Clone)]
pub struct HostView {
    pub name: HostName,
    pub connected: bool,
    pub last_seen_at: Option<Timestamp>,
    pub enrolled_at: Timestamp,
    pub certificate_ends_at: Option<Timestamp>,
    pub agent_version: Option<String>,
    pub address: Option<String>,
    pub inventory: Option<Arc<Inventory>>,
    pub status: Option<HostStatus>,
    pub desired: DesiredState,
}

impl HostView {
    pub(super) fn of(record: HostRecord) -> Self {
        Self {
            name: record.name,
            connected: false,
            last_seen_at: record.last_seen_at,
            enrolled_at: record.enrolled_at,
            certificate_ends_at: record.certificate_ends_at,
            agent_version: record.agent_version,
            address: record.address,
            inventory: record.inventory.map(Arc::new),
            status: record.status,
            desired: record.desired,
        }
    }

    pub fn subject(&self) -> Subject<'_> {
        Subject {
            name: &self.name,
            connected: self.connected,
            inventory: self.inventory.as_deref(),
        }
    }
}

impl From<&HostView> for wire::Host {
    fn from(view: &HostView) -> Self {
        Self {
            name: view.name.to_string(),
            connected: view.connected,
            last_seen_at: view.last_seen_at.map(wire_timestamp),
            enrolled_at: Some(wire_timestamp(view.enrolled_at)),
            certificate_ends_at: view.certificate_ends_at.map(wire_timestamp),
            agent_version: view.agent_version.clone().unwrap_or_default(),
            address: view.address.clone().unwrap_or_default(),
            inventory: view.inventory.as_deref().cloned().map(Into::into),
            status: view.status.clone().map(Into::into),
            // Generation zero is what nobody has asked anything of yet.
            desired: (view.desired.generation > 0).then(|| view.desired.clone().into()),
        }
    }
}
