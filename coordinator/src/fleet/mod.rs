//! The live fleet: what each host last said, which are connected, and who waits for what.
//!
//! The store is the durable truth; this is its image in memory plus what only lives (sessions, operations). Watchers are
//! woken by one counter and read what changed since they last looked, so a slow watcher costs nothing and gets the latest
//! state of each host instead of every one in between.

mod operations;
mod session;
mod view;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use jiff::Timestamp;
use tfleet_proto::model::desired::DesiredState;
use tfleet_proto::model::digest::Digest;
use tfleet_proto::model::inventory::Inventory;
use tfleet_proto::model::name::HostName;
use tfleet_proto::model::status::HostStatus;
use tokio::sync::watch;

pub use operations::{ATTACH_WITHIN, AgentEnd, AttachError, OperationEnds, Operations, StartError};
pub use session::{SessionEnd, SessionSeat};
pub use view::HostView;

use crate::listener::{Admission, Connections, Peer};
use crate::store::{Store, StoreError};

#[derive(Clone)]
pub struct Fleet {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    hosts: RwLock<BTreeMap<HostName, Entry>>,
    /// Names of hosts that were removed, with the version of their removal.
    removed: Mutex<BTreeMap<HostName, u64>>,
    version: watch::Sender<u64>,
    operations: Operations,
    connections: Connections,
}

struct Entry {
    version: u64,
    key: Digest,
    view: Arc<HostView>,
    desired: watch::Sender<Arc<DesiredState>>,
    seat: Option<session::Seat>,
}

/// What changed since a watcher last looked.
#[derive(Debug, Default)]
pub struct Changes {
    pub hosts: Vec<Arc<HostView>>,
    pub removed: Vec<HostName>,
}

impl Fleet {
    /// The fleet as the store knows it, nobody connected.
    pub async fn open(store: Store, connections: Connections) -> Result<Self, StoreError> {
        let hosts = store.hosts().await?;
        let hosts = hosts
            .into_iter()
            .map(|record| (record.name.clone(), Entry::of(record)))
            .collect();
        Ok(Self {
            inner: Arc::new(Inner {
                store,
                hosts: RwLock::new(hosts),
                removed: Mutex::default(),
                version: watch::Sender::new(1),
                operations: Operations::default(),
                connections,
            }),
        })
    }

    pub fn operations(&self) -> &Operations {
        &self.inner.operations
    }

    pub fn host(&self, name: &HostName) -> Option<Arc<HostView>> {
        self.read().get(name).map(|entry| entry.view.clone())
    }

    /// All hosts, by name.
    pub fn hosts(&self) -> Vec<Arc<HostView>> {
        self.read()
            .values()
            .map(|entry| entry.view.clone())
            .collect()
    }

    /// Wakes whenever anything changes; its value is the version to ask [`Self::changes_since`] with next time.
    pub fn versions(&self) -> watch::Receiver<u64> {
        self.inner.version.subscribe()
    }

    pub fn changes_since(&self, version: u64) -> Changes {
        let changed = |entry: &&Entry| entry.version > version;
        let hosts = self
            .read()
            .values()
            .filter(changed)
            .map(|entry| entry.view.clone())
            .collect();
        let removed = self
            .removed()
            .iter()
            .filter(|(_, at)| **at > version)
            .map(|(name, _)| name.clone())
            .collect();
        Changes { hosts, removed }
    }

    /// What a host shall have, now and whenever that changes.
    pub fn desired(&self, name: &HostName) -> Option<watch::Receiver<Arc<DesiredState>>> {
        self.read().get(name).map(|entry| entry.desired.subscribe())
    }

    /// Whether this host may fetch this artifact: it may if its desired state names it.
    pub fn may_fetch(&self, name: &HostName, artifact: &Digest) -> bool {
        self.read().get(name).is_some_and(|entry| {
            entry
                .view
                .desired
                .images
                .iter()
                .any(|image| image.artifact == *artifact)
        })
    }

