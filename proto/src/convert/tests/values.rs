//! Any value of the model.

use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;

use crate::model::desired::*;
use crate::model::digest::Digest;
use crate::model::failure::Failure;
use crate::model::inventory::*;
use crate::model::status::*;

pub(super) fn text() -> impl Strategy<Value = String> {
    "[a-z0-9./:-]{1,12}"
}

pub(super) fn digest() -> impl Strategy<Value = Digest> {
    any::<[u8; 32]>().prop_map(Digest::from_bytes)
}

pub(super) fn time() -> impl Strategy<Value = jiff::Timestamp> {
    (-62_000_000_000_i64..200_000_000_000, 0..1_000_000_000_i32)
        .prop_map(|(seconds, nanos)| jiff::Timestamp::new(seconds, nanos).expect("timestamp"))
}

pub(super) fn failure() -> impl Strategy<Value = Failure> {
    (text(), text(), option::of(text()), option::of(text())).prop_map(
        |(code, message, remedy, rule)| Failure {
            code,
            message,
            remedy,
            rule,
        },
    )
}

pub(super) fn gpu_mode() -> impl Strategy<Value = GpuMode> {
    use GpuMode::*;
    prop_oneof![
        Just(VolumePlugin),
        Just(Runtime),
        Just(DeviceRequest),
        Just(Cdi)
    ]
}

prop_compose! {
    pub(super) fn gpu()(
        (uuid, index, name) in (text(), any::<u32>(), text()),
        (compute_capability, pci_bus_id, fault) in (option::of(text()), option::of(text()), option::of(failure())),
        (memory_bytes, memory_used_bytes) in (any::<Option<u64>>(), any::<Option<u64>>()),
        (mig_enabled, ecc_enabled) in (any::<Option<bool>>(), any::<Option<bool>>()),
        (temperature_celsius, utilisation_percent) in (any::<Option<u32>>(), any::<Option<u32>>()),
        processes in vec((any::<u32>(), any::<Option<u64>>()), 0..3),
    ) -> Gpu {
        let processes = processes
            .into_iter()
            .map(|(pid, memory_used_bytes)| GpuProcess { pid, memory_used_bytes })
            .collect();
        Gpu {
            uuid, index, name, compute_capability, memory_bytes, memory_used_bytes, mig_enabled, ecc_enabled,
            temperature_celsius, utilisation_percent, processes, pci_bus_id, fault,
        }
    }
}

prop_compose! {
    pub(super) fn inventory()(
        observed_at in time(),
        (architecture, distribution, kernel_release, cpu_model) in
            (text(), option::of(text()), option::of(text()), option::of(text())),
        (cpu_count, cpu_flags, memory_bytes) in (any::<u32>(), vec(text(), 0..3), any::<Option<u64>>()),
        driver in option::of((text(), option::of(text()), option::of(text()), option::of(failure()))),
        gpus in vec(gpu(), 0..3),
        (endpoint, version, api_version, storage_driver) in
            (text(), option::of(text()), option::of(text()), option::of(text())),
        image_store in option::of(prop_oneof![Just(ImageStore::GraphDriver), Just(ImageStore::Containerd)]),
        (data_root, data_root_free_bytes, fault) in (option::of(text()), any::<Option<u64>>(), option::of(failure())),
        gpu_modes in vec(gpu_mode(), 0..4),
        runtime_mode in option::of(prop_oneof![
            Just(RuntimeMode::Legacy), Just(RuntimeMode::Csv), Just(RuntimeMode::Cdi), Just(RuntimeMode::JitCdi),
        ]),
        images in vec((text(), vec(text(), 0..2), vec(digest(), 0..3), any::<u64>()), 0..3),
        (labels, warnings) in (btree_map(text(), text(), 0..3), vec(text(), 0..2)),
        sources in vec((text(), prop_oneof![Just(Source::Nvml), Just(Source::Catalog)]), 0..3),
    ) -> Inventory {
        Inventory {
            observed_at,
            machine: Machine {
                architecture, distribution, kernel_release, cpu_model, cpu_count, cpu_flags, memory_bytes,
            },
            driver: driver.map(|(version, kernel_module_version, cuda_version, fault)| Driver {
                version, kernel_module_version, cuda_version, fault,
            }),
            gpus,
            engine: Engine {
                endpoint, version, api_version, storage_driver, image_store, runtimes: vec!["nvidia".to_owned()],
                data_root, data_root_free_bytes, fault,
            },
            gpu_modes,
            runtime_mode,
            images: images
                .into_iter()
                .map(|(engine_id, tags, diff_ids, size_bytes)| EngineImage { engine_id, tags, diff_ids, size_bytes })
                .collect(),
            labels,
            warnings,
            sources: sources.into_iter().map(|(field, source)| FieldSource { field, source }).collect(),
        }
    }
}

prop_compose! {
    pub(super) fn port()(
        host_address in any::<Option<std::net::IpAddr>>(),
        (host_port, container_port) in (any::<std::num::NonZeroU16>(), any::<std::num::NonZeroU16>()),
        protocol in prop_oneof![Just(PortProtocol::Tcp), Just(PortProtocol::Udp)],
    ) -> PortBinding {
        PortBinding { host_address, host_port, container_port, protocol }
    }
}

