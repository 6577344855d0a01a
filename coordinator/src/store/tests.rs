use jiff::{SignedDuration, Timestamp};
use tfleet_proto::model::digest::Digest;
use tfleet_proto::model::name::HostName;

use super::*;

fn store(folder: &tempfile::TempDir) -> Store {
    Store::open(&folder.path().join("state.db")).unwrap()
}

fn host(name: &str) -> HostName {
    name.parse().unwrap()
}

fn in_an_hour() -> Timestamp {
    Timestamp::now() + SignedDuration::from_hours(1)
}

async fn enrolled(store: &Store, name: &str) {
    let secret = Digest::of(name.as_bytes());
    store
        .add_tokens(vec![NewToken {
            secret_digest: secret,
            host: host(name),
            ends_at: in_an_hour(),
        }])
        .await
        .unwrap();
    let redeemed = store
        .redeem(secret, host(name), Digest::of(b"key"), Timestamp::now())
        .await
        .unwrap();
    assert_eq!(redeemed, Redemption::Enrolled);
}

#[tokio::test]
async fn a_token_is_good_once_for_its_host_and_in_its_time() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder);
    let secret = Digest::of(b"secret");
    store
        .add_tokens(vec![NewToken {
            secret_digest: secret,
            host: host("t4"),
            ends_at: in_an_hour(),
        }])
        .await
        .unwrap();
    let (ours, theirs) = (Digest::of(b"ours"), Digest::of(b"theirs"));
    let redeem =
        async |secret, name, key, now| store.redeem(secret, host(name), key, now).await.unwrap();
    let now = Timestamp::now();
    assert_eq!(
        redeem(Digest::of(b"guess"), "t4", ours, now).await,
        Redemption::Unknown
    );
    assert_eq!(
        redeem(secret, "a100", ours, now).await,
        Redemption::OtherHost
    );
    assert_eq!(
        redeem(secret, "t4", ours, now + SignedDuration::from_hours(2)).await,
        Redemption::Expired
    );
    assert_eq!(redeem(secret, "t4", ours, now).await, Redemption::Enrolled);
    assert_eq!(
        redeem(secret, "t4", ours, now).await,
        Redemption::Enrolled,
        "the answer was lost"
    );
    assert_eq!(redeem(secret, "t4", theirs, now).await, Redemption::Used);
}

#[tokio::test]
async fn a_generation_never_goes_back_even_when_a_host_leaves_and_returns() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder);
    enrolled(&store, "t4").await;
    let change = async |store: &Store| {
        let done = store
            .change_desired(vec![host("t4")], |_, desired| {
                desired.images.clear();
                desired.containers.clear();
                let release = "r:v1".parse().unwrap();
                desired
                    .images
                    .push(tfleet_proto::model::desired::DesiredImage {
                        artifact: Digest::of(&desired.generation.to_be_bytes()),
                        release,
                        variant: "cpu".parse().unwrap(),
                        tags: vec!["t".to_owned()],
                    });
                Ok(())
            })
            .await
            .unwrap();
        done[&host("t4")].as_ref().unwrap().generation
    };
    let first = change(&store).await;
    assert_eq!(change(&store).await, first + 1);
    assert!(store.remove_host(host("t4")).await.unwrap());
    assert!(!store.remove_host(host("t4")).await.unwrap());
    assert!(store.hosts().await.unwrap().is_empty());
    store
        .add_tokens(vec![NewToken {
            secret_digest: Digest::of(b"2"),
            host: host("t4"),
            ends_at: in_an_hour(),
        }])
        .await
        .unwrap();
    store
        .redeem(
            Digest::of(b"2"),
            host("t4"),
            Digest::of(b"new key"),
            Timestamp::now(),
        )
        .await
        .unwrap();
    let kept = store.host(host("t4")).await.unwrap().unwrap();
    assert_eq!(
        kept.desired.generation, 0,
        "nobody has asked anything of it since it came back"
    );
    assert!(change(&store).await > first + 1);
}

#[tokio::test]
async fn a_change_that_changes_nothing_is_not_something_that_was_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder);
    enrolled(&store, "t4").await;
    let done = store.change_desired(vec![host("t4")], |_, _| Ok(())).await;
    assert_eq!(done.unwrap()[&host("t4")].as_ref().unwrap().generation, 0);
    let kept = store.host(host("t4")).await.unwrap().unwrap();
    assert_eq!(kept.desired.generation, 0);
}

