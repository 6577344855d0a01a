use jiff::Timestamp;
use tfleet_proto::model::desired::RestartPolicy;
use tfleet_proto::model::digest::Digest;
use tfleet_proto::model::inventory::{self, Driver, Engine, Machine};

use super::*;

fn host(driver: Option<&str>, gpu: Option<&str>) -> Inventory {
    Inventory {
        observed_at: Timestamp::UNIX_EPOCH,
        machine: Machine {
            architecture: "x86_64".to_owned(),
            distribution: None,
            kernel_release: None,
            cpu_model: None,
            cpu_count: 1,
            cpu_flags: vec!["avx".to_owned()],
            memory_bytes: None,
        },
        driver: driver.map(|version| Driver {
            version: version.to_owned(),
            kernel_module_version: Some(version.to_owned()),
            cuda_version: None,
            fault: None,
        }),
        gpus: gpu
            .map(|name| inventory::Gpu {
                uuid: "GPU-1".to_owned(),
                index: 0,
                name: name.to_owned(),
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
            })
            .into_iter()
            .collect(),
        engine: Engine {
            endpoint: "unix:///run/docker.sock".to_owned(),
            version: Some("20.10.24".to_owned()),
            api_version: None,
            storage_driver: None,
            image_store: None,
            runtimes: Vec::new(),
            data_root: None,
            data_root_free_bytes: None,
            fault: None,
        },
        gpu_modes: vec![inventory::GpuMode::Runtime],
        runtime_mode: None,
        images: Vec::new(),
        labels: [].into(),
        warnings: Vec::new(),
        sources: Vec::new(),
    }
}

fn spec(variant: &str, gpus: GpuRequest) -> ContainerSpec {
    ContainerSpec {
        name: "train".to_owned(),
        artifact: Digest::of(b"artifact"),
        release: "train:v7".parse().unwrap(),
        variant: variant.parse().unwrap(),
        command: Vec::new(),
        environment: [].into(),
        ports: Vec::new(),
        binds: Vec::new(),
        gpus,
        user: None,
        working_directory: None,
        shm_bytes: 0,
        restart_policy: RestartPolicy::No,
        privileged: false,
        host_namespaces: Vec::new(),
        capabilities: Vec::new(),
        tty: false,
        stop_grace_seconds: 0,
        trusts_intermediate_code: false,
    }
}

fn verdict(host: &Inventory, variant: &str, gpus: GpuRequest) -> Result<(), Failure> {
    check(Catalog::builtin(), host, &spec(variant, gpus), &[])
}

/// A container of an image whose environment is this.
fn verdict_on(
    host: &Inventory,
    variant: &str,
    gpus: GpuRequest,
    image: &[&str],
) -> Result<(), Failure> {
    let image: Vec<String> = image
        .iter()
        .map(|variable| (*variable).to_owned())
        .collect();
    check(Catalog::builtin(), host, &spec(variant, gpus), &image)
}

#[test]
fn what_an_image_requires_by_itself_is_asked_before_the_engine_is() {
    let image = [
        "PATH=/bin",
        "NVIDIA_REQUIRE_CUDA=cuda>=12.4 brand=tesla,driver>=470,driver<471",
    ];
    let t4 = host(Some("510.39.01"), Some("Tesla T4"));
    for variant in ["image", "tf2.14.1-cuda11.8"] {
        let failure = verdict_on(&t4, variant, GpuRequest::All, &image).unwrap_err();
        assert_eq!(failure.rule.as_deref(), Some("image-requirement"));
        assert!(failure.message.contains("510.39.01"), "{failure}");
        assert!(
            failure.remedy.as_ref().unwrap().contains("550"),
            "{failure}"
        );
        assert_eq!(verdict_on(&t4, variant, GpuRequest::None, &image), Ok(()));
    }
    let listed = host(Some("470.256.02"), Some("Tesla T4"));
    assert_eq!(
        verdict_on(&listed, "image", GpuRequest::All, &image),
        Ok(())
    );
    let off = [&image[..], &["NVIDIA_DISABLE_REQUIRE=1"]].concat();
    assert_eq!(verdict_on(&t4, "image", GpuRequest::All, &off), Ok(()));
    let mut cdi = t4;
    cdi.runtime_mode = Some(inventory::RuntimeMode::Cdi);
    assert_eq!(verdict_on(&cdi, "image", GpuRequest::All, &image), Ok(()));
}

