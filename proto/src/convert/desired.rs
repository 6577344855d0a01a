//! `DesiredState` and what it holds.

use std::collections::BTreeSet;
use std::num::NonZeroU16;

use super::Refusal;
use super::field::{
    enumeration, enumeration_pairs, list, optional_text, parsed, parsed_optional, required, text,
    wire_list,
};
use crate::model::desired::{
    BindMount, ContainerSpec, DesiredContainer, DesiredImage, DesiredPhase, DesiredState,
    GpuRequest, HostNamespace, PortBinding, PortProtocol, RestartPolicy,
};
use crate::model::name::ReleaseName;
use crate::wire;
use crate::wire::gpu_request::Request;

enumeration_pairs!(wire::DesiredPhase, DesiredPhase, Running <=> Running, Stopped <=> Stopped);
enumeration_pairs!(wire::PortProtocol, PortProtocol, Tcp <=> Tcp, Udp <=> Udp);

impl TryFrom<wire::DesiredState> for DesiredState {
    type Error = Refusal;

    fn try_from(state: wire::DesiredState) -> Result<Self, Refusal> {
        let containers: Vec<DesiredContainer> = list("containers", state.containers)?;
        let mut names = BTreeSet::new();
        for (index, container) in containers.iter().enumerate() {
            let name = &container.spec.name;
            if !names.insert(name) {
                let path = format!("containers[{index}].spec.name");
                return Err(Refusal::new(path, format!("`{name}` is there twice")));
            }
        }
        Ok(Self {
            incarnation: counter("incarnation", state.incarnation)?,
            generation: counter("generation", state.generation)?,
            images: list("images", state.images)?,
            containers,
        })
    }
}

impl From<DesiredState> for wire::DesiredState {
    fn from(state: DesiredState) -> Self {
        Self {
            incarnation: state.incarnation,
            generation: state.generation,
            images: wire_list(state.images),
            containers: wire_list(state.containers),
        }
    }
}

impl TryFrom<wire::DesiredImage> for DesiredImage {
    type Error = Refusal;

    fn try_from(image: wire::DesiredImage) -> Result<Self, Refusal> {
        if image.tags.is_empty() {
            return Err(Refusal::new("tags", "needs at least one"));
        }
        for (index, tag) in image.tags.iter().enumerate() {
            if !is_fleets_reference(tag) {
                let why = format!(
                    "`{tag}` is not tfleet/NAME:TAG, and no other reference is the fleet's to give"
                );
                return Err(Refusal::new(format!("tags[{index}]"), why));
            }
        }
        Ok(Self {
            artifact: parsed("artifact", &image.artifact)?,
            release: parsed("release", &image.release)?,
            variant: parsed("variant", &image.variant)?,
            tags: image.tags,
        })
    }
}

impl From<DesiredImage> for wire::DesiredImage {
    fn from(image: DesiredImage) -> Self {
        Self {
            artifact: image.artifact.to_string(),
            release: image.release.to_string(),
            variant: image.variant.to_string(),
            tags: image.tags,
        }
    }
}

impl TryFrom<wire::DesiredContainer> for DesiredContainer {
    type Error = Refusal;

    fn try_from(container: wire::DesiredContainer) -> Result<Self, Refusal> {
        Ok(Self {
            spec: required("spec", container.spec)?,
            phase: enumeration::<wire::DesiredPhase, _>("phase", container.phase)?,
            restart_serial: container.restart_serial,
            start_serial: container.start_serial,
        })
    }
}

impl From<DesiredContainer> for wire::DesiredContainer {
    fn from(container: DesiredContainer) -> Self {
        Self {
            spec: Some(container.spec.into()),
            phase: wire::DesiredPhase::from(container.phase).into(),
            restart_serial: container.restart_serial,
            start_serial: container.start_serial,
        }
    }
}

impl TryFrom<wire::ContainerSpec> for ContainerSpec {
    type Error = Refusal;

