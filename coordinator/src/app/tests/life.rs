use super::super::{AppError, Coordinator};
use super::host::Host;
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