prop_compose! {
    pub(super) fn spec()(
        (name, artifact) in ("[a-z0-9][a-z0-9_.-]{1,10}", digest()),
        (command, environment) in (vec(text(), 0..3), btree_map("[A-Z_]{1,8}", text(), 0..3)),
        (ports, binds) in (vec(port(), 0..3), vec(("/[a-z/]{0,8}", "/[a-z/]{0,8}", any::<bool>()), 0..3)),
        gpus in prop_oneof![
            Just(GpuRequest::None), Just(GpuRequest::All), vec(text(), 1..3).prop_map(GpuRequest::Uuids),
        ],
        (user, working_directory, shm_bytes) in (option::of(text()), option::of(text()), any::<u64>()),
        restart_policy in prop_oneof![
            Just(RestartPolicy::No), Just(RestartPolicy::Always), Just(RestartPolicy::UnlessStopped),
            any::<u32>().prop_map(|maximum_retries| RestartPolicy::OnFailure { maximum_retries }),
        ],
        (privileged, tty, stop_grace_seconds) in (any::<bool>(), any::<bool>(), any::<u32>()),
        trusts_intermediate_code: bool,
        host_namespaces in vec(
            prop_oneof![Just(HostNamespace::Network), Just(HostNamespace::Pid), Just(HostNamespace::Ipc)], 0..3,
        ),
        capabilities in vec(text(), 0..2),
    ) -> ContainerSpec {
        ContainerSpec {
            name, artifact, command, environment, ports, gpus, user, working_directory, shm_bytes, restart_policy,
            privileged, host_namespaces, capabilities, tty, stop_grace_seconds,
            trusts_intermediate_code,
            release: "train:v7".parse().expect("release"),
            variant: "tf2.15.1-cuda12.2".parse().expect("variant"),
            binds: binds
                .into_iter()
                .map(|(source, target, read_only)| BindMount { source, target, read_only })
                .collect(),
        }
    }
}

pub(super) fn desired(specs: Vec<ContainerSpec>, artifact: Digest) -> DesiredState {
    let container = |(index, spec): (usize, ContainerSpec)| DesiredContainer {
        spec: ContainerSpec {
            name: format!("{}-{index}", spec.name),
            ..spec
        },
        phase: if index % 2 == 0 {
            DesiredPhase::Running
        } else {
            DesiredPhase::Stopped
        },
        restart_serial: index as u64,
        start_serial: index as u64 / 2,
    };
    DesiredState {
        incarnation: 1,
        generation: 9,
        images: vec![DesiredImage {
            artifact,
            release: "train:v7".parse().expect("release"),
            variant: "tf2.15.1-cpu".parse().expect("variant"),
            tags: vec!["tfleet/train:v7".to_owned()],
        }],
        containers: specs.into_iter().enumerate().map(container).collect(),
    }
}

prop_compose! {
    pub(super) fn status()(
        (incarnation, generation, observed_generation) in any::<(u64, u64, u64)>(),
        fault in option::of(failure()),
        (artifact, numbers, times) in (digest(), any::<[u64; 7]>(), (option::of(time()), option::of(time()))),
        (image_failure, container_failure) in (option::of(failure()), option::of(failure())),
        (container_id, exit_code) in (option::of(text()), any::<Option<i32>>()),
        (gpu_mode, ports, restart_serial) in (option::of(gpu_mode()), vec(port(), 0..2), any::<u64>()),
        (known, phase) in (any::<bool>(), prop::sample::select(vec![
            ContainerPhase::Pending, ContainerPhase::Created, ContainerPhase::Running,
            ContainerPhase::Exited, ContainerPhase::Failed, ContainerPhase::Restarting,
        ])),
    ) -> HostStatus {
        let [content_bytes, present_bytes, fetched_bytes, kept_bytes, wire_bytes, peer_bytes, loaded_bytes] = numbers;
        HostStatus {
            incarnation, generation, observed_generation, fault,
            images: vec![ImageStatus {
                artifact, content_bytes, present_bytes, fetched_bytes, kept_bytes, wire_bytes, peer_bytes,
                loaded_bytes,
                release: "train:v7".parse().expect("release"),
                variant: "tf2.15.1-cpu".parse().expect("variant"),
                phase: ImagePhase::Transferring,
                started_at: times.0, finished_at: times.1, failure: image_failure, tags: Vec::new(),
            }],
            containers: vec![ContainerStatus {
                name: "tf".to_owned(), phase, container_id, exit_code,
                release: known.then(|| "train:v7".parse().expect("release")),
                variant: known.then(|| "tf2.15.1-cpu".parse().expect("variant")),
                started_at: times.1, finished_at: times.0, failure: container_failure, gpu_mode, ports,
                restart_serial, command: vec!["sleep".to_owned(), "infinity".to_owned()],
            }],
        }
    }
}
