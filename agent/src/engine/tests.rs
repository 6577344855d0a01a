//! What is asked of an engine for a specification, and what its refusals mean.

use std::collections::BTreeMap;

use bollard::models::{ContainerCreateBody, HostConfig};
use tfleet_proto::model::desired::{
    BindMount, ContainerSpec, GpuRequest, HostNamespace, PortBinding, PortProtocol, RestartPolicy,
};
use tfleet_proto::model::digest::Digest;
use tfleet_proto::model::inventory::GpuMode;

use super::container::body;
use super::{EngineError, Refusal};

const UUID: &str = "GPU-8a3c1f0e-0000-0000-0000-000000000001";

fn spec(gpus: GpuRequest) -> ContainerSpec {
    ContainerSpec {
        name: "train".to_owned(),
        artifact: Digest::of(b"artifact"),
        release: "train:v7".parse().unwrap(),
        variant: "tf2.15.1-cuda12.2".parse().unwrap(),
        command: Vec::new(),
        environment: BTreeMap::new(),
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

fn made(spec: &ContainerSpec, mode: Option<GpuMode>) -> (ContainerCreateBody, HostConfig) {
    let mut body = body(spec, "sha256:1", mode, BTreeMap::new()).unwrap();
    let host = body.host_config.take().unwrap();
    (body, host)
}

fn variable(body: &ContainerCreateBody, name: &str) -> Option<String> {
    let environment = body.env.as_ref().unwrap();
    environment
        .iter()
        .find_map(|pair| pair.strip_prefix(&format!("{name}=")).map(str::to_owned))
}

#[test]
fn a_container_without_gpus_is_kept_from_those_that_its_image_asks_for() {
    let mut spec = spec(GpuRequest::None);
    spec.environment
        .insert("NVIDIA_VISIBLE_DEVICES".to_owned(), "all".to_owned());
    let (body, host) = made(&spec, Some(GpuMode::Runtime));
    assert_eq!(variable(&body, "NVIDIA_VISIBLE_DEVICES").unwrap(), "void");
    assert_eq!((host.runtime, host.device_requests), (None, None));
}

#[test]
fn each_way_of_asking_for_gpus_asks_for_all_or_for_the_named_ones() {
    let named = GpuRequest::Uuids(vec![UUID.to_owned()]);
    let (body, host) = made(&spec(GpuRequest::All), Some(GpuMode::Runtime));
    assert_eq!(host.runtime.as_deref(), Some("nvidia"));
    assert_eq!(variable(&body, "NVIDIA_VISIBLE_DEVICES").unwrap(), "all");
    assert_eq!(
        variable(&body, "NVIDIA_DRIVER_CAPABILITIES").unwrap(),
        "compute,utility"
    );
    let (body, _) = made(&spec(named.clone()), Some(GpuMode::Runtime));
    assert_eq!(variable(&body, "NVIDIA_VISIBLE_DEVICES").unwrap(), UUID);

    let request = |host: HostConfig| host.device_requests.unwrap().remove(0);
    let (_, host) = made(&spec(GpuRequest::All), Some(GpuMode::DeviceRequest));
    assert_eq!(
        (host.runtime.clone(), request(host).count),
        (None, Some(-1))
    );
    let (_, host) = made(&spec(named.clone()), Some(GpuMode::DeviceRequest));
    let asked = request(host);
    assert_eq!(
        (asked.count, asked.device_ids),
        (None, Some(vec![UUID.to_owned()]))
    );

    let (body, host) = made(&spec(named), Some(GpuMode::Cdi));
    let asked = request(host);
    assert_eq!(asked.driver.as_deref(), Some("cdi"));
    assert_eq!(
        asked.device_ids,
        Some(vec![format!("nvidia.com/gpu={UUID}")])
    );
    assert_eq!(variable(&body, "NVIDIA_VISIBLE_DEVICES").unwrap(), "void");

    let refused = super::container::body(
        &spec(GpuRequest::All),
        "x",
        Some(GpuMode::VolumePlugin),
        BTreeMap::new(),
    );
    assert_eq!(refused.unwrap_err().failure().code, "runtime-missing");
}

#[test]
fn a_container_without_a_command_waits_under_an_init_process() {
    let (body, host) = made(&spec(GpuRequest::None), None);
    assert_eq!(
        (body.entrypoint.unwrap(), body.cmd.unwrap()),
        (vec!["sleep".to_owned()], vec!["infinity".to_owned()])
    );
    assert_eq!(host.init, Some(true));
    let mut own = spec(GpuRequest::None);
    own.command = vec!["jupyter".to_owned(), "lab".to_owned()];
    let (body, _) = made(&own, None);
    assert_eq!((body.entrypoint, body.cmd), (None, Some(own.command)));
}

#[test]
fn a_specification_reaches_the_engine_whole() {
    let mut spec = spec(GpuRequest::None);
    spec.ports = vec![PortBinding {
        host_address: Some("127.0.0.1".parse().unwrap()),
        host_port: 18888.try_into().unwrap(),
        container_port: 8888.try_into().unwrap(),
        protocol: PortProtocol::Tcp,
    }];
    spec.binds = vec![BindMount {
        source: "/data".to_owned(),
        target: "/mnt".to_owned(),
        read_only: true,
    }];
    spec.shm_bytes = 1 << 30;
    spec.host_namespaces = vec![HostNamespace::Ipc];
    spec.restart_policy = RestartPolicy::OnFailure { maximum_retries: 3 };
    spec.stop_grace_seconds = 60;
    let (body, host) = made(&spec, None);
    assert_eq!(body.exposed_ports.unwrap(), ["8888/tcp"]);
    let binding = host.port_bindings.unwrap()["8888/tcp"]
        .clone()
        .unwrap()
        .remove(0);
    assert_eq!(
        (binding.host_ip.unwrap(), binding.host_port.unwrap()),
        ("127.0.0.1".to_owned(), "18888".to_owned())
    );
    let mount = host.mounts.unwrap().remove(0);
    assert_eq!(
        (
            mount.source.unwrap(),
            mount.target.unwrap(),
            mount.read_only
        ),
        ("/data".to_owned(), "/mnt".to_owned(), Some(true))
    );
    assert_eq!(host.binds, None, "binds would make a missing source");
    assert_eq!(
        (host.shm_size, host.ipc_mode.as_deref(), host.network_mode),
        (Some(1 << 30), Some("host"), None)
    );
    assert_eq!(host.restart_policy.unwrap().maximum_retry_count, Some(3));
    assert_eq!(body.stop_timeout, Some(60));
}

#[test]
fn a_refusal_is_known_by_its_words() {
    let cases = [
        (404, "No such image: sha256:00", "image-missing"),
        (404, "No such container: 0a", "container-missing"),
        (
            409,
            "Conflict. The container name \"/train\" is already in use by container \"0a\". You have to remove (or rename) \
             that container to be able to reuse that name.",
            "name-taken",
        ),
        (409, "Container 0a is not running", "not-running"),
        (
            500,
            "driver failed programming external connectivity on endpoint train (0a): Bind for 0.0.0.0:8888 failed: port is \
             already allocated",
            "port-taken",
        ),
        (
            500,
            "failed to bind host port 0.0.0.0:8888/tcp: address already in use",
            "port-taken",
        ),
        (400, "Unknown runtime specified nvidia", "runtime-missing"),
        (
            400,
            "unknown or invalid runtime name: nvidia",
            "runtime-missing",
        ),
        (
            500,
            "could not select device driver \"\" with capabilities: [[gpu]]",
            "runtime-missing",
        ),
        (
            400,
            "invalid mount config for type \"bind\": bind source path does not exist: /nowhere",
            "bind-missing",
        ),
        (
            500,
            "Error processing tar file(exit status 1): write /usr/lib/x: no space left on device",
            "disk-full",
        ),
        (418, "I'm a teapot", "engine-refused"),
    ];
    for (status, message, code) in cases {
        let error = bollard::errors::Error::DockerResponseServerError {
            status_code: status,
            message: message.to_owned(),
        };
        let error = EngineError::from_client("unix:///run/docker.sock", "do it", error);
        let failure = error.failure();
        assert_eq!(failure.code, code, "{message}");
        assert!(failure.message.contains(message), "{}", failure.message);
    }
}

#[test]
fn what_the_nvidia_runtime_refuses_is_told_in_its_own_last_words() {
    let message = "failed to create shim task: OCI runtime create failed: runc create failed: unable to start container \
                   process: error during container init: error running hook #0: error running hook: exit status 1, stdout: , \
                   stderr: nvidia-container-cli: requirement error: unsatisfied condition: cuda>=12.2, please update your \
                   driver to a newer version, or use an earlier cuda container: unknown";
    assert_eq!(Refusal::of(500, message), Refusal::GpuRefused);
    let failure = EngineError::refused("start a container", Refusal::GpuRefused, message).failure();
    assert_eq!(failure.code, "gpu-refused");
    assert_eq!(
        failure.message,
        "the NVIDIA runtime refused the container: nvidia-container-cli: requirement error: unsatisfied condition: \
         cuda>=12.2, please update your driver to a newer version, or use an earlier cuda container"
    );
    assert!(failure.remedy.unwrap().contains("variant"));
}

#[test]
fn an_engine_that_is_not_there_is_down() {
    let error = bollard::errors::Error::RequestTimeoutError;
    let failure = EngineError::from_client("unix:///run/docker.sock", "answer", error).failure();
    assert_eq!(failure.code, "engine-down");
    assert!(failure.message.contains("/run/docker.sock"));
}