    fn try_from(spec: wire::ContainerSpec) -> Result<Self, Refusal> {
        for name in spec.environment.keys() {
            if name.is_empty() || name.contains(['=', '\0']) {
                let why = format!("`{name}` is not the name of an environment variable");
                return Err(Refusal::new("environment", why));
            }
        }
        let namespace = |(index, name): (usize, &String)| {
            namespace(name).map_err(|refusal| refusal.within(&format!("host_namespaces[{index}]")))
        };
        Ok(Self {
            name: container_name("name", spec.name)?,
            artifact: parsed("artifact", &spec.artifact)?,
            release: parsed("release", &spec.release)?,
            variant: parsed("variant", &spec.variant)?,
            command: spec.command,
            environment: spec.environment,
            ports: list("ports", spec.ports)?,
            binds: list("binds", spec.binds)?,
            gpus: required("gpus", spec.gpus)?,
            user: optional_text(spec.user),
            working_directory: optional_text(spec.working_directory),
            shm_bytes: spec.shm_bytes,
            restart_policy: required("restart_policy", spec.restart_policy)?,
            privileged: spec.privileged,
            host_namespaces: spec
                .host_namespaces
                .iter()
                .enumerate()
                .map(namespace)
                .collect::<Result<_, _>>()?,
            capabilities: spec.capabilities,
            tty: spec.tty,
            stop_grace_seconds: spec.stop_grace_seconds,
            trusts_intermediate_code: spec.trusts_intermediate_code,
        })
    }
}

impl From<ContainerSpec> for wire::ContainerSpec {
    fn from(spec: ContainerSpec) -> Self {
        Self {
            name: spec.name,
            artifact: spec.artifact.to_string(),
            release: spec.release.to_string(),
            variant: spec.variant.to_string(),
            command: spec.command,
            environment: spec.environment,
            ports: wire_list(spec.ports),
            binds: wire_list(spec.binds),
            gpus: Some(spec.gpus.into()),
            user: spec.user.unwrap_or_default(),
            working_directory: spec.working_directory.unwrap_or_default(),
            shm_bytes: spec.shm_bytes,
            restart_policy: Some(spec.restart_policy.into()),
            privileged: spec.privileged,
            host_namespaces: spec
                .host_namespaces
                .iter()
                .map(|namespace| namespace.as_str().to_owned())
                .collect(),
            capabilities: spec.capabilities,
            tty: spec.tty,
            stop_grace_seconds: spec.stop_grace_seconds,
            trusts_intermediate_code: spec.trusts_intermediate_code,
        }
    }
}

impl TryFrom<wire::PortBinding> for PortBinding {
    type Error = Refusal;

    fn try_from(port: wire::PortBinding) -> Result<Self, Refusal> {
        Ok(Self {
            host_address: parsed_optional("host_address", &port.host_address)?,
            host_port: port_number("host_port", port.host_port)?,
            container_port: port_number("container_port", port.container_port)?,
            protocol: enumeration::<wire::PortProtocol, _>("protocol", port.protocol)?,
        })
    }
}

impl From<PortBinding> for wire::PortBinding {
    fn from(port: PortBinding) -> Self {
        Self {
            host_address: port
                .host_address
                .map(|address| address.to_string())
                .unwrap_or_default(),
            host_port: port.host_port.get().into(),
            container_port: port.container_port.get().into(),
            protocol: wire::PortProtocol::from(port.protocol).into(),
        }
    }
}

impl TryFrom<wire::BindMount> for BindMount {
    type Error = Refusal;

    fn try_from(bind: wire::BindMount) -> Result<Self, Refusal> {
        Ok(Self {
            source: absolute_path("source", bind.source)?,
            target: absolute_path("target", bind.target)?,
            read_only: bind.read_only,
        })
    }
}

impl From<BindMount> for wire::BindMount {
    fn from(bind: BindMount) -> Self {
        Self {
            source: bind.source,
            target: bind.target,
            read_only: bind.read_only,
        }
    }
}

impl TryFrom<wire::GpuRequest> for GpuRequest {
    type Error = Refusal;

    fn try_from(gpus: wire::GpuRequest) -> Result<Self, Refusal> {
        match gpus
            .request
            .ok_or_else(|| Refusal::new("request", "is required"))?
        {
            Request::None(wire::NoGpu {}) => Ok(Self::None),
            Request::All(wire::AllGpus {}) => Ok(Self::All),
            Request::Uuids(list) if list.uuids.is_empty() => Err(Refusal::new(
                "uuids",
                "needs at least one; `none` asks for no GPU",
            )),
            Request::Uuids(list) => Ok(Self::Uuids(list.uuids)),
        }
    }
}

