//! Operators' certificates.

use jiff::Timestamp;
use rusqlite::{Row, params};
use tfleet_proto::model::digest::Digest;

use super::{Store, StoreError, column};

#[derive(Debug, Clone)]
pub struct OperatorRecord {
    pub name: String,
    pub key: Digest,
    pub issued_at: Timestamp,
    pub ends_at: Timestamp,
    pub revoked: bool,
}

impl Store {
    pub async fn operators(&self) -> Result<Vec<OperatorRecord>, StoreError> {
        self.run("read the operators", |transaction| {
            transaction
                .prepare("SELECT * FROM operator ORDER BY name")?
                .query_map([], record)?
                .collect()
        })
        .await
    }

    /// False: an operator of that name has a certificate that still counts.
    pub async fn add_operator(&self, operator: OperatorRecord) -> Result<bool, StoreError> {
        self.run("write down an operator", move |transaction| {
            let changed = transaction.execute(
                "INSERT INTO operator (name, key, issued_at, ends_at, revoked) VALUES (?1, ?2, ?3, ?4, 0)
                 ON CONFLICT (name) DO UPDATE SET
                    key = excluded.key, issued_at = excluded.issued_at, ends_at = excluded.ends_at, revoked = 0
                 WHERE operator.revoked = 1 OR operator.ends_at < excluded.issued_at",
                params![
                    operator.name,
                    operator.key.to_string(),
                    operator.issued_at.to_string(),
                    operator.ends_at.to_string()
                ],
            )?;
            Ok(changed > 0)
        })
        .await
    }

    /// False: there is no such operator.
    pub async fn revoke_operator(&self, name: String) -> Result<bool, StoreError> {
        self.run("revoke an operator", move |transaction| {
            Ok(transaction.execute("UPDATE operator SET revoked = 1 WHERE name = ?1", [name])? > 0)
        })
        .await
    }
}

fn record(row: &Row<'_>) -> rusqlite::Result<OperatorRecord> {
    Ok(OperatorRecord {
        name: row.get("name")?,
        key: column::parsed(row, "key")?,
        issued_at: column::parsed(row, "issued_at")?,
        ends_at: column::parsed(row, "ends_at")?,
        revoked: row.get("revoked")?,
    })
}
