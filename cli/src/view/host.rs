//! A host as the coordinator knows it.

use jiff::Timestamp;
use serde::Serialize;
use tfleet_proto::convert::{Refusal, timestamp};
use tfleet_proto::model::desired::DesiredState;
use tfleet_proto::model::inventory::{Gpu, Inventory};
use tfleet_proto::model::name::HostName;
use tfleet_proto::model::status::{HostStatus, ImagePhase};
use tfleet_proto::wire;

use super::container::Containers;
use super::quantity::{ago, bytes, moment};
use super::{Cell, Grid, Tabular, Tone};

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Host {
    pub name: HostName,
    pub connected: bool,
    pub last_seen_at: Option<Timestamp>,
    pub enrolled_at: Option<Timestamp>,
    pub certificate_ends_at: Option<Timestamp>,
    pub agent_version: String,
    pub address: String,
    pub inventory: Option<Inventory>,
    pub status: Option<HostStatus>,
    pub desired: Option<DesiredState>,
}

/// Several hosts, one line each.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub struct Hosts(pub Vec<Host>);

/// One host, everything.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub struct HostDetails(pub Host);

impl TryFrom<wire::Host> for Host {
    type Error = Refusal;

    fn try_from(host: wire::Host) -> Result<Self, Refusal> {
        let time = |field: &str, time: Option<prost_types::Timestamp>| {
            time.map(|time| timestamp(field, Some(time))).transpose()
        };
        // A host for which nothing was ever asked has a state without generation.
        let desired = host.desired.filter(|desired| desired.generation > 0);
        Ok(Self {
            name: host
                .name
                .parse()
                .map_err(|error: tfleet_proto::model::name::NameError| {
                    Refusal::new("name", error.to_string())
                })?,
            connected: host.connected,
            last_seen_at: time("last_seen_at", host.last_seen_at)?,
            enrolled_at: time("enrolled_at", host.enrolled_at)?,
            certificate_ends_at: time("certificate_ends_at", host.certificate_ends_at)?,
            agent_version: host.agent_version,
            address: host.address,
            inventory: nested("inventory", host.inventory)?,
            status: nested("status", host.status)?,
            desired: nested("desired", desired)?,
        })
    }
}

fn nested<W, M: TryFrom<W, Error = Refusal>>(
    field: &str,
    message: Option<W>,
) -> Result<Option<M>, Refusal> {
    message
        .map(M::try_from)
        .transpose()
        .map_err(|refusal| refusal.within(field))
}

impl Host {
    /// Whether the fleet wants a container of this name here.
    pub fn has_container(&self, name: &str) -> bool {
        self.desired
            .iter()
            .flat_map(|desired| &desired.containers)
            .any(|container| container.spec.name == name)
    }

    /// "connected", or since when it is not.
    pub fn connection(&self, now: Timestamp) -> Cell {
        match (self.connected, self.last_seen_at) {
            (true, _) => Cell::from("connected").toned(Tone::Good),
            (false, Some(seen)) => {
                Cell::from(format!("last seen {}", ago(seen, now))).toned(Tone::Bad)
            }
            (false, None) => Cell::from("never seen").toned(Tone::Attention),
        }
    }

    fn driver(&self) -> Cell {
        let Some(inventory) = &self.inventory else {
            return Cell::maybe(None::<String>);
        };
        match &inventory.driver {
            None => Cell::from("none").toned(Tone::Faint),
            Some(driver) if driver.fault.is_some() => {
                Cell::from(format!("{} (fault)", driver.version)).toned(Tone::Bad)
            }
            Some(driver) => Cell::from(driver.version.clone()),
        }
    }

    fn cuda(&self) -> Cell {
        let driver = self
            .inventory
            .as_ref()
            .and_then(|inventory| inventory.driver.as_ref());
        Cell::maybe(driver.and_then(|driver| driver.cuda_version.as_ref()))
    }

    fn gpus(&self) -> Cell {
        let Some(inventory) = &self.inventory else {
            return Cell::maybe(None::<String>);
        };
        Cell::from(gpu_names(&inventory.gpus))
    }

    fn engine(&self) -> Cell {
        let Some(inventory) = &self.inventory else {
            return Cell::maybe(None::<String>);
        };
        match &inventory.engine.version {
            Some(version) => Cell::from(version.clone()),
            None => Cell::from("does not answer").toned(Tone::Bad),
        }
    }

    fn images(&self) -> Cell {
        let images = self.status.iter().flat_map(|status| &status.images);
        let texts: Vec<String> = images
            .map(|image| match image.phase {
                ImagePhase::Present => format!("{} ({})", image.release, image.variant),
                ImagePhase::Waiting => format!("{} waiting", image.release),
                ImagePhase::Transferring => format!("{} on its way", image.release),
                ImagePhase::Failed => format!("{} failed", image.release),
            })
            .collect();
        Cell::from(texts.join(", "))
    }
}

/// "2 × Tesla T4, 1 × NVIDIA A100".
fn gpu_names(gpus: &[Gpu]) -> String {
    let mut counts: Vec<(&str, usize)> = Vec::new();
    for gpu in gpus {
        match counts.iter_mut().find(|(name, _)| *name == gpu.name) {
            Some((_, count)) => *count += 1,
            None => counts.push((&gpu.name, 1)),
        }
    }
    let texts: Vec<String> = counts
        .iter()
        .map(|(name, count)| format!("{count} × {name}"))
        .collect();
    texts.join(", ")
}

