//! Rollouts and containers: written down for each host in one transaction, then told to those that are connected.

use std::collections::BTreeMap;
use std::sync::Arc;

use tfleet_proto::model::desired::{ContainerSpec, DesiredState, GpuRequest};
use tfleet_proto::model::failure::Failure;
use tfleet_proto::model::name::HostName;
use tfleet_proto::wire;
use tracing::info;

use super::OperatorService;
use super::declined::Declined;
use super::selection::Selection;
use crate::fleet::HostView;
use crate::rollout::{self, ContainerChange, NOT_BUILT, Placement};
use crate::store::Release;

pub(super) type Placements = BTreeMap<HostName, Result<Placement, Failure>>;

impl OperatorService {
    pub(super) async fn rollout(
        &self,
        request: wire::RolloutRequest,
        by: &str,
    ) -> Result<wire::ChangeResponse, Declined> {
        let release = self.release("release", &request.release).await?;
        let hosts = Selection::read(request.selector)?.hosts(&self.fleet)?;
        let placements = placements(&release, &hosts);
        let unbuilt = placements
            .values()
            .filter_map(|placement| placement.as_ref().err())
            .find(|failure| failure.code == NOT_BUILT);
        if let Some(failure) = unbuilt {
            return Err(Declined::First(failure.to_string()));
        }
        let reference = release.reference.clone();
        let placed = placements.clone();
        info!(release = %reference, hosts = hosts.len(), by, "a rollout");
        self.change(hosts, &placements, move |host, desired| {
            rollout::want_image(desired, &reference, &placement(&placed, host)?);
            Ok(())
        })
        .await
    }

    pub(super) async fn run_container(
        &self,
        request: wire::RunContainerRequest,
        by: &str,
    ) -> Result<wire::ChangeResponse, Declined> {
        let release = self.release("release", &request.release).await?;
        let hosts = Selection::read(request.selector)?.hosts(&self.fleet)?;
        let template = read_template(request.template, &release)?;
        let placements = placements(&release, &hosts);
        let services = self.services(&release, &template, &placements)?;
        let reference = release.reference.clone();
        let placed = placements.clone();
        info!(release = %reference, container = template.name, hosts = hosts.len(), by, "a container is asked for");
        self.change(hosts, &placements, move |host, desired| {
            let placement = placement(&placed, host)?;
            let mut spec = ContainerSpec {
                artifact: placement.artifact,
                variant: placement.variant.clone(),
                trusts_intermediate_code: placement.trusts_intermediate_code,
                ..template.clone()
            };
            if let (GpuRequest::All, Some(uuids)) = (&spec.gpus, &placement.some_gpus) {
                spec.gpus = GpuRequest::Uuids(uuids.clone());
            }
            if let Some(service) = services.get(&placement.artifact) {
                service.fill_in(&mut spec);
            }
            rollout::run_container(desired, spec, request.replace)?;
            rollout::want_image(desired, &reference, &placement);
            Ok(())
        })
        .await
    }

    pub(super) async fn change_containers(
        &self,
        request: wire::ChangeContainersRequest,
        by: &str,
    ) -> Result<wire::ChangeResponse, Declined> {
        let change = match request.change() {
            wire::ContainerChange::Unspecified => {
                return Err(Declined::field("change", "is required"));
            }
            wire::ContainerChange::Start => ContainerChange::Start,
            wire::ContainerChange::Stop => ContainerChange::Stop,
            wire::ContainerChange::Restart => ContainerChange::Restart,
            wire::ContainerChange::Remove => ContainerChange::Remove,
        };
        if request.containers.is_empty() {
            return Err(Declined::field("containers", "needs at least one name"));
        }
        let hosts = Selection::read(request.selector)?.hosts(&self.fleet)?;
        let names = request.containers;
        info!(?change, containers = ?names, hosts = hosts.len(), by, "containers are to change");
        self.change(hosts, &Placements::new(), move |_, desired| {
            rollout::change_containers(desired, change, &names)
        })
        .await
    }

    /// Changes each host's desired state. What one host refuses holds up no other.
    async fn change(
        &self,
        hosts: Vec<Arc<HostView>>,
        placements: &Placements,
        change: impl Fn(&HostName, &mut DesiredState) -> Result<(), Failure> + Send + 'static,
    ) -> Result<wire::ChangeResponse, Declined> {
        let names = hosts.iter().map(|host| host.name.clone()).collect();
        let mut changed = self.fleet.change_desired(names, change).await?;
        let mut answer = wire::ChangeResponse::default();
        for host in hosts {
            let variant = match placements.get(&host.name) {
                Some(Ok(placement)) => placement.variant.to_string(),
                _ => String::new(),
            };
            let mut told = wire::HostChange {
                host: host.name.to_string(),
                variant,
                ..Default::default()
            };
            match changed.remove(&host.name) {
                Some(Ok(desired)) => {
                    told.generation = desired.generation;
                    told.pending = self
                        .fleet
                        .host(&host.name)
                        .is_none_or(|host| !host.connected);
                }
                Some(Err(failure)) => told.failure = Some(failure.into()),
                None => {
                    let gone = format!("host {} was removed meanwhile", host.name);
                    told.failure = Some(Failure::new("host-removed", gone).into());
                }
            }
            answer.hosts.push(told);
        }
        Ok(answer)
    }
}

fn placements(release: &Release, hosts: &[Arc<HostView>]) -> Placements {
    hosts
        .iter()
        .map(|host| {
            let placement = rollout::place(release, &host.name, host.inventory.as_deref());
            (host.name.clone(), placement)
        })
        .collect()
}

fn placement(placements: &Placements, host: &HostName) -> Result<Placement, Failure> {
    placements.get(host).cloned().unwrap_or_else(|| {
        let unknown = format!("host {host} was not selected");
        Err(Failure::new("host-unknown", unknown))
    })
}

/// The template as it is for every host but for its image, which `change` fills in. The wire's required image fields
/// are filled with the release's first, so that one conversion checks all the others.
fn read_template(
    template: Option<wire::ContainerSpec>,
    release: &Release,
) -> Result<ContainerSpec, Declined> {
    let mut template = template.ok_or_else(|| Declined::field("template", "is required"))?;
    let filled_in = [
        ("artifact", &template.artifact),
        ("variant", &template.variant),
        ("release", &template.release),
    ];
    if let Some((field, _)) = filled_in.iter().find(|(_, value)| !value.is_empty()) {
        let why = "is filled in for each host from the release's plan; leave it empty";
        return Err(Declined::field(&format!("template.{field}"), why));
    }
    let Some(build) = release.builds.first() else {
        return Err(Declined::First(format!(
            "{} has no image",
            release.reference
        )));
    };
    template.artifact = tfleet_proto::model::digest::Digest::of(b"").to_string();
    template.variant = build.variant.to_string();
    template.release = release.reference.to_string();
    ContainerSpec::try_from(template).map_err(|refusal| refusal.within("template").into())
}
