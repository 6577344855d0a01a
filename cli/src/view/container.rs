//! Containers across hosts: what `tfleet ps` shows.

use serde::Serialize;
use tfleet_proto::model::desired::{DesiredContainer, DesiredPhase, PortBinding};
use tfleet_proto::model::name::{HostName, ReleaseRef, VariantId};
use tfleet_proto::model::status::{ContainerPhase, ContainerStatus};

use super::host::Host;
use super::quantity::moment;
use super::{Cell, Grid, Tabular, Tone};

/// One container of one host, asked for or running.
#[derive(Debug, Clone, Serialize)]
pub struct Container {
    pub host: HostName,
    pub host_connected: bool,
    pub name: String,
    pub release: Option<ReleaseRef>,
    pub variant: Option<VariantId>,
    /// What it shall be; `None` for one that is being removed.
    pub desired: Option<DesiredPhase>,
    /// What the host said last; `None` when it has said nothing about it yet.
    pub status: Option<ContainerStatus>,
}

#[derive(Debug, Serialize)]
#[serde(transparent)]
pub struct Containers(pub Vec<Container>);

impl Containers {
    pub fn of(hosts: &[Host]) -> Self {
        Self(hosts.iter().flat_map(of_host).collect())
    }

    /// The containers, and below them why some are not as they shall be.
    pub fn grids(&self) -> Vec<Grid> {
        let failures = Grid::new(["HOST", "CONTAINER", "FAILED BECAUSE", "NEXT"])
            .with_rows(self.0.iter().filter_map(failure));
        let containers = self.grid();
        if failures.is_empty() {
            vec![containers]
        } else {
            vec![containers, failures]
        }
    }

    fn grid(&self) -> Grid {
        Grid::new([
            "HOST",
            "CONTAINER",
            "STATE",
            "RELEASE",
            "VARIANT",
            "GPU",
            "PORTS",
            "STARTED",
        ])
        .when_empty("no containers; run one: tfleet run RELEASE --name NAME --all")
        .with_rows(self.0.iter().map(row))
    }
}

impl Tabular for Containers {
    fn grids(&self) -> Vec<Grid> {
        Containers::grids(self)
    }
}

fn of_host(host: &Host) -> Vec<Container> {
    let status = |name: &str| {
        let mut containers = host.status.iter().flat_map(|status| &status.containers);
        containers.find(|container| container.name == name).cloned()
    };
    let wanted = host.desired.iter().flat_map(|desired| &desired.containers);
    let wanted = wanted.map(|DesiredContainer { spec, phase, .. }| Container {
        host: host.name.clone(),
        host_connected: host.connected,
        name: spec.name.clone(),
        release: Some(spec.release.clone()),
        variant: Some(spec.variant.clone()),
        desired: Some(*phase),
        status: status(&spec.name),
    });
    let running = host.status.iter().flat_map(|status| &status.containers);
    let unwanted = running
        .filter(|container| !host.has_container(&container.name))
        .map(|container| Container {
            host: host.name.clone(),
            host_connected: host.connected,
            name: container.name.clone(),
            release: container.release.clone(),
            variant: container.variant.clone(),
            desired: None,
            status: Some(container.clone()),
        });
    wanted.chain(unwanted).collect()
}

fn row(container: &Container) -> Vec<Cell> {
    let status = container.status.as_ref();
    let ports: Vec<String> = status
        .iter()
        .flat_map(|status| &status.ports)
        .map(port)
        .collect();
    let started = status.and_then(|status| status.started_at);
    vec![
        Cell::from(container.host.as_str()),
        Cell::from(container.name.as_str()),
        state(container),
        Cell::maybe(container.release.as_ref()),
        Cell::maybe(container.variant.as_ref()),
        Cell::maybe(status.and_then(|status| status.gpu_mode)),
        Cell::from(ports.join(", ")),
        Cell::maybe(started.map(moment)),
    ]
}

fn state(container: &Container) -> Cell {
    let Some(status) = &container.status else {
        let text = if container.host_connected {
            "pending"
        } else {
            "pending (host not connected)"
        };
        return Cell::from(text).toned(Tone::Attention);
    };
    let cell = match status.phase {
        ContainerPhase::Pending => Cell::from("pending").toned(Tone::Attention),
        ContainerPhase::Created => Cell::from("created"),
        ContainerPhase::Running => Cell::from("running").toned(Tone::Good),
        ContainerPhase::Restarting => {
            Cell::from(format!("restarting{}", code(status))).toned(Tone::Bad)
        }
        ContainerPhase::Exited => {
            let wanted = container.desired == Some(DesiredPhase::Running);
            let tone = if wanted { Tone::Bad } else { Tone::Plain };
            Cell::from(format!("exited{}", code(status))).toned(tone)
        }
        ContainerPhase::Failed => Cell::from("failed").toned(Tone::Bad),
    };
    if container.host_connected {
        cell
    } else {
        cell.suffixed(", when last seen").toned(Tone::Attention)
    }
}

/// " (137)".
fn code(status: &ContainerStatus) -> String {
    let code = status.exit_code.map(|code| format!(" ({code})"));
    code.unwrap_or_default()
}

fn failure(container: &Container) -> Option<Vec<Cell>> {
    let failure = container.status.as_ref()?.failure.as_ref()?;
    Some(vec![
        Cell::from(container.host.as_str()),
        Cell::from(container.name.as_str()),
        Cell::from(failure.cause()).toned(Tone::Bad),
        Cell::maybe(failure.remedy.as_ref()),
    ])
}

/// "8888→8888/tcp".
pub fn port(port: &PortBinding) -> String {
    let address = port
        .host_address
        .map(|address| format!("{address}:"))
        .unwrap_or_default();
    format!(
        "{address}{}→{}/{}",
        port.host_port,
        port.container_port,
        port.protocol.as_str()
    )
}
