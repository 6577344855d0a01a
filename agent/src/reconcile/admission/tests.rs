use jiff::Timestamp;
use tfleet_proto::model::inventory::{Engine, Gpu, Machine};

use super::*;

fn host(gpus: &[&str], gpu_modes: &[GpuMode]) -> Inventory {
    let gpu = |(index, uuid): (usize, &&str)| Gpu {
        uuid: (*uuid).to_owned(),
        index: u32::try_from(index).unwrap(),
        name: "Tesla T4".to_owned(),
        compute_capability: None,
        memory_bytes: None,
        memory_used_bytes: None,
        mig_enabled: None,
        ecc_enabled: None,
        temperature_celsius: None,
        utilisation_percent: None,
        processes: Vec::new(),
        pci_bus_id: None,
        fault: None,
    };
    Inventory {
        observed_at: Timestamp::UNIX_EPOCH,
        machine: Machine {
            architecture: "x86_64".to_owned(),
            distribution: None,
            kernel_release: None,
            cpu_model: None,
            cpu_count: 1,
            cpu_flags: Vec::new(),
            memory_bytes: None,
        },
        driver: None,
        gpus: gpus.iter().enumerate().map(gpu).collect(),
        engine: Engine {
            endpoint: "unix:///run/docker.sock".to_owned(),
            version: None,
            api_version: None,
            storage_driver: None,
            image_store: None,
            runtimes: Vec::new(),
            data_root: None,
            data_root_free_bytes: None,
            fault: None,
        },
        gpu_modes: gpu_modes.to_vec(),
        runtime_mode: None,
        images: Vec::new(),
        labels: [].into(),
        warnings: Vec::new(),
        sources: Vec::new(),
    }
}

#[test]
fn the_best_way_of_asking_for_gpus_is_taken_and_none_for_a_container_without() {
    let host = host(&["GPU-1"], &[GpuMode::Runtime, GpuMode::DeviceRequest]);
    assert_eq!(
        gpu_mode(&GpuRequest::All, &host),
        Ok(Some(GpuMode::Runtime))
    );
    assert_eq!(
        gpu_mode(&GpuRequest::Uuids(vec!["GPU-1".to_owned()]), &host),
        Ok(Some(GpuMode::Runtime))
    );
    assert_eq!(gpu_mode(&GpuRequest::None, &host), Ok(None));
}

#[test]
fn a_missing_gpu_and_a_missing_runtime_are_told_apart() {
    let code = |request: &GpuRequest, host: &Inventory| gpu_mode(request, host).unwrap_err().code;
    assert_eq!(code(&GpuRequest::All, &host(&[], &[])), "gpu-missing");
    assert_eq!(
        code(&GpuRequest::All, &host(&["GPU-1"], &[])),
        "runtime-missing"
    );
    let other = GpuRequest::Uuids(vec!["GPU-2".to_owned()]);
    assert_eq!(
        code(&other, &host(&["GPU-1"], &[GpuMode::Runtime])),
        "gpu-missing"
    );
}
