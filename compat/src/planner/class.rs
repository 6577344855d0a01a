//! What the rules can see of a host: hosts of one class get the same verdicts, so one of them is asked for all.

use std::collections::{BTreeMap, BTreeSet};

use super::PlanError;
use crate::host::{Architecture, DriverHealth, Gpu, GpuMode, HostFacts, HostName, RuntimeMode};
use crate::version::DriverVersion;

/// A fleet by class.
pub(super) struct Classes<'a> {
    /// The hosts, sorted by name, each with its class's place in `examples`.
    pub hosts: Vec<(&'a HostName, usize)>,
    /// One host of each class.
    pub examples: Vec<&'a HostFacts>,
}

impl<'a> Classes<'a> {
    pub fn of(hosts: &'a [HostFacts]) -> Result<Self, PlanError> {
        let mut places: BTreeMap<Class, usize> = BTreeMap::new();
        let mut classes = Self {
            hosts: Vec::with_capacity(hosts.len()),
            examples: Vec::new(),
        };
        for host in hosts {
            let place = *places.entry(Class::of(host)).or_insert_with(|| {
                classes.examples.push(host);
                classes.examples.len() - 1
            });
            classes.hosts.push((&host.name, place));
        }
        classes.hosts.sort_unstable();
        match classes.hosts.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            Some(pair) => Err(PlanError::DuplicateHost(pair[0].0.clone())),
            None => Ok(classes),
        }
    }
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Class {
    driver: Option<DriverVersion>,
    health: DriverHealth,
    architecture: Architecture,
    has_avx: Option<bool>,
    gpu_modes: Option<BTreeSet<GpuMode>>,
    runtime_mode: RuntimeMode,
    gpus: Vec<Gpu>,
}

impl Class {
    fn of(host: &HostFacts) -> Self {
        let mut gpus = host.gpus.clone();
        gpus.sort();
        gpus.dedup();
        Self {
            driver: host.driver_version.clone(),
            health: host.driver_health.clone(),
            architecture: host.architecture,
            has_avx: host.cpu_flags.as_ref().map(|flags| flags.contains("avx")),
            gpu_modes: host.gpu_modes.clone(),
            runtime_mode: host.runtime_mode,
            gpus,
        }
    }
}