impl Tabular for Hosts {
    fn grids(&self) -> Vec<Grid> {
        let now = Timestamp::now();
        let row = |host: &Host| {
            vec![
                Cell::from(host.name.as_str()),
                host.connection(now),
                host.driver(),
                host.cuda(),
                host.gpus(),
                host.engine(),
                host.images(),
            ]
        };
        let grid = Grid::new([
            "HOST", "STATE", "DRIVER", "CUDA", "GPUS", "ENGINE", "IMAGES",
        ])
        .when_empty("no hosts; enrol one: tfleet token create NAME")
        .with_rows(self.0.iter().map(row));
        vec![grid]
    }
}

impl Tabular for HostDetails {
    fn grids(&self) -> Vec<Grid> {
        let host = &self.0;
        let mut grids = vec![Grid::of_pairs([
            ("host", Cell::from(host.name.as_str())),
            ("state", host.connection(Timestamp::now())),
            ("address", Cell::from(host.address.as_str())),
            ("agent", Cell::from(host.agent_version.as_str())),
            ("enrolled", Cell::maybe(host.enrolled_at.map(moment))),
            (
                "certificate ends",
                Cell::maybe(host.certificate_ends_at.map(moment)),
            ),
        ])];
        if let Some(inventory) = &host.inventory {
            grids.extend(inventory_grids(inventory));
        }
        if let Some(fault) = host
            .status
            .as_ref()
            .and_then(|status| status.fault.as_ref())
        {
            grids.push(Grid::of_pairs([(
                "fault",
                Cell::from(fault.to_string()).toned(Tone::Bad),
            )]));
        }
        grids.extend(Containers::of(std::slice::from_ref(host)).grids());
        grids
    }
}

fn inventory_grids(inventory: &Inventory) -> Vec<Grid> {
    let machine = &inventory.machine;
    let engine = &inventory.engine;
    let driver = inventory.driver.as_ref();
    let fault = |fault: &Option<_>| fault.as_ref().map(ToString::to_string);
    let modes: Vec<String> = inventory
        .gpu_modes
        .iter()
        .map(ToString::to_string)
        .collect();
    let labels: Vec<String> = inventory
        .labels
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    let avx = if machine.cpu_flags.iter().any(|flag| flag == "avx") {
        "AVX"
    } else {
        "no AVX"
    };
    let facts = [
        (
            "machine",
            Cell::from(format!(
                "{}, {} CPUs ({avx}), {}",
                machine.architecture,
                machine.cpu_count,
                machine
                    .memory_bytes
                    .map_or_else(|| "memory unknown".to_owned(), bytes)
            )),
        ),
        ("distribution", Cell::maybe(machine.distribution.as_ref())),
        ("kernel", Cell::maybe(machine.kernel_release.as_ref())),
        ("labels", Cell::from(labels.join(", "))),
        ("driver", Cell::maybe(driver.map(|driver| &driver.version))),
        (
            "kernel module",
            Cell::maybe(driver.and_then(|driver| driver.kernel_module_version.as_ref())),
        ),
        (
            "CUDA up to",
            Cell::maybe(driver.and_then(|driver| driver.cuda_version.as_ref())),
        ),
        (
            "driver fault",
            Cell::maybe(driver.and_then(|driver| fault(&driver.fault))).toned(Tone::Bad),
        ),
        ("engine", Cell::maybe(engine.version.as_ref())),
        (
            "engine fault",
            Cell::maybe(fault(&engine.fault)).toned(Tone::Bad),
        ),
        ("storage", Cell::maybe(engine.storage_driver.as_ref())),
        ("image store", Cell::maybe(engine.image_store)),
        (
            "disk free",
            Cell::maybe(engine.data_root_free_bytes.map(bytes)),
        ),
        ("GPU modes", Cell::from(modes.join(", "))),
        ("observed", Cell::from(moment(inventory.observed_at))),
    ];
    let always = ["driver", "engine"];
    let facts = facts
        .into_iter()
        .filter(|(name, cell)| always.contains(name) || !cell.is_missing());
    let warnings = inventory
        .warnings
        .iter()
        .map(|text| ("warning", Cell::from(text.as_str()).toned(Tone::Attention)));
    let mut grids = vec![Grid::of_pairs(facts.chain(warnings))];
    if !inventory.gpus.is_empty() {
        let header = [
            "GPU",
            "NAME",
            "CC",
            "MEMORY",
            "USED",
            "TEMP",
            "LOAD",
            "ECC",
            "MIG",
            "PROCESSES",
            "UUID",
        ];
        grids.push(Grid::new(header).with_rows(inventory.gpus.iter().map(gpu_row)));
    }
    grids
}

fn gpu_row(gpu: &Gpu) -> Vec<Cell> {
    let on_off = |on: Option<bool>| Cell::maybe(on.map(|on| if on { "on" } else { "off" }));
    let name = match &gpu.fault {
        Some(fault) => Cell::from(format!("{} ({fault})", gpu.name)).toned(Tone::Bad),
        None => Cell::from(gpu.name.as_str()),
    };
    vec![
        Cell::from(gpu.index.to_string()),
        name,
        Cell::maybe(gpu.compute_capability.as_ref()),
        Cell::maybe(gpu.memory_bytes.map(bytes)),
        Cell::maybe(gpu.memory_used_bytes.map(bytes)),
        Cell::maybe(
            gpu.temperature_celsius
                .map(|degrees| format!("{degrees} °C")),
        ),
        Cell::maybe(
            gpu.utilisation_percent
                .map(|percent| format!("{percent} %")),
        ),
        on_off(gpu.ecc_enabled),
        on_off(gpu.mig_enabled),
        Cell::from(gpu.processes.len().to_string()),
        Cell::from(gpu.uuid.as_str()),
    ]
}
