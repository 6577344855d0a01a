//! The coordinator itself: version, fleet, incarnation, disk.

use tfleet_proto::wire;

use super::OperatorService;
use super::declined::Declined;

impl OperatorService {
    pub(super) async fn get_fleet(&self) -> Result<wire::Fleet, Declined> {
        let artifacts = self.artifacts.clone();
        let disk = tokio::task::spawn_blocking(move || {
            Ok::<_, Declined>((artifacts.stored_bytes()?, artifacts.free_bytes()?))
        });
        let (stored_bytes, free_bytes) = disk.await.map_err(|_| Declined::Stopping)??;
        let hosts = self.fleet.hosts();
        let connected = hosts.iter().filter(|host| host.connected).count();
        Ok(wire::Fleet {
            name: self.endpoints.name.clone(),
            coordinator_version: env!("CARGO_PKG_VERSION").to_owned(),
            incarnation: self.store.incarnation().await?,
            hosts: u32::try_from(hosts.len()).unwrap_or(u32::MAX),
            connected_hosts: u32::try_from(connected).unwrap_or(u32::MAX),
            stored_bytes,
            free_bytes,
        })
    }
}
