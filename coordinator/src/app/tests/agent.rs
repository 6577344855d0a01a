//! The agent's own side of its identity, against a coordinator that serves.

use std::fs;
use std::sync::Arc;
use std::time::Duration as Time;

use jiff::{SignedDuration, Timestamp};
use rcgen::KeyPair;
use tfleet_agent::identity::{IdentityFolder, enrol, keep_fresh};
use time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::host::request;
use super::served::Served;
use crate::ca::{Authority, Role};

#[tokio::test]
async fn an_agent_renews_its_certificate_before_it_ends_and_after_it_did() {
    let served = Served::start().await;
    let disk = tempfile::tempdir().unwrap();
    let folder = IdentityFolder::open(disk.path()).unwrap();
    let token = served.token("t4").await;
    enrol(&folder, &served.enrolment(), &token).await.unwrap();
    let key = fs::read_to_string(disk.path().join("host.key")).unwrap();
    let key = KeyPair::from_pem(&key).unwrap();
    let authority = Authority::open(&served.config.data_dir.join("ca"), "test").unwrap();

    // The first is in its last minute; the second ended while the host was off.
    for life in [Duration::minutes(1), -Duration::minutes(1)] {
        let old = authority
            .issue(Role::Host, "t4", &request(&key), life)
            .unwrap();
        fs::write(disk.path().join("certificate.der"), &old.der).unwrap();
        let kept = folder.credentials().unwrap().unwrap();
        assert_eq!(kept.not_after, old.ends_at);
        assert_eq!(
            served.connect(kept.client_identity()).await.is_ok(),
            life.is_positive()
        );

        let (sender, mut renewed) = watch::channel(Arc::new(kept));
        let mut renewing = JoinSet::new();
        renewing.spawn(keep_fresh(folder.clone(), served.enrolment(), sender));
        let soon = tokio::time::timeout(Time::from_secs(20), renewed.changed());
        soon.await.expect("it is not renewed").unwrap();
        let fresh = Arc::clone(&renewed.borrow());
        assert!(fresh.not_after > Timestamp::now() + SignedDuration::from_hours(1));
        served.connect(fresh.client_identity()).await.unwrap();
        let kept = folder.credentials().unwrap().unwrap();
        assert_eq!(kept.not_after, fresh.not_after);
    }
}
