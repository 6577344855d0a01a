//! Hosts: listed, watched, removed.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use futures::stream;
use tfleet_proto::model::name::HostName;
use tfleet_proto::wire;
use tfleet_proto::wire::host_event::Event;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tracing::info;

use super::declined::Declined;
use super::selection::Selection;
use super::{Answers, OperatorService};
use crate::fleet::Fleet;

/// What changes within this time after a change reaches a watcher as one.
const GATHER: Duration = Duration::from_millis(100);

impl OperatorService {
    pub(super) fn list_hosts(
        &self,
        request: wire::ListHostsRequest,
    ) -> Result<wire::ListHostsResponse, Declined> {
        let hosts = Selection::read(request.selector)?.hosts(&self.fleet)?;
        Ok(wire::ListHostsResponse {
            hosts: hosts.iter().map(|host| (&**host).into()).collect(),
        })
    }

    pub(super) fn watch_hosts(
        &self,
        request: wire::ListHostsRequest,
    ) -> Result<Answers<wire::HostEvent>, Declined> {
        let selection = Selection::read(request.selector)?;
        selection.hosts(&self.fleet)?;
        let watcher = Watcher {
            versions: self.fleet.versions(),
            fleet: self.fleet.clone(),
            selection,
            stop: self.stop.clone(),
            seen: 0,
            shown: BTreeSet::new(),
            unsaid: VecDeque::new(),
            begun: false,
            gathered_at: Instant::now(),
        };
        Ok(Box::pin(stream::unfold(Some(watcher), |watcher| async {
            let mut watcher = watcher?;
            match watcher.next().await {
                Ok(event) => Some((Ok(wire::HostEvent { event: Some(event) }), Some(watcher))),
                Err(status) => Some((Err(status), None)),
            }
        })))
    }

    pub(super) async fn remove_host(
        &self,
        request: wire::RemoveHostRequest,
        by: &str,
    ) -> Result<wire::RemoveHostResponse, Declined> {
        let host: HostName = request
            .host
            .parse()
            .map_err(|error| Declined::field("host", format!("{error}")))?;
        if !self.fleet.remove(host.clone()).await? {
            let hosts = self.fleet.hosts();
            let known = hosts.iter().map(|host| host.name.as_str());
            return Err(Declined::unknown("host", host.as_str(), known));
        }
        info!(%host, by, "a host was removed");
        Ok(wire::RemoveHostResponse {})
    }
}

/// One caller's view of the fleet. It remembers names, not states, so that a slow caller is told the latest.
struct Watcher {
    fleet: Fleet,
    versions: watch::Receiver<u64>,
    selection: Selection,
    stop: CancellationToken,
    seen: u64,
    shown: BTreeSet<HostName>,
    unsaid: VecDeque<Unsaid>,
    begun: bool,
    gathered_at: Instant,
}

enum Unsaid {
    Host(HostName),
    Removed(HostName),
    Synced,
}

impl Watcher {
    async fn next(&mut self) -> Result<Event, Status> {
        loop {
            while let Some(unsaid) = self.unsaid.pop_front() {
                if let Some(event) = self.say(unsaid) {
                    return Ok(event);
                }
            }
            if self.begun {
                // Both only wait; a version that was announced meanwhile is seen below.
                tokio::select! {
                    changed = self.versions.changed() => if changed.is_err() { return Err(stopping()) },
                    () = self.stop.cancelled() => return Err(stopping()),
                }
                sleep_until(self.gathered_at + GATHER).await;
            }
            self.gather();
        }
    }

    fn gather(&mut self) {
        self.gathered_at = Instant::now();
        self.versions.borrow_and_update();
        let changes = self.fleet.changes_since(self.seen);
        self.seen = changes.version;
        let removed = changes.removed.into_iter().map(Unsaid::Removed);
        self.unsaid.extend(removed);
        let changed = changes.hosts.into_iter();
        self.unsaid
            .extend(changed.map(|host| Unsaid::Host(host.name.clone())));
        if !std::mem::replace(&mut self.begun, true) {
            self.unsaid.push_back(Unsaid::Synced);
        }
    }

    /// A host that was shown and is no longer taken is either gone, or has become another than the selector asks for.
    fn say(&mut self, unsaid: Unsaid) -> Option<Event> {
        let name = match unsaid {
            Unsaid::Synced => return Some(Event::Synced(wire::Synced {})),
            Unsaid::Host(name) | Unsaid::Removed(name) => name,
        };
        match self.fleet.host(&name) {
            Some(host) if self.selection.takes(&host) => {
                self.shown.insert(name);
                Some(Event::Host((&*host).into()))
            }
            Some(_) => self
                .shown
                .remove(&name)
                .then(|| Event::Unmatched(name.to_string())),
            None => self
                .shown
                .remove(&name)
                .then(|| Event::Removed(name.to_string())),
        }
    }
}

fn stopping() -> Status {
    Status::unavailable("the coordinator is stopping; try again")
}
