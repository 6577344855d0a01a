use std::path::Path;

use futures::FutureExt as _;
use jiff::SignedDuration;
use tfleet_proto::model::desired::DesiredImage;
use tokio::time::timeout;

use super::*;
use crate::store::{NewToken, Redemption};

const SOON: Duration = Duration::from_secs(20);

struct Fixture {
    fleet: Fleet,
    store: Store,
    connections: Connections,
    disk: tempfile::TempDir,
}

impl Fixture {
    async fn new() -> Self {
        let disk = tempfile::tempdir().unwrap();
        let store = Store::open(&disk.path().join("state.db")).unwrap();
        let connections = Connections::default();
        let fleet = Fleet::open(store.clone(), connections.clone(), TaskTracker::new())
            .await
            .unwrap();
        Self {
            fleet,
            store,
            connections,
            disk,
        }
    }

    /// Enrols a host whose key is `key`.
    async fn enrol(&self, name: &str, key: &str) -> Redemption {
        let secret = Digest::of(format!("{name} {key}").as_bytes());
        self.store
            .add_tokens(vec![NewToken {
                secret_digest: secret,
                host: host(name),
                ends_at: Timestamp::now() + SignedDuration::from_hours(1),
            }])
            .await
            .unwrap();
        self.fleet
            .enrol(
                secret,
                host(name),
                Digest::of(key.as_bytes()),
                Timestamp::now(),
            )
            .await
            .unwrap()
    }

    async fn admits(&self, name: &str, key: &str) -> bool {
        self.fleet.admits(&peer(name, key)).await
    }

    async fn want(&self, name: &str, variant: &str) -> DesiredState {
        let wanted = image(variant);
        let mut done = self
            .fleet
            .change_desired(vec![host(name)], move |_, desired| {
                desired.images = vec![wanted.clone()];
                Ok(())
            })
            .await
            .unwrap();
        done.remove(&host(name)).unwrap().unwrap()
    }
}

/// Makes every call of the store wait for as long as this is held.
struct Busy(rusqlite::Connection);

impl Busy {
    fn make(folder: &Path) -> Self {
        let connection = rusqlite::Connection::open(folder.join("state.db")).unwrap();
        connection.execute_batch("BEGIN IMMEDIATE").unwrap();
        Self(connection)
    }

    fn end(self) {
        self.0.execute_batch("ROLLBACK").unwrap();
    }
}

fn host(name: &str) -> HostName {
    name.parse().unwrap()
}

fn peer(name: &str, key: &str) -> Peer {
    Peer::Host {
        name: host(name),
        key: Digest::of(key.as_bytes()),
    }
}

fn image(variant: &str) -> DesiredImage {
    DesiredImage {
        artifact: Digest::of(variant.as_bytes()),
        release: "r:v1".parse().unwrap(),
        variant: variant.parse().unwrap(),
        tags: vec!["t".to_owned()],
    }
}

/// Waits until the fleet is as `is_it` asks.
async fn until(fleet: &Fleet, is_it: impl Fn(&Fleet) -> bool) {
    let mut versions = fleet.versions();
    let reached = async {
        while !is_it(fleet) {
            versions.changed().await.unwrap();
        }
    };
    timeout(SOON, reached).await.expect("it never came to that");
}

/// Begins a call and leaves, as a caller does whose connection breaks.
fn begin_and_leave<T>(call: impl Future<Output = T>) {
    let answer = Box::pin(call).now_or_never();
    assert!(answer.is_none(), "the store was to be busy");
}

#[tokio::test]
async fn a_removal_is_carried_out_although_its_caller_has_left() {
    let fixture = Fixture::new().await;
    fixture.enrol("t4", "key").await;
    let connection = fixture.connections.register(&peer("t4", "key"));
    let busy = Busy::make(fixture.disk.path());
    begin_and_leave(fixture.fleet.remove(host("t4")));
    busy.end();
    until(&fixture.fleet, |fleet| fleet.host(&host("t4")).is_none()).await;
    timeout(SOON, connection.cancelled()).await.unwrap();
    assert!(!fixture.admits("t4", "key").await);
    assert!(fixture.store.host(host("t4")).await.unwrap().is_none());
}

#[tokio::test]
async fn a_revocation_is_carried_out_although_its_caller_has_left() {
    let fixture = Fixture::new().await;
    let key = Digest::of(b"ann's");
    fixture
        .store
        .add_operator(crate::store::OperatorRecord {
            name: "ann".to_owned(),
            key,
            issued_at: Timestamp::now(),
            ends_at: Timestamp::now() + SignedDuration::from_hours(1),
            revoked: false,
        })
        .await
        .unwrap();
    let ann = Peer::Operator {
        name: "ann".to_owned(),
        key,
    };
    let connection = fixture.connections.register(&ann);
    let busy = Busy::make(fixture.disk.path());
    begin_and_leave(fixture.fleet.revoke_operator("ann".to_owned()));
    busy.end();
    timeout(SOON, connection.cancelled()).await.unwrap();
    assert!(!fixture.fleet.admits(&ann).await);
}

