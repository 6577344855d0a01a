use std::sync::Arc;

use jiff::SignedDuration;
use tfleet_agent::ledger::{Acceptance, Accepted, Unacceptable};
use tfleet_proto::model::desired::DesiredState;

use super::super::{AppError, Coordinator, is_due, restored};
use super::host::Host;
use super::releases::{add_image, desired, run};
use super::served::{Served, config};

#[tokio::test]
async fn a_second_coordinator_on_the_same_data_is_refused() {
    let served = Served::start().await;
    let second = Coordinator::open(config(&served.config.data_dir)).await;
    assert!(matches!(second, Err(AppError::InUse { .. })));
}

#[tokio::test]
async fn a_restart_keeps_ca_hosts_and_the_first_operator() {
    let served = Served::start().await;
    let host = Host::enrolled(&served, "t4").await;
    let admin = served.config.data_dir.join("admin.toml");
    let before = std::fs::read(&admin).unwrap();
    let served = served.restart().await;
    assert_eq!(std::fs::read(&admin).unwrap(), before);
    host.open(&served).await.unwrap();
}

#[tokio::test]
async fn a_first_start_that_died_before_the_state_knew_its_operator_writes_both_again() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(&folder.path().join("data"));
    std::fs::create_dir(&config.data_dir).unwrap();
    std::fs::write(config.data_dir.join("admin.toml"), "of a start that died").unwrap();
    let served = Served::with(folder, config).await;
    served.operator().await;
}

#[tokio::test]
async fn a_certificate_authority_that_cannot_be_read_stops_the_coordinator() {
    let folder = Served::start().await.stop().await;
    let config = config(&folder.path().join("data"));
    std::fs::write(config.data_dir.join("ca/ca.key"), "damaged").unwrap();
    let refused = Coordinator::open(config).await;
    assert!(matches!(refused, Err(AppError::Authority(_))));
}

#[tokio::test]
async fn a_restored_coordinator_is_refused_by_its_hosts_until_an_operator_says_that_it_was() {
    let served = Served::start().await;
    let host = Host::enrolled(&served, "t4").await;
    let mut operator = served.operator().await;
    add_image(&mut operator).await;
    operator.run_container(run("tf", 0, false)).await.unwrap();
    let (folder, backup) = (served.stop().await, "backup.db");
    let state = folder.path().join("data/state.db");
    std::fs::copy(&state, folder.path().join(backup)).unwrap();

    // More is asked for and accepted; then the state is lost.
    let served = again(folder).await;
    let mut operator = served.operator().await;
    operator.run_container(run("late", 0, false)).await.unwrap();
    let ledger = tempfile::tempdir().unwrap();
    let mut accepted = Accepted::open(ledger.path(), None).unwrap();
    let newest = told(&served, &host).await;
    accepted.keep(Arc::new(newest)).await.unwrap();
    let in_use = restored(&served.config).await;
    assert!(matches!(in_use, Err(AppError::InUse { .. })));
    let folder = served.stop().await;
    std::fs::copy(folder.path().join(backup), &state).unwrap();

    let served = again(folder).await;
    let refused = accepted.judge(&told(&served, &host).await).unwrap_err();
    assert!(matches!(refused, Unacceptable::Older { .. }), "{refused}");
    let folder = served.stop().await;
    let done = restored(&config(&folder.path().join("data")))
        .await
        .unwrap();
    assert!(done.now > done.before && done.hosts == 1);
    let served = again(folder).await;
    let offered = told(&served, &host).await;
    assert_eq!(accepted.judge(&offered), Ok(Acceptance::Newer));
    assert_eq!(offered.containers.len(), 1);
}

async fn again(folder: tempfile::TempDir) -> Served {
    let config = config(&folder.path().join("data"));
    Served::with(folder, config).await
}

/// What the host is told at the start of a session.
async fn told(served: &Served, host: &Host) -> DesiredState {
    let mut session = host.open(served).await.unwrap();
    desired(&mut session).await.try_into().unwrap()
}

#[tokio::test]
async fn where_nothing_was_restored_no_state_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(&folder.path().join("data"));
    let refused = restored(&config).await;
    assert!(matches!(refused, Err(AppError::NothingRestored { .. })));
    assert!(!config.data_dir.exists());
}

#[test]
fn a_certificate_is_due_at_half_its_life_and_when_the_clock_was_set_back() {
    let hours = SignedDuration::from_hours;
    assert!(!is_due(hours(0)) && !is_due(hours(83)));
    assert!(is_due(hours(84)) && is_due(hours(-2)));
}

#[tokio::test]
async fn a_catalog_that_is_not_well_formed_stops_the_coordinator_before_anything_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(&folder.path().join("data"));
    let catalog = folder.path().join("catalog.toml");
    std::fs::write(&catalog, "[[gpus]]\n").unwrap();
    config.catalog.push(catalog);
    let data_dir = config.data_dir.clone();
    let refused = Coordinator::open(config).await;
    assert!(matches!(refused, Err(AppError::Config(_))));
    assert!(!data_dir.exists());
}
