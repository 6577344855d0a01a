//! The operator's word that the state was restored from a backup.

use jiff::Timestamp;

use super::{AppError, data};
use crate::config::Config;
use crate::store::Store;

/// What a coordinator speaks as from its next start on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Restored {
    pub before: u64,
    pub now: u64,
    pub hosts: usize,
}

/// Raises the incarnation, so that hosts take what this older state says although they have accepted newer. Nobody but a
/// person can tell a restored state from a stale copy, which is why no coordinator does it by itself.
pub async fn restored(config: &Config) -> Result<Restored, AppError> {
    let path = config.data_dir.join("state.db");
    if !path.exists() {
        return Err(AppError::NothingRestored { path });
    }
    let _lock = data::Lock::take(&config.data_dir)?;
    let store = Store::open(&path)?;
    let before = store.incarnation().await?;
    let hosts = store.hosts().await?.len();
    let now = store.raise_incarnation(Timestamp::now()).await?;
    Ok(Restored { before, now, hosts })
}