#[tokio::test]
async fn a_change_reaches_its_host_although_its_caller_has_left() {
    let fixture = Fixture::new().await;
    fixture.enrol("t4", "key").await;
    let mut desired = fixture.fleet.desired(&host("t4")).unwrap();
    let busy = Busy::make(fixture.disk.path());
    begin_and_leave(fixture.want("t4", "cpu"));
    busy.end();
    let told = desired.wait_for(|desired| !desired.images.is_empty());
    timeout(SOON, told).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_host_that_only_memory_knows_is_removed_too() {
    let fixture = Fixture::new().await;
    fixture.enrol("t4", "key").await;
    fixture.store.remove_host(host("t4")).await.unwrap();
    assert!(fixture.fleet.remove(host("t4")).await.unwrap());
    assert!(!fixture.admits("t4", "key").await);
    assert!(!fixture.fleet.remove(host("t4")).await.unwrap());
}

#[tokio::test]
async fn a_renewal_under_way_does_not_bring_a_removed_host_back() {
    let fixture = Fixture::new().await;
    fixture.enrol("t4", "key").await;
    let key = Digest::of(b"key");
    // Whichever takes its turn first, the host is gone at the end.
    let (removed, certified) = tokio::join!(
        fixture.fleet.remove(host("t4")),
        fixture.fleet.certified(host("t4"), key, Timestamp::now()),
    );
    assert!(removed.unwrap());
    certified.unwrap();
    assert!(fixture.fleet.host(&host("t4")).is_none());
    assert!(!fixture.admits("t4", "key").await);
    let late = fixture
        .fleet
        .certified(host("t4"), key, Timestamp::now())
        .await;
    assert!(!late.unwrap());
    assert!(fixture.fleet.host(&host("t4")).is_none());
}

#[tokio::test]
async fn a_renewal_for_a_key_that_was_replaced_is_nothing() {
    let fixture = Fixture::new().await;
    fixture.enrol("t4", "old").await;
    fixture.fleet.remove(host("t4")).await.unwrap();
    fixture.enrol("t4", "new").await;
    let late = fixture
        .fleet
        .certified(host("t4"), Digest::of(b"old"), Timestamp::now());
    assert!(!late.await.unwrap());
    assert!(fixture.admits("t4", "new").await && !fixture.admits("t4", "old").await);
}

#[tokio::test]
async fn enrolling_again_with_the_same_key_takes_nothing_newer_away() {
    let fixture = Fixture::new().await;
    fixture.enrol("t4", "key").await;
    let seat = fixture
        .fleet
        .sit_down(&host("t4"), "0.1.0", ([127, 0, 0, 1], 1).into())
        .await
        .unwrap();
    // An older reading of the store arrives after a newer change.
    let old = fixture.store.host(host("t4")).await.unwrap().unwrap();
    let changed = fixture.want("t4", "cpu").await;
    fixture.fleet.set_status(&host("t4"), HostStatus::default());
    fixture.fleet.take_in(old);
    let view = fixture.fleet.host(&host("t4")).unwrap();
    assert_eq!(view.desired, changed);
    assert!(view.connected && view.status.is_some());
    let told = fixture.fleet.desired(&host("t4")).unwrap();
    assert_eq!(**told.borrow(), changed);
    drop(seat);
}

#[tokio::test]
async fn of_two_changes_the_later_one_stays_in_whatever_order_they_arrive() {
    let fixture = Fixture::new().await;
    fixture.enrol("t4", "key").await;
    let first = fixture.want("t4", "cpu").await;
    let second = fixture.want("t4", "cu118").await;
    fixture.fleet.set_desired(&host("t4"), first);
    assert_eq!(fixture.fleet.host(&host("t4")).unwrap().desired, second);
}

#[tokio::test]
async fn a_host_may_fetch_what_it_shall_have_and_nothing_else() {
    let fixture = Fixture::new().await;
    fixture.enrol("t4", "key").await;
    let artifact = image("cpu").artifact;
    assert!(!fixture.fleet.may_fetch(&host("t4"), &artifact));
    fixture.want("t4", "cpu").await;
    assert!(fixture.fleet.may_fetch(&host("t4"), &artifact));
    assert!(!fixture.fleet.may_fetch(&host("a100"), &artifact));
}

#[tokio::test]
async fn a_watcher_reads_what_changed_and_what_was_removed_since_it_looked() {
    let fixture = Fixture::new().await;
    fixture.enrol("t4", "key").await;
    fixture.enrol("a100", "key").await;
    let seen = fixture.fleet.changes_since(0);
    assert_eq!(seen.hosts.len(), 2);
    fixture.want("t4", "cpu").await;
    fixture.fleet.remove(host("a100")).await.unwrap();
    let news = fixture.fleet.changes_since(seen.version);
    let names: Vec<_> = news.hosts.iter().map(|host| host.name.as_str()).collect();
    assert_eq!(names, ["t4"]);
    assert_eq!(news.removed, [host("a100")]);
    assert!(fixture.fleet.changes_since(news.version).hosts.is_empty());
}

#[tokio::test]
async fn a_newer_session_takes_the_seat_and_the_older_ones_end_says_nothing() {
    let fixture = Fixture::new().await;
    fixture.enrol("t4", "key").await;
    let sit_down = async || {
        fixture
            .fleet
            .sit_down(&host("t4"), "0.1.0", ([127, 0, 0, 1], 1).into())
            .await
    };
    let first = sit_down().await.unwrap();
    let second = sit_down().await.unwrap();
    assert!(first.ended.is_cancelled() && !second.ended.is_cancelled());
    drop(first);
    assert!(fixture.fleet.host(&host("t4")).unwrap().connected);
    drop(second);
    assert!(!fixture.fleet.host(&host("t4")).unwrap().connected);
}
