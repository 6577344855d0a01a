//! Making containers, starting and stopping them.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use bollard::errors::Error as ClientError;
use bollard::models::{
    ContainerCreateBody, DeviceRequest, HostConfig, Mount, MountType, PortBinding, PortMap,
    RestartPolicy as EngineRestartPolicy, RestartPolicyNameEnum,
};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, RemoveContainerOptionsBuilder, RestartContainerOptionsBuilder,
    StopContainerOptionsBuilder,
};
use tfleet_proto::model::desired::{
    BindMount, ContainerSpec, GpuRequest, HostNamespace, RestartPolicy,
};
use tfleet_proto::model::inventory::GpuMode;
use tracing::warn;

use super::{Engine, EngineError};

/// What the NVIDIA runtime reads to know which GPUs a container gets. An image may say `all` in its environment, so it
/// is always set.
const VISIBLE_DEVICES: &str = "NVIDIA_VISIBLE_DEVICES";
const DRIVER_CAPABILITIES: &str = "NVIDIA_DRIVER_CAPABILITIES";
/// Between the stop signal and the kill, where no other is asked for.
const ENGINES_GRACE: Duration = Duration::from_secs(10);

impl Engine {
    /// Makes a container and gives its identifier. `labels` go over the image's own.
    pub async fn create(
        &self,
        spec: &ContainerSpec,
        image_id: &str,
        gpu_mode: Option<GpuMode>,
        labels: BTreeMap<String, String>,
    ) -> Result<String, EngineError> {
        let docker = self.lasting().await?;
        let options = CreateContainerOptionsBuilder::default()
            .name(&spec.name)
            .build();
        let body = body(spec, image_id, gpu_mode, labels)?;
        let operation = "create a container";
        let created = self.ask(operation, docker.create_container(Some(options), body));
        let created = self
            .within(self.patience.container_step, operation, created)
            .await?;
        for warning in created.warnings {
            warn!(
                container = spec.name,
                warning, "the engine warns about a container that it made"
            );
        }
        Ok(created.id)
    }

    /// Starts a container; one that runs stays as it is.
    pub async fn start(&self, id: &str) -> Result<(), EngineError> {
        let docker = self.lasting().await?;
        let operation = "start a container";
        let started = self.ask(operation, docker.start_container(id, None));
        self.within(self.patience.container_step, operation, started)
            .await
    }

    /// Asks a container to end, and kills it after the grace; zero: the engine's own (10 s). One that does not run stays
    /// as it is.
    pub async fn stop(&self, id: &str, grace_seconds: u32) -> Result<(), EngineError> {
        let docker = self.lasting().await?;
        let mut options = StopContainerOptionsBuilder::default();
        if let Some(seconds) = grace(grace_seconds) {
            options = options.t(seconds);
        }
        let operation = "stop a container";
        let limit = longest_grace(grace_seconds) + self.patience.container_step;
        let stopped = self.ask(operation, docker.stop_container(id, Some(options.build())));
        self.within(limit, operation, stopped).await
    }

    pub async fn restart(&self, id: &str, grace_seconds: u32) -> Result<(), EngineError> {
        let docker = self.lasting().await?;
        let mut options = RestartContainerOptionsBuilder::default();
        if let Some(seconds) = grace(grace_seconds) {
            options = options.t(seconds);
        }
        let operation = "restart a container";
        let limit = longest_grace(grace_seconds) + self.patience.container_step;
        let restarted = self.ask(
            operation,
            docker.restart_container(id, Some(options.build())),
        );
        self.within(limit, operation, restarted).await
    }

    /// Removes a container and the volumes without a name that came with it. Says nothing if there is none.
    pub async fn remove(&self, id: &str) -> Result<(), EngineError> {
        let docker = self.lasting().await?;
        let options = RemoveContainerOptionsBuilder::default().v(true).build();
        let operation = "remove a container";
        let removed = async {
            match docker.remove_container(id, Some(options)).await {
                Ok(())
                | Err(ClientError::DockerResponseServerError {
                    status_code: 404, ..
                }) => Ok(()),
                Err(error) => Err(self.failed(operation, error)),
            }
        };
        self.within(self.patience.container_step, operation, removed)
            .await
    }
}

