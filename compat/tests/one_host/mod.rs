//! Hosts in a line each.

use tfleet_compat::{Gpu, HostFacts};

/// A host without driver and GPU.
pub fn host(name: &str) -> HostFacts {
    HostFacts::new(name)
}

/// A host with a driver and GPUs that are known by name only.
pub fn gpu_host(name: &str, driver: &str, gpus: &[&str]) -> HostFacts {
    let mut host = HostFacts::new(name);
    host.driver_version = Some(driver.parse().unwrap());
    host.gpus = gpus.iter().map(|name| Gpu::named(*name)).collect();
    host
}
