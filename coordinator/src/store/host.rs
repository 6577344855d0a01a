//! Hosts: who is enrolled, and what each said last.

use jiff::Timestamp;
use rusqlite::{Row, params};
use tfleet_proto::model::desired::DesiredState;
use tfleet_proto::model::digest::Digest;
use tfleet_proto::model::inventory::Inventory;
use tfleet_proto::model::name::HostName;
use tfleet_proto::model::status::HostStatus;

use super::{Store, StoreError, column};

#[derive(Debug, Clone)]
pub struct HostRecord {
    pub name: HostName,
    /// Of the key that its certificate is for.
    pub key: Digest,
    pub enrolled_at: Timestamp,
    pub certificate_ends_at: Option<Timestamp>,
    pub last_seen_at: Option<Timestamp>,
    pub agent_version: Option<String>,
    pub address: Option<String>,
    pub inventory: Option<Inventory>,
    pub status: Option<HostStatus>,
    /// Its incarnation is the fleet's. Generation zero: no operator has asked anything of it since it enrolled.
    pub desired: DesiredState,
}

impl Store {
    /// Every enrolled host.
    pub async fn hosts(&self) -> Result<Vec<HostRecord>, StoreError> {
        self.run("read the hosts", |transaction| {
            let incarnation: i64 =
                transaction.query_row("SELECT incarnation FROM fleet", [], |row| row.get(0))?;
            transaction
                .prepare("SELECT * FROM host WHERE key IS NOT NULL ORDER BY name")?
                .query_map([], |row| record(row, incarnation))?
                .collect()
        })
        .await
    }

    pub async fn host(&self, name: HostName) -> Result<Option<HostRecord>, StoreError> {
        self.run("read a host", move |transaction| {
            let incarnation: i64 =
                transaction.query_row("SELECT incarnation FROM fleet", [], |row| row.get(0))?;
            transaction
                .prepare("SELECT * FROM host WHERE key IS NOT NULL AND name = ?1")?
                .query_map([name.as_str()], |row| record(row, incarnation))?
                .next()
                .transpose()
        })
        .await
    }

    /// Until when the host's certificate for `key` counts. False: there is no such host with that key.
    pub async fn host_certified(
        &self,
        name: HostName,
        key: Digest,
        ends_at: Timestamp,
    ) -> Result<bool, StoreError> {
        self.run("write down a certificate", move |transaction| {
            let changed = transaction.execute(
                "UPDATE host SET certificate_ends_at = ?3 WHERE name = ?1 AND key = ?2",
                params![name.as_str(), key.to_string(), ends_at.to_string()],
            )?;
            Ok(changed > 0)
        })
        .await
    }

    /// The host's certificate no longer counts and its desired state is forgotten; its generation is kept, so that a
    /// host of the same name that comes back does not refuse what it is told. The forgotten state is none that anybody
    /// asked for: sent to a host that comes back, it would end what runs there. False: there is no such host.
    pub async fn remove_host(&self, name: HostName) -> Result<bool, StoreError> {
        self.run("remove a host", move |transaction| {
            let empty = column::to_json(&DesiredState::default())?;
            let changed = transaction.execute(
                "UPDATE host SET key = NULL, inventory = NULL, status = NULL, desired = ?2, asked = 0
                 WHERE name = ?1 AND key IS NOT NULL",
                params![name.as_str(), empty],
            )?;
            transaction.execute("DELETE FROM token WHERE host = ?1", [name.as_str()])?;
            Ok(changed > 0)
        })
        .await
    }

    pub async fn host_seen(
        &self,
        name: HostName,
        at: Timestamp,
        agent_version: String,
        address: String,
    ) -> Result<(), StoreError> {
        self.run("write down a session", move |transaction| {
            let values = params![name.as_str(), at.to_string(), agent_version, address];
            transaction
                .execute("UPDATE host SET last_seen_at = ?2, agent_version = ?3, address = ?4 WHERE name = ?1", values)
                .map(drop)
        })
        .await
    }

    pub async fn put_inventory(
        &self,
        name: HostName,
        inventory: Inventory,
    ) -> Result<(), StoreError> {
        self.run("write down an inventory", move |transaction| {
            let values = params![name.as_str(), column::to_json(&inventory)?];
            transaction
                .execute("UPDATE host SET inventory = ?2 WHERE name = ?1", values)
                .map(drop)
        })
        .await
    }

    /// What hosts said of themselves, and when.
    pub async fn put_statuses(
        &self,
        statuses: Vec<(HostName, HostStatus, Timestamp)>,
    ) -> Result<(), StoreError> {
        self.run("write down statuses", move |transaction| {
            let mut write = transaction
                .prepare("UPDATE host SET status = ?2, last_seen_at = ?3 WHERE name = ?1")?;
            for (name, status, at) in statuses {
                write.execute(params![
                    name.as_str(),
                    column::to_json(&status)?,
                    at.to_string()
                ])?;
            }
            Ok(())
        })
        .await
    }
}

fn record(row: &Row<'_>, incarnation: i64) -> rusqlite::Result<HostRecord> {
    Ok(HostRecord {
        name: column::parsed(row, "name")?,
        key: column::parsed(row, "key")?,
        enrolled_at: column::parsed(row, "enrolled_at")?,
        certificate_ends_at: column::parsed_optional(row, "certificate_ends_at")?,
        last_seen_at: column::parsed_optional(row, "last_seen_at")?,
        agent_version: row.get("agent_version")?,
        address: row.get("address")?,
        inventory: column::json_optional(row, "inventory")?,
        status: column::json_optional(row, "status")?,
        desired: super::desired::read(row, incarnation)?,
    })
}