/// How long a container may take to end after it was asked to.
pub fn longest_grace(grace_seconds: u32) -> Duration {
    match grace_seconds {
        0 => ENGINES_GRACE,
        seconds => Duration::from_secs(seconds.into()),
    }
}

fn grace(seconds: u32) -> Option<i32> {
    (seconds > 0).then(|| i32::try_from(seconds).unwrap_or(i32::MAX))
}

/// The request that makes a container of a specification.
pub(super) fn body(
    spec: &ContainerSpec,
    image_id: &str,
    gpu_mode: Option<GpuMode>,
    labels: BTreeMap<String, String>,
) -> Result<ContainerCreateBody, EngineError> {
    let gpu = GpuAccess::of(&spec.gpus, gpu_mode)?;
    let ports = || {
        spec.ports
            .iter()
            .map(|port| format!("{}/{}", port.container_port, port.protocol.as_str()))
    };
    let (entrypoint, command) = if spec.command.is_empty() {
        // The image's entry point might take the words for arguments.
        (Some(vec!["sleep".to_owned()]), vec!["infinity".to_owned()])
    } else {
        (None, spec.command.clone())
    };
    Ok(ContainerCreateBody {
        image: Some(image_id.to_owned()),
        entrypoint,
        cmd: Some(command),
        env: Some(environment(&spec.environment, &gpu)),
        user: spec.user.clone(),
        working_dir: spec.working_directory.clone(),
        tty: Some(spec.tty),
        open_stdin: Some(spec.tty),
        labels: Some(labels.into_iter().collect()),
        stop_timeout: grace(spec.stop_grace_seconds).map(i64::from),
        exposed_ports: Some(ports().collect()),
        host_config: Some(host_config(spec, gpu)),
        ..ContainerCreateBody::default()
    })
}

fn host_config(spec: &ContainerSpec, gpu: GpuAccess) -> HostConfig {
    let shares = |namespace| {
        spec.host_namespaces
            .contains(&namespace)
            .then(|| "host".to_owned())
    };
    let (runtime, device_requests) = match gpu.request {
        None => (None, None),
        Some(Way::Runtime) => (Some("nvidia".to_owned()), None),
        Some(Way::Devices(request)) => (None, Some(vec![request])),
    };
    HostConfig {
        runtime,
        device_requests,
        // The first process forwards signals and buries orphans: `sleep` alone would ignore a stop.
        init: Some(true),
        // Not `binds`: those make a missing source, as an empty folder of root's.
        mounts: Some(spec.binds.iter().map(mount).collect()),
        port_bindings: Some(port_bindings(spec)),
        shm_size: (spec.shm_bytes > 0).then(|| i64::try_from(spec.shm_bytes).unwrap_or(i64::MAX)),
        restart_policy: Some(restart_policy(spec.restart_policy)),
        privileged: Some(spec.privileged),
        cap_add: Some(spec.capabilities.clone()),
        network_mode: shares(HostNamespace::Network),
        pid_mode: shares(HostNamespace::Pid),
        ipc_mode: shares(HostNamespace::Ipc),
        ..HostConfig::default()
    }
}

/// How a container gets its GPUs.
struct GpuAccess {
    visible_devices: String,
    request: Option<Way>,
}

enum Way {
    Runtime,
    Devices(DeviceRequest),
}