impl From<GpuRequest> for wire::GpuRequest {
    fn from(gpus: GpuRequest) -> Self {
        let request = match gpus {
            GpuRequest::None => Request::None(wire::NoGpu {}),
            GpuRequest::All => Request::All(wire::AllGpus {}),
            GpuRequest::Uuids(uuids) => Request::Uuids(wire::GpuList { uuids }),
        };
        Self {
            request: Some(request),
        }
    }
}

impl TryFrom<wire::RestartPolicy> for RestartPolicy {
    type Error = Refusal;

    fn try_from(policy: wire::RestartPolicy) -> Result<Self, Refusal> {
        use wire::RestartPolicyName as Name;
        let maximum_retries = policy.maximum_retries;
        let policy = match Name::try_from(policy.name) {
            Ok(Name::Unspecified) => return Err(Refusal::new("name", "is required")),
            Ok(Name::OnFailure) => return Ok(Self::OnFailure { maximum_retries }),
            Ok(Name::No) => Self::No,
            Ok(Name::Always) => Self::Always,
            Ok(Name::UnlessStopped) => Self::UnlessStopped,
            Err(_) => {
                let why = format!("{} is not a value of this version", policy.name);
                return Err(Refusal::new("name", why));
            }
        };
        if maximum_retries == 0 {
            Ok(policy)
        } else {
            Err(Refusal::new("maximum_retries", "goes with ON_FAILURE only"))
        }
    }
}

impl From<RestartPolicy> for wire::RestartPolicy {
    fn from(policy: RestartPolicy) -> Self {
        use wire::RestartPolicyName as Name;
        let (name, maximum_retries) = match policy {
            RestartPolicy::No => (Name::No, 0),
            RestartPolicy::OnFailure { maximum_retries } => (Name::OnFailure, maximum_retries),
            RestartPolicy::Always => (Name::Always, 0),
            RestartPolicy::UnlessStopped => (Name::UnlessStopped, 0),
        };
        Self {
            name: name.into(),
            maximum_retries,
        }
    }
}

/// A state that is sent was written down once, so it has counted at least that.
fn counter(field: &str, value: u64) -> Result<u64, Refusal> {
    if value == 0 {
        Err(Refusal::new(field, "is required, and counts from 1"))
    } else {
        Ok(value)
    }
}

fn port_number(field: &str, number: u32) -> Result<NonZeroU16, Refusal> {
    u16::try_from(number)
        .ok()
        .and_then(NonZeroU16::new)
        .ok_or_else(|| {
            Refusal::new(
                field,
                format!("{number} is not a port; ports are 1 to 65535"),
            )
        })
}

fn absolute_path(field: &str, path: String) -> Result<String, Refusal> {
    let path = text(field, path)?;
    if path.starts_with('/') && !path.contains('\0') {
        Ok(path)
    } else {
        Err(Refusal::new(
            field,
            format!("`{path}` is not an absolute path"),
        ))
    }
}

/// What every engine accepts as a container's name.
fn container_name(field: &str, name: String) -> Result<String, Refusal> {
    let name = text(field, name)?;
    let begins_well = name.starts_with(|first: char| first.is_ascii_alphanumeric());
    let all_known = name
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-'));
    if begins_well && all_known && (2..=128).contains(&name.len()) {
        Ok(name)
    } else {
        let why = format!(
            "`{name}` is not a container name: use 2 to 128 letters, digits, `_`, `.` and `-`, \
             a letter or digit first"
        );
        Err(Refusal::new(field, why))
    }
}

/// Giving a reference takes it from the image that has it, so a host gives none but the fleet's: "tfleet/NAME:TAG". Those
/// of images that are not whole yet are under one name and no release's.
fn is_fleets_reference(reference: &str) -> bool {
    let Some((name, tag)) = reference
        .strip_prefix("tfleet/")
        .and_then(|rest| rest.split_once(':'))
    else {
        return false;
    };
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    let is_tag =
        (1..=128).contains(&tag.len()) && tag.bytes().all(is_word) && !tag.starts_with(['.', '-']);
    is_tag && name != "loading" && name.parse::<ReleaseName>().is_ok()
}

fn namespace(name: &str) -> Result<HostNamespace, Refusal> {
    [
        HostNamespace::Network,
        HostNamespace::Pid,
        HostNamespace::Ipc,
    ]
    .into_iter()
    .find(|namespace| namespace.as_str() == name)
    .ok_or_else(|| {
        Refusal::new(
            "",
            format!("`{name}` is not a namespace; there are network, pid and ipc"),
        )
    })
}
