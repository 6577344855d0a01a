//! The coordinator's durable state: SQLite, write-ahead log, synced at every commit.
//!
//! What belongs together changes in one transaction. Calls run on blocking threads, one at a time: SQLite has one writer
//! anyway, and every call is short.

mod column;
mod desired;
mod host;
mod operator;
mod release;
mod request;
mod token;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use rusqlite::{Connection, Transaction, TransactionBehavior};

pub use host::HostRecord;
pub use operator::OperatorRecord;
pub use release::{BuildPhase, Created, Locked, Origin, Release, VariantBuild};
pub use request::ReleaseRequest;
pub use token::{NewToken, Redemption};

const SCHEMA: &str = include_str!("schema.sql");
const SCHEMA_VERSION: i64 = 2;
/// What makes a state of version 1 one of version 2.
const FROM_1_TO_2: &str = "
    ALTER TABLE host ADD COLUMN asked INTEGER NOT NULL DEFAULT 0;
    UPDATE host SET asked = 1 WHERE key IS NOT NULL AND generation > 0;";

#[derive(Clone)]
pub struct Store {
    connection: Arc<Mutex<Connection>>,
}

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("cannot open the state in {path}")]
    Open {
        path: PathBuf,
        source: rusqlite::Error,
    },
    #[error(
        "the state in {path} has version {found}; this coordinator knows {SCHEMA_VERSION}: use the newer coordinator"
    )]
    TooNew { path: PathBuf, found: i64 },
    #[error("cannot {operation}")]
    Sql {
        operation: &'static str,
        source: rusqlite::Error,
    },
    #[error("the state's thread ended while it was to {operation}")]
    Stopped { operation: &'static str },
}

impl Store {
    /// The state in `path`; made if there is none.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let at = |source| StoreError::Open {
            path: path.to_owned(),
            source,
        };
        let mut connection = Connection::open(path).map_err(at)?;
        connection
            .execute_batch(
                "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA busy_timeout = 5000;",
            )
            .map_err(at)?;
        let found: i64 = connection
            .query_row("PRAGMA user_version", [], |row| row.get(0))
            .map_err(at)?;
        match found {
            SCHEMA_VERSION => {}
            0 => become_current(&mut connection, SCHEMA).map_err(at)?,
            1 => become_current(&mut connection, FROM_1_TO_2).map_err(at)?,
            found => {
                return Err(StoreError::TooNew {
                    path: path.to_owned(),
                    found,
                });
            }
        }
        Ok(Self {
            connection: Arc::new(Mutex::new(connection)),
        })
    }

    /// The operator's word that this state was restored from a backup. Gives the new incarnation: the time in seconds
    /// since 1970, since one backup may be restored twice, and what hosts accepted in between is in no backup.
    pub async fn raise_incarnation(&self, now: Timestamp) -> Result<u64, StoreError> {
        self.run("raise the incarnation", move |transaction| {
            transaction.query_row(
                "UPDATE fleet SET incarnation = max(incarnation + 1, ?1) RETURNING incarnation",
                [now.as_second()],
                |row| row.get::<_, i64>(0),
            )
        })
        .await
        .map(i64::cast_unsigned)
    }

    /// Raised by an operator's explicit word when state is restored from a backup.
    pub async fn incarnation(&self) -> Result<u64, StoreError> {
        self.run("read the incarnation", |transaction| {
            transaction.query_row("SELECT incarnation FROM fleet", [], |row| {
                row.get::<_, i64>(0)
            })
        })
        .await
        .map(i64::cast_unsigned)
    }

    /// One transaction on a blocking thread. It is committed if `work` succeeds.
    async fn run<T: Send + 'static>(
        &self,
        operation: &'static str,
        work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let connection = self.connection.clone();
        let done = tokio::task::spawn_blocking(move || {
            // A poisoned lock is a panic inside a transaction, which was rolled back: the state is whole.
            let mut connection = connection.lock().unwrap_or_else(PoisonError::into_inner);
            let transaction =
                connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let value = work(&transaction)?;
            transaction.commit()?;
            Ok(value)
        });
        done.await
            .map_err(|_| StoreError::Stopped { operation })?
            .map_err(|source| StoreError::Sql { operation, source })
    }
}

/// Makes the state one of this version, or leaves it as it was.
fn become_current(connection: &mut Connection, steps: &str) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    transaction.execute_batch(steps)?;
    transaction.pragma_update(None, "user_version", SCHEMA_VERSION)?;
    transaction.commit()
}

#[cfg(test)]
mod tests;
