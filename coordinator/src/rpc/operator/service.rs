//! What a container runs where nobody says it: what the image of its release was made to serve.
//!
//! The agent runs the command that a specification has, and keeps the container alive where it has none: an image's own
//! command is mostly a shell, which ends at once. So the command of an image that has a service is written into the
//! specification, where agents of every version find it.

use std::collections::BTreeMap;
use std::num::NonZeroU16;

use serde_json::Value;
use tfleet_proto::model::desired::{ContainerSpec, HostNamespace, PortBinding, PortProtocol};
use tfleet_proto::model::digest::Digest;

use super::OperatorService;
use super::builds::flavours;
use super::containers::Placements;
use super::declined::Declined;
use crate::build::{BuildError, Dockerfile, service_ports, start_command};
use crate::store::{Origin, Release};

/// What an image serves.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Service {
    command: Vec<String>,
    ports: Vec<PortBinding>,
}

impl OperatorService {
    /// What the images serve that `template` says no command for. Empty for a release that serves nothing.
    pub(super) fn services(
        &self,
        release: &Release,
        template: &ContainerSpec,
        placements: &Placements,
    ) -> Result<BTreeMap<Digest, Service>, Declined> {
        let Origin::Planned { request, .. } = &release.origin else {
            return Ok(BTreeMap::new());
        };
        let flavours = flavours(request)?;
        let has_own_command = request
            .dockerfile
            .clone()
            .and_then(|text| Dockerfile::new(text).ok())
            .is_some_and(|dockerfile| dockerfile.has_command());
        let serves = has_own_command || start_command(&flavours).is_some();
        if !template.command.is_empty() || !serves {
            return Ok(BTreeMap::new());
        }
        let ports: Vec<_> = service_ports(&flavours)
            .filter_map(|port| binding(port.container, port.host))
            .collect();
        let mut services = BTreeMap::new();
        for placement in placements.values().flatten() {
            let Some(index) = self.artifacts.index(&placement.artifact)? else {
                continue;
            };
            let service = Service {
                command: command(&index.config)?,
                ports: ports.clone(),
            };
            services.insert(placement.artifact, service);
        }
        Ok(services)
    }
}

impl Service {
    /// Ports that somebody asked for stand; with the host's network there is nothing to publish.
    pub fn fill_in(&self, spec: &mut ContainerSpec) {
        spec.command.clone_from(&self.command);
        if spec.ports.is_empty() && !spec.host_namespaces.contains(&HostNamespace::Network) {
            spec.ports.clone_from(&self.ports);
        }
    }
}

fn binding(container_port: u16, host_port: u16) -> Option<PortBinding> {
    Some(PortBinding {
        host_address: None,
        host_port: NonZeroU16::new(host_port)?,
        container_port: NonZeroU16::new(container_port)?,
        protocol: PortProtocol::Tcp,
    })
}

/// The `CMD` in an image's configuration.
fn command(config: &str) -> Result<Vec<String>, BuildError> {
    let config: Value = serde_json::from_str(config).map_err(|error| BuildError::Format {
        file: "the image's configuration".to_owned(),
        why: error.to_string(),
    })?;
    let words = config.pointer("/config/Cmd").and_then(Value::as_array);
    Ok(words
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect())
}

#[cfg(test)]
mod tests;
