//! What the agent remembers: the desired state it accepted, and its own deeds. Dying on any line loses neither.
//!
//! Two files, because they have two owners: the session writes what was [`Accepted`], the reconciler its [`Deeds`]. Each
//! says to which [`Membership`] it belongs. One of an earlier membership counts as empty: what was done then goes on, and
//! from now on is somebody else's.

mod accepted;
mod deeds;
mod membership;

use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::durable::{self, Access, FileError};

pub use accepted::{Acceptance, Accepted, Unacceptable};
pub use deeds::{ContainerDeed, Deeds, ImageDeed, Starting};
pub use membership::Membership;

/// What is wrong with a file of the ledger.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error("the process ended before the ledger was written")]
    Ended(#[source] tokio::task::JoinError),
    #[error(
        "the ledger {} is damaged; move it away and start the agent again: its containers keep running, and it will \
         report their names as taken until they are removed by hand",
        path.display()
    )]
    Damaged {
        path: PathBuf,
        source: serde_json::Error,
    },
}

fn load<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, LedgerError> {
    durable::read(path)?
        .map(|content| serde_json::from_slice(&content))
        .transpose()
        .map_err(|source| LedgerError::Damaged {
            path: path.to_path_buf(),
            source,
        })
}

/// Writes on a blocking thread: an fsync can take seconds on a busy disk.
async fn save<T: Serialize + Send + 'static>(path: PathBuf, value: T) -> Result<(), LedgerError> {
    let written = tokio::task::spawn_blocking(move || {
        #[expect(
            clippy::expect_used,
            reason = "the ledger's types have string keys only, so JSON can hold them"
        )]
        let content = serde_json::to_vec_pretty(&value).expect("the ledger is valid JSON");
        durable::write(&path, &content, Access::Owner)
    });
    Ok(written.await.map_err(LedgerError::Ended)??)
}

#[cfg(test)]
mod tests;
