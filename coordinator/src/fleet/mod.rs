//! The live fleet: what each host last said, which are connected, and who waits for what.
//!
//! The store is the durable truth; this is its image in memory plus what only lives (sessions, operations). Watchers are
//! woken by one counter and read what changed since they last looked, so a slow watcher costs nothing and gets the latest
//! state of each host instead of every one in between.

mod membership;
mod operations;
mod session;
mod view;

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use jiff::Timestamp;
use tfleet_proto::model::desired::DesiredState;
use tfleet_proto::model::digest::Digest;
use tfleet_proto::model::inventory::Inventory;
use tfleet_proto::model::name::HostName;
use tfleet_proto::model::status::HostStatus;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use operations::{ATTACH_WITHIN, AgentEnd, AttachError, OperationEnds, Operations, StartError};
pub use session::{SessionEnd, SessionSeat};
pub use view::HostView;

use crate::listener::{Admission, Connections, Peer};
use crate::store::{Store, StoreError};

/// Statuses change several times per second while images arrive; this often they are written down.
const KEEP_STATUSES_EVERY: Duration = Duration::from_secs(2);

#[derive(Clone)]
pub struct Fleet {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    members: RwLock<Members>,
    /// Follows [`Members::version`].
    version: watch::Sender<u64>,
    operations: Operations,
    connections: Connections,
    /// Enrolments, renewals, removals and changes take turns, each with the store and then with memory: what one wrote
    /// down can't reach memory after what a later one did. It is held across awaits, which is what it is for.
    turns: tokio::sync::Mutex<()>,
    /// Owns what goes on when a caller has left.
    tasks: TaskTracker,
}

#[derive(Default)]
struct Members {
    /// Counts changes. It is raised under the lock that the change is made under, so that whoever reads it has read
    /// every change up to it.
    version: u64,
    hosts: BTreeMap<HostName, Entry>,
    /// Hosts that were removed, with the version of their removal.
    removed: BTreeMap<HostName, u64>,
}

struct Entry {
    version: u64,
    key: Digest,
    view: Arc<HostView>,
    desired: watch::Sender<Arc<DesiredState>>,
    seat: Option<session::Seat>,
    /// Its status is newer than the store's.
    status_unkept: bool,
}

/// What changed since a watcher last looked.
#[derive(Debug, Default)]
pub struct Changes {
    /// What to ask [`Fleet::changes_since`] with next time.
    pub version: u64,
    pub hosts: Vec<Arc<HostView>>,
    pub removed: Vec<HostName>,
}

impl Fleet {
    /// The fleet as the store knows it, nobody connected.
    pub async fn open(
        store: Store,
        connections: Connections,
        tasks: TaskTracker,
    ) -> Result<Self, StoreError> {
        let hosts = store.hosts().await?;
        let hosts = hosts
            .into_iter()
            .map(|record| (record.name.clone(), Entry::of(record)))
            .collect();
        Ok(Self {
            inner: Arc::new(Inner {
                store,
                members: RwLock::new(Members {
                    version: 1,
                    hosts,
                    removed: BTreeMap::new(),
                }),
                version: watch::Sender::new(1),
                operations: Operations::default(),
                connections,
                turns: tokio::sync::Mutex::default(),
                tasks,
            }),
        })
    }

    pub fn operations(&self) -> &Operations {
        &self.inner.operations
    }

    pub fn host(&self, name: &HostName) -> Option<Arc<HostView>> {
        self.read().hosts.get(name).map(|entry| entry.view.clone())
    }

    /// All hosts, by name.
    pub fn hosts(&self) -> Vec<Arc<HostView>> {
        self.read()
            .hosts
            .values()
            .map(|entry| entry.view.clone())
            .collect()
    }

    /// Wakes whenever anything changes.
    pub fn versions(&self) -> watch::Receiver<u64> {
        self.inner.version.subscribe()
    }

    pub fn changes_since(&self, version: u64) -> Changes {
        let members = self.read();
        let hosts = members
            .hosts
            .values()
            .filter(|entry| entry.version > version);
        let removed = members.removed.iter().filter(|(_, at)| **at > version);
        Changes {
            version: members.version,
            hosts: hosts.map(|entry| entry.view.clone()).collect(),
            removed: removed.map(|(name, _)| name.clone()).collect(),
        }
    }

    /// What a host shall have, now and whenever that changes.
    pub fn desired(&self, name: &HostName) -> Option<watch::Receiver<Arc<DesiredState>>> {
        self.read()
            .hosts
            .get(name)
            .map(|entry| entry.desired.subscribe())
    }

    /// Whether this host may fetch this artifact: it may if its desired state names it.
    pub fn may_fetch(&self, name: &HostName, artifact: &Digest) -> bool {
        self.read().hosts.get(name).is_some_and(|entry| {
            entry
                .view
                .desired
                .images
                .iter()
                .any(|image| image.artifact == *artifact)
        })
    }

    /// Where a host is: its label `rack`, or else `site`; empty without either.
    pub fn place(&self, name: &HostName) -> String {
        let view = self.host(name);
        let labels = view.as_ref().and_then(|view| view.inventory.as_ref());
        let label = |key| {
            let value = labels?.labels.get(key)?;
            Some(format!("{key}={value}"))
        };
        label("rack").or_else(|| label("site")).unwrap_or_default()
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

    pub fn set_status(&self, name: &HostName, status: HostStatus) {
        self.update(name, |entry| {
            let view = Arc::make_mut(&mut entry.view);
            view.status = Some(status);
            view.last_seen_at = Some(Timestamp::now());
            entry.status_unkept = true;
        });
    }

    /// Writes statuses down from time to time, until `stop`, and then once more. A status that is lost is no harm: each
    /// session begins with a whole one.
    pub async fn keep_statuses(&self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            // Both only wait.
            tokio::select! {
                () = tokio::time::sleep(KEEP_STATUSES_EVERY) => {}
                () = stop.cancelled() => {}
            }
            let unkept = self.take_unkept();
            if unkept.is_empty() {
                continue;
            }
            if let Err(error) = self.inner.store.put_statuses(unkept).await {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "statuses were not written down"
                );
            }
        }
    }

    fn take_unkept(&self) -> Vec<(HostName, HostStatus, Timestamp)> {
        let mut unkept = Vec::new();
        for (name, entry) in &mut self.write().hosts {
            if std::mem::take(&mut entry.status_unkept)
                && let (Some(status), Some(at)) = (&entry.view.status, entry.view.last_seen_at)
            {
                unkept.push((name.clone(), status.clone(), at));
            }
        }
        unkept
    }

    fn update(&self, name: &HostName, change: impl FnOnce(&mut Entry)) {
        self.change(|members| {
            let version = members.version;
            if let Some(entry) = members.hosts.get_mut(name) {
                change(entry);
                entry.version = version;
            }
        });
    }

    fn change(&self, change: impl FnOnce(&mut Members)) {
        let version = {
            let mut members = self.write();
            members.version += 1;
            change(&mut members);
            members.version
        };
        // Two changes may come here in the other order.
        self.inner.version.send_if_modified(|announced| {
            let is_newer = version > *announced;
            *announced = version.max(*announced);
            is_newer
        });
    }

    fn read(&self) -> RwLockReadGuard<'_, Members> {
        self.inner
            .members
            .read()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Members> {
        self.inner
            .members
            .write()
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
            status_unkept: false,
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
            Peer::Host { name, key } => self
                .read()
                .hosts
                .get(name)
                .is_some_and(|entry| entry.key == *key),
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