impl GpuAccess {
    fn of(request: &GpuRequest, mode: Option<GpuMode>) -> Result<Self, EngineError> {
        let devices = match request {
            GpuRequest::None => None,
            GpuRequest::All => Some("all".to_owned()),
            GpuRequest::Uuids(uuids) => Some(uuids.join(",")),
        };
        // `void` also takes away what the NVIDIA runtime would add as the engine's default one.
        let (Some(devices), Some(mode)) = (devices, mode) else {
            return Ok(Self {
                visible_devices: "void".to_owned(),
                request: None,
            });
        };
        match mode {
            GpuMode::Runtime => Ok(Self {
                visible_devices: devices,
                request: Some(Way::Runtime),
            }),
            GpuMode::DeviceRequest => {
                // The engine sets the variable from the request; the same value can't contradict it.
                Ok(Self {
                    visible_devices: devices,
                    request: Some(Way::Devices(by_capability(request))),
                })
            }
            GpuMode::Cdi => {
                // CDI edits the container itself; a runtime that reads the variable as well would do it twice.
                Ok(Self {
                    visible_devices: "void".to_owned(),
                    request: Some(Way::Devices(by_cdi(request))),
                })
            }
            GpuMode::VolumePlugin => Err(EngineError::VolumePlugin),
        }
    }
}

fn by_capability(request: &GpuRequest) -> DeviceRequest {
    let uuids = match request {
        GpuRequest::Uuids(uuids) => Some(uuids.clone()),
        GpuRequest::None | GpuRequest::All => None,
    };
    DeviceRequest {
        // All of them, unless they are named.
        count: uuids.is_none().then_some(-1),
        device_ids: uuids,
        capabilities: Some(vec![vec!["gpu".to_owned()]]),
        ..DeviceRequest::default()
    }
}

/// The names are those that `nvidia-ctk cdi generate` gives.
fn by_cdi(request: &GpuRequest) -> DeviceRequest {
    let device = |name: &str| format!("nvidia.com/gpu={name}");
    let devices = match request {
        GpuRequest::Uuids(uuids) => uuids.iter().map(|uuid| device(uuid)).collect(),
        GpuRequest::None | GpuRequest::All => vec![device("all")],
    };
    DeviceRequest {
        driver: Some("cdi".to_owned()),
        device_ids: Some(devices),
        ..DeviceRequest::default()
    }
}

fn environment(asked: &BTreeMap<String, String>, gpu: &GpuAccess) -> Vec<String> {
    let mut environment = asked.clone();
    environment.insert(VISIBLE_DEVICES.to_owned(), gpu.visible_devices.clone());
    if gpu.request.is_some() {
        environment
            .entry(DRIVER_CAPABILITIES.to_owned())
            .or_insert_with(|| "compute,utility".to_owned());
    }
    environment
        .into_iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect()
}

fn mount(bind: &BindMount) -> Mount {
    Mount {
        typ: Some(MountType::BIND),
        source: Some(bind.source.clone()),
        target: Some(bind.target.clone()),
        read_only: Some(bind.read_only),
        ..Mount::default()
    }
}

fn port_bindings(spec: &ContainerSpec) -> PortMap {
    let mut bindings: PortMap = HashMap::new();
    for port in &spec.ports {
        let key = format!("{}/{}", port.container_port, port.protocol.as_str());
        let binding = PortBinding {
            host_ip: port.host_address.map(|address| address.to_string()),
            host_port: Some(port.host_port.to_string()),
        };
        bindings
            .entry(key)
            .or_default()
            .get_or_insert_default()
            .push(binding);
    }
    bindings
}

fn restart_policy(policy: RestartPolicy) -> EngineRestartPolicy {
    let (name, maximum_retry_count) = match policy {
        RestartPolicy::No => (RestartPolicyNameEnum::NO, None),
        RestartPolicy::OnFailure { maximum_retries } => (
            RestartPolicyNameEnum::ON_FAILURE,
            Some(i64::from(maximum_retries)),
        ),
        RestartPolicy::Always => (RestartPolicyNameEnum::ALWAYS, None),
        RestartPolicy::UnlessStopped => (RestartPolicyNameEnum::UNLESS_STOPPED, None),
    };
    EngineRestartPolicy {
        name: Some(name),
        maximum_retry_count,
    }
}
