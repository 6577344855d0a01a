//! Changes that are written down and then carried out: who is a member, and what each host shall have.
//!
//! Store and memory change in one task of our own. A caller that leaves drops only its waiting: the store commits
//! anyway, and a revocation that was written down and not carried out would let a removed host stay until a restart.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use tfleet_proto::model::desired::DesiredState;
use tfleet_proto::model::digest::Digest;
use tfleet_proto::model::failure::Failure;
use tfleet_proto::model::name::HostName;

use super::{Entry, Fleet};
use crate::listener::Peer;
use crate::store::{HostRecord, Redemption, StoreError};

impl Fleet {
    /// Uses a token for a key. If it is good, its host is a member when this returns.
    pub async fn enrol(
        &self,
        secret_digest: Digest,
        host: HostName,
        key: Digest,
        now: Timestamp,
    ) -> Result<Redemption, StoreError> {
        let fleet = self.clone();
        self.see_through("enrol a host", async move {
            let _turn = fleet.inner.turns.lock().await;
            let store = &fleet.inner.store;
            let redeemed = store.redeem(secret_digest, host.clone(), key, now).await?;
            if redeemed == Redemption::Enrolled
                && let Some(record) = store.host(host).await?
            {
                fleet.take_in(record);
            }
            Ok(redeemed)
        })
        .await
    }

    /// Notes until when the host's new certificate counts. False: the host was removed, or has another key.
    pub async fn certified(
        &self,
        host: HostName,
        key: Digest,
        ends_at: Timestamp,
    ) -> Result<bool, StoreError> {
        let fleet = self.clone();
        self.see_through("note a certificate", async move {
            let _turn = fleet.inner.turns.lock().await;
            let store = &fleet.inner.store;
            let is_member = store.host_certified(host.clone(), key, ends_at).await?;
            if is_member {
                fleet.update(&host, |entry| {
                    Arc::make_mut(&mut entry.view).certificate_ends_at = Some(ends_at);
                });
            }
            Ok(is_member)
        })
        .await
    }

    /// Removes a host: its certificate counts no longer, its streams end, what it shall have is forgotten. False: there
    /// is no such host.
    pub async fn remove(&self, host: HostName) -> Result<bool, StoreError> {
        let fleet = self.clone();
        self.see_through("remove a host", async move {
            let _turn = fleet.inner.turns.lock().await;
            let was_kept = fleet.inner.store.remove_host(host.clone()).await?;
            // Whoever asks again sees it through, should memory ever lag behind.
            let was_known = fleet.host(&host).is_some();
            if was_kept || was_known {
                fleet.forget(&host);
            }
            Ok(was_kept || was_known)
        })
        .await
    }

    /// Changes what hosts shall have, as [`crate::store::Store::change_desired`] does, and tells those that are connected.
    pub async fn change_desired(
        &self,
        hosts: Vec<HostName>,
        change: impl Fn(&HostName, &mut DesiredState) -> Result<(), Failure> + Send + 'static,
    ) -> Result<BTreeMap<HostName, Result<DesiredState, Failure>>, StoreError> {
        let fleet = self.clone();
        self.see_through("change desired states", async move {
            let _turn = fleet.inner.turns.lock().await;
            let changed = fleet.inner.store.change_desired(hosts, change).await?;
            for (host, outcome) in &changed {
                if let Ok(desired) = outcome {
                    fleet.set_desired(host, desired.clone());
                }
            }
            Ok(changed)
        })
        .await
    }

    /// Revokes an operator's certificate and ends its streams. False: there is no such operator.
    pub async fn revoke_operator(&self, name: String) -> Result<bool, StoreError> {
        let fleet = self.clone();
        self.see_through("revoke an operator", async move {
            let is_known = fleet.inner.store.revoke_operator(name.clone()).await?;
            if is_known {
                fleet
                    .inner
                    .connections
                    .end(|peer| matches!(peer, Peer::Operator { name: gone, .. } if *gone == name));
            }
            Ok(is_known)
        })
        .await
    }

    /// Runs `work` to its end, whether or not its caller stays.
    async fn see_through<T: Send + 'static>(
        &self,
        operation: &'static str,
        work: impl Future<Output = Result<T, StoreError>> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.inner
            .tasks
            .spawn(work)
            .await
            .map_err(|_| StoreError::Stopped { operation })?
    }

    /// What an enrolment changes of a host that is known already. Of the rest memory has the newer.
    pub(super) fn take_in(&self, record: HostRecord) {
        let name = record.name.clone();
        self.change(|members| {
            let version = members.version;
            members.removed.remove(&name);
            if let Some(entry) = members.hosts.get_mut(&name) {
                entry.version = version;
                entry.key = record.key;
                let view = Arc::make_mut(&mut entry.view);
                view.enrolled_at = record.enrolled_at;
                view.certificate_ends_at = record.certificate_ends_at;
                entry.want(record.desired);
            } else {
                let mut entry = Entry::of(record);
                entry.version = version;
                members.hosts.insert(name, entry);
            }
        });
    }

    /// Forgets a host at once: streams, operations, memory.
    fn forget(&self, name: &HostName) {
        self.change(|members| {
            if let Some(seat) = members.hosts.remove(name).and_then(|entry| entry.seat) {
                seat.end();
            }
            members.removed.insert(name.clone(), members.version);
        });
        self.inner
            .connections
            .end(|peer| matches!(peer, Peer::Host { name: gone, .. } if gone == name));
        self.inner.operations.end_of_host(name);
    }

    /// Takes over a desired state that the store has.
    pub(super) fn set_desired(&self, name: &HostName, desired: DesiredState) {
        self.update(name, |entry| entry.want(desired));
    }
}

impl Entry {
    /// Two changes may arrive here in the other order than the store made them, so only a higher generation counts.
    fn want(&mut self, desired: DesiredState) {
        if desired.generation > self.view.desired.generation {
            self.desired.send_replace(Arc::new(desired.clone()));
            Arc::make_mut(&mut self.view).desired = desired;
        }
    }
}