#[tokio::test]
async fn a_second_token_is_no_use_while_the_host_is_enrolled_not_even_to_itself() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder);
    let tokens = [b"first", b"other"].map(|secret| NewToken {
        secret_digest: Digest::of(secret),
        host: host("t4"),
        ends_at: in_an_hour(),
    });
    store.add_tokens(tokens.to_vec()).await.unwrap();
    let redeem = async |secret: &[u8]| {
        let key = Digest::of(b"key");
        store
            .redeem(Digest::of(secret), host("t4"), key, Timestamp::now())
            .await
            .unwrap()
    };
    assert_eq!(redeem(b"first").await, Redemption::Enrolled);
    assert_eq!(redeem(b"other").await, Redemption::HostIsEnrolled);
    assert_eq!(redeem(b"first").await, Redemption::Enrolled);
}

#[tokio::test]
async fn a_state_of_the_version_before_is_taken_over() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    for name in ["asked", "idle"] {
        enrolled(&store(&folder), name).await;
    }
    let old = rusqlite::Connection::open(&path).unwrap();
    old.execute_batch(
        "ALTER TABLE host DROP COLUMN asked; PRAGMA user_version = 1;
         UPDATE host SET generation = 4 WHERE name = 'asked';",
    )
    .unwrap();
    drop(old);
    let store = store(&folder);
    let generation = async |name| {
        let kept = store.host(host(name)).await.unwrap().unwrap();
        kept.desired.generation
    };
    assert_eq!(
        (generation("asked").await, generation("idle").await),
        (4, 0)
    );
}

#[tokio::test]
async fn an_incarnation_is_higher_than_any_before_and_every_state_carries_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    let backup = folder.path().join("backup.db");
    enrolled(&store(&folder), "t4").await;
    std::fs::copy(&path, &backup).unwrap();
    let at = |second| Timestamp::from_second(second).unwrap();
    let first = store(&folder).raise_incarnation(at(5_000)).await.unwrap();
    // The same backup again, later.
    std::fs::copy(&backup, &path).unwrap();
    let second = store(&folder).raise_incarnation(at(5_001)).await.unwrap();
    assert!(second > first && first > 1);
    // Whatever the clock says.
    let third = store(&folder).raise_incarnation(at(0)).await.unwrap();
    assert!(third > second);
    assert_eq!(store(&folder).incarnation().await.unwrap(), third);
    let kept = store(&folder).host(host("t4")).await.unwrap().unwrap();
    assert_eq!(kept.desired.incarnation, third);
}

#[tokio::test]
async fn a_change_that_fails_for_one_host_is_made_for_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder);
    enrolled(&store, "a").await;
    enrolled(&store, "b").await;
    let done = store
        .change_desired(
            vec![host("a"), host("b"), host("unknown")],
            |name, desired| {
                desired.containers.clear();
                desired
                    .images
                    .push(tfleet_proto::model::desired::DesiredImage {
                        artifact: Digest::of(b"x"),
                        release: "r:v1".parse().unwrap(),
                        variant: "cpu".parse().unwrap(),
                        tags: vec!["t".to_owned()],
                    });
                if name.as_str() == "a" {
                    return Err(tfleet_proto::model::failure::Failure::new("no", "no"));
                }
                Ok(())
            },
        )
        .await
        .unwrap();
    assert!(done[&host("a")].is_err());
    assert_eq!(done[&host("b")].as_ref().unwrap().generation, 1);
    assert!(!done.contains_key(&host("unknown")));
    let kept = store.host(host("a")).await.unwrap().unwrap();
    assert_eq!((kept.desired.generation, kept.desired.images.len()), (0, 0));
}

#[tokio::test]
async fn what_was_written_is_there_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    enrolled(&store(&folder), "t4").await;
    let hosts = store(&folder).hosts().await.unwrap();
    assert_eq!(hosts.len(), 1);
    assert_eq!(hosts[0].name, host("t4"));
}

#[tokio::test]
async fn a_state_of_a_newer_coordinator_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    drop(Store::open(&path).unwrap());
    rusqlite::Connection::open(&path)
        .unwrap()
        .pragma_update(None, "user_version", 99)
        .unwrap();
    assert!(matches!(
        Store::open(&path),
        Err(StoreError::TooNew { found: 99, .. })
    ));
}