#[test]
fn a_container_that_gets_some_of_the_gpus_is_judged_by_those() {
    let mut mixed = host(Some("535.129.03"), Some("Tesla T4"));
    let mut new = mixed.gpus[0].clone();
    new.uuid = "GPU-new".to_owned();
    new.name = "NVIDIA GeForce RTX 5090".to_owned();
    new.compute_capability = None;
    mixed.gpus.push(new);
    let old = GpuRequest::Uuids(vec![mixed.gpus[0].uuid.clone()]);
    assert_eq!(verdict(&mixed, "tf2.15.1-cuda12.2", old), Ok(()));
    let failure = verdict(&mixed, "tf2.15.1-cuda12.2", GpuRequest::All).unwrap_err();
    assert!(failure.message.contains("5090"), "{failure}");
}

#[test]
fn intermediate_code_is_trusted_only_where_the_plan_did() {
    let h100 = host(Some("535.129.03"), Some("NVIDIA H100 PCIe"));
    let mut spec = spec("tf2.19.1-cuda12.5", GpuRequest::All);
    let failure = check(Catalog::builtin(), &h100, &spec, &[]).unwrap_err();
    assert_eq!(failure.rule.as_deref(), Some("machine-code"));
    spec.trusts_intermediate_code = true;
    assert_eq!(check(Catalog::builtin(), &h100, &spec, &[]), Ok(()));
}

#[test]
fn what_the_plan_gave_this_host_is_accepted() {
    let t4 = host(Some("470.256.02"), Some("Tesla T4"));
    assert_eq!(verdict(&t4, "tf2.14.1-cuda11.8", GpuRequest::All), Ok(()));
    let a100 = host(Some("535.183.01"), Some("NVIDIA A100-SXM4-40GB"));
    assert_eq!(verdict(&a100, "tf2.15.1-cuda12.2", GpuRequest::All), Ok(()));
    assert_eq!(
        verdict(&host(None, None), "tf2.15.1-cpu", GpuRequest::None),
        Ok(())
    );
}

#[test]
fn a_driver_that_became_too_old_for_the_image_is_told_before_the_engine_is_asked() {
    let failure = verdict(
        &host(Some("470.256.02"), Some("Tesla T4")),
        "tf2.15.1-cuda12.2",
        GpuRequest::All,
    )
    .unwrap_err();
    assert_eq!(failure.code, "incompatible");
    assert_eq!(failure.rule.as_deref(), Some("driver-runs-cuda"));
    assert!(failure.message.contains("tf2.15.1-cuda12.2"), "{failure}");
    assert!(failure.remedy.is_some());
}

#[test]
fn without_gpus_the_driver_does_not_matter() {
    assert_eq!(
        verdict(&host(None, None), "tf2.15.1-cuda12.2", GpuRequest::None),
        Ok(())
    );
}

#[test]
fn an_image_that_others_built_is_let_pass() {
    assert_eq!(verdict(&host(None, None), "image", GpuRequest::All), Ok(()));
    assert_eq!(
        verdict(&host(None, None), "tf9.9.9-cuda99.9", GpuRequest::All),
        Ok(())
    );
}

#[test]
fn a_gpu_that_only_the_coordinator_knows_is_let_pass() {
    let host = host(Some("470.256.02"), Some("NVIDIA Quantum 9000"));
    assert_eq!(verdict(&host, "tf2.14.1-cuda11.8", GpuRequest::All), Ok(()));
}

#[test]
fn a_driver_that_fails_forbids_in_its_own_words() {
    let mut host = host(Some("470.256.02"), None);
    host.driver.as_mut().unwrap().fault =
        Some(Failure::new("nvml-failed", "NVML does not work").with_remedy("reinstall it"));
    let failure = verdict(&host, "tf2.14.1-cuda11.8", GpuRequest::All).unwrap_err();
    assert_eq!(failure.rule.as_deref(), Some("driver-health"));
    assert!(failure.message.contains("NVML does not work"), "{failure}");
    assert_eq!(failure.remedy.as_deref(), Some("reinstall it"));
}
