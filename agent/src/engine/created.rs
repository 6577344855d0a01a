//! What the engine made of a request, as far as a policy has a say in it.

use std::collections::BTreeSet;
use std::path::PathBuf;

use bollard::models::{ContainerInspectResponse, HostConfig, MountType};
use tfleet_proto::model::desired::HostNamespace;

use super::{Engine, EngineError};

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CreatedContainer {
    /// Or as good as that.
    pub privileged: bool,
    pub host_namespaces: Vec<HostNamespace>,
    /// As the engine has them: with or without "CAP_".
    pub capabilities: Vec<String>,
    /// Paths of the host that the container sees.
    pub bind_sources: Vec<PathBuf>,
    /// As the engine has them: a number, a range, or nothing where the engine is to choose.
    pub host_ports: Vec<String>,
}

impl Engine {
    pub async fn inspect_created(&self, id: &str) -> Result<CreatedContainer, EngineError> {
        let docker = self.quick().await?;
        let made = self
            .ask("look at a container", docker.inspect_container(id, None))
            .await?;
        created(made).ok_or(EngineError::Incomplete {
            operation: "look at a container",
            what: "its host configuration",
        })
    }
}

fn created(made: ContainerInspectResponse) -> Option<CreatedContainer> {
    let host = made.host_config?;
    let points = made.mounts.unwrap_or_default().into_iter();
    let points = points
        .filter(|point| point.typ.as_deref() == Some("bind"))
        .filter_map(|point| point.source);
    Some(CreatedContainer {
        privileged: host.privileged.unwrap_or_default() || is_loosened(&host),
        host_namespaces: host_namespaces(&host),
        bind_sources: points
            .chain(asked_sources(&host))
            .map(PathBuf::from)
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect(),
        host_ports: host_ports(&host),
        capabilities: host.cap_add.unwrap_or_default(),
    })
}

/// What this agent never asks for, and what takes as much of a container's walls away as being privileged does: other
/// containers' namespaces and volumes, the host's users or name, no seccomp or AppArmor profile.
fn is_loosened(host: &HostConfig) -> bool {
    let modes = [
        &host.network_mode,
        &host.pid_mode,
        &host.ipc_mode,
        &host.userns_mode,
        &host.uts_mode,
    ];
    let joins_another = modes
        .into_iter()
        .flatten()
        .any(|mode| mode.starts_with("container:"));
    let of_the_host = [&host.userns_mode, &host.uts_mode]
        .into_iter()
        .flatten()
        .any(|mode| mode == "host");
    let unconfined = host
        .security_opt
        .iter()
        .flatten()
        .any(|option| option.ends_with("unconfined"));
    let volumes_of_others = host
        .volumes_from
        .as_ref()
        .is_some_and(|from| !from.is_empty());
    joins_another || of_the_host || unconfined || volumes_of_others
}

fn host_namespaces(host: &HostConfig) -> Vec<HostNamespace> {
    let modes = [
        (HostNamespace::Network, &host.network_mode),
        (HostNamespace::Pid, &host.pid_mode),
        (HostNamespace::Ipc, &host.ipc_mode),
    ];
    let shared = modes
        .into_iter()
        .filter(|(_, mode)| mode.as_deref() == Some("host"));
    shared.map(|(namespace, _)| namespace).collect()
}

/// Before a first start an engine need not list its mounts.
fn asked_sources(host: &HostConfig) -> Vec<String> {
    let mounts = host
        .mounts
        .iter()
        .flatten()
        .filter(|mount| mount.typ == Some(MountType::BIND));
    let binds = host
        .binds
        .iter()
        .flatten()
        .filter_map(|bind| bind.split(':').next());
    let devices = host
        .devices
        .iter()
        .flatten()
        .filter_map(|device| device.path_on_host.clone());
    mounts
        .filter_map(|mount| mount.source.clone())
        .chain(
            binds
                .filter(|source| source.starts_with('/'))
                .map(str::to_owned),
        )
        .chain(devices)
        .collect()
}

fn host_ports(host: &HostConfig) -> Vec<String> {
    let bindings = host
        .port_bindings
        .iter()
        .flatten()
        .filter_map(|(_, bindings)| bindings.as_ref());
    bindings
        .flatten()
        .map(|binding| binding.host_port.clone().unwrap_or_default())
        .collect()
}

#[cfg(test)]
mod tests;