    /// Reads a host anew from the store, after it enrolled or its certificate was renewed.
    pub async fn reload(&self, name: &HostName) -> Result<(), StoreError> {
        let Some(record) = self.inner.store.host(name.clone()).await? else {
            return Ok(());
        };
        self.removed().remove(name);
        let version = self.next_version();
        {
            let mut hosts = self
                .inner
                .hosts
                .write()
                .unwrap_or_else(PoisonError::into_inner);
            let mut fresh = Entry::of(record);
            fresh.version = version;
            if let Some(old) = hosts.remove(name) {
                let mut view = (*fresh.view).clone();
                view.connected = old.view.connected;
                fresh.view = Arc::new(view);
                fresh.seat = old.seat;
                // Whoever watches the desired state goes on watching.
                old.desired
                    .send_replace(Arc::new(fresh.view.desired.clone()));
                fresh.desired = old.desired;
            }
            hosts.insert(name.clone(), fresh);
        }
        self.wake(version);
        Ok(())
    }

    /// Forgets a host at once: streams, operations, memory. The store must have removed it before.
    pub fn forget(&self, name: &HostName) {
        let version = self.next_version();
        self.inner
            .hosts
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(name);
        self.removed().insert(name.clone(), version);
        self.inner
            .connections
            .end(|peer| matches!(peer, Peer::Host { name: gone, .. } if gone == name));
        self.inner.operations.end_of_host(name);
        self.wake(version);
    }

    /// Ends an operator's streams. The store must have revoked it before.
    pub fn end_operator(&self, name: &str) {
        self.inner
            .connections
            .end(|peer| matches!(peer, Peer::Operator { name: gone, .. } if gone == name));
    }

    /// Takes over a desired state that the store has.
    pub fn set_desired(&self, name: &HostName, desired: DesiredState) {
        self.update(name, |entry| {
            // Two changes may arrive here in the other order than the store made them.
            if desired.generation > entry.view.desired.generation {
                entry.desired.send_replace(Arc::new(desired.clone()));
                Arc::make_mut(&mut entry.view).desired = desired;
            }
        });
    }

    pub async fn set_inventory(
        &self,
        name: &HostName,
        inventory: Inventory,
    ) -> Result<(), StoreError> {
        self.update(name, |entry| {
            let view = Arc::make_mut(&mut entry.view);
            view.inventory = Some(Arc::new(inventory.clone()));
            view.last_seen_at = Some(Timestamp::now());
        });
        self.inner
            .store
            .put_inventory(name.clone(), inventory)
            .await
    }

    pub async fn set_status(&self, name: &HostName, status: HostStatus) -> Result<(), StoreError> {
        let now = Timestamp::now();
        self.update(name, |entry| {
            let view = Arc::make_mut(&mut entry.view);
            view.status = Some(status.clone());
            view.last_seen_at = Some(now);
        });
        self.inner.store.put_status(name.clone(), status, now).await
    }

    fn update(&self, name: &HostName, change: impl FnOnce(&mut Entry)) {
        let version = self.next_version();
        if let Some(entry) = self
            .inner
            .hosts
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .get_mut(name)
        {
            change(entry);
            entry.version = version;
        }
        self.wake(version);
    }

    /// Versions are handed out before the change and announced after it, so that no watcher reads past a change.
    fn next_version(&self) -> u64 {
        let mut next = 0;
        self.inner.version.send_if_modified(|version| {
            *version += 1;
            next = *version;
            false
        });
        next
    }

    fn wake(&self, _version: u64) {
        self.inner.version.send_modify(|_| {});
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, BTreeMap<HostName, Entry>> {
        self.inner
            .hosts
            .read()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn removed(&self) -> MutexGuard<'_, BTreeMap<HostName, u64>> {
        self.inner
            .removed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    fn of(record: crate::store::HostRecord) -> Self {
        Self {
            version: 1,
            key: record.key,
            desired: watch::Sender::new(Arc::new(record.desired.clone())),
            view: Arc::new(HostView::of(record)),
            seat: None,
        }
    }
}

/// A certificate counts while its key is the one that the fleet has for that name.
#[tonic::async_trait]
impl Admission for Fleet {
    async fn admits(&self, peer: &Peer) -> bool {
        match peer {
            Peer::Anonymous => true,
            Peer::Revoked(_) => false,
            Peer::Host { name, key } => {
                self.read().get(name).is_some_and(|entry| entry.key == *key)
            }
            Peer::Operator { name, key } => match self.inner.store.operators().await {
                Ok(operators) => operators.iter().any(|operator| {
                    operator.name == *name && operator.key == *key && !operator.revoked
                }),
                Err(error) => {
                    tracing::error!(
                        error = &error as &dyn std::error::Error,
                        "cannot tell whether an operator counts"
                    );
                    false
                }
            },
        }
    }
}

#[cfg(test)]
mod tests;
