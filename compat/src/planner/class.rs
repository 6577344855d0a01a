//! What the rules can see of a host: hosts of one class get the same verdicts.

use crate::host::{Architecture, DriverHealth, Gpu, HostFacts};
use crate::version::DriverVersion;

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Class {
    driver: Option<DriverVersion>,
    health: DriverHealth,
    architecture: Architecture,
    has_avx: Option<bool>,
    has_gpu_mode: Option<bool>,
    gpus: Vec<Gpu>,
}

impl Class {
    pub fn of(host: &HostFacts) -> Self {
        let mut gpus = host.gpus.clone();
        gpus.sort();
        gpus.dedup();
        Self {
            driver: host.driver_version.clone(),
            health: host.driver_health.clone(),
            architecture: host.architecture,
            has_avx: host.cpu_flags.as_ref().map(|flags| flags.contains("avx")),
            has_gpu_mode: host.gpu_modes.as_ref().map(|modes| !modes.is_empty()),
            gpus,
        }
    }
}
