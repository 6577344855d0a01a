//! Any model value survives the wire; a message that does not hold together is refused by the field's path.

mod values;

use proptest::collection::vec;
use proptest::prelude::*;

use values::*;

use super::Refusal;
use crate::model::desired::*;
use crate::model::digest::Digest;
use crate::model::inventory::*;
use crate::model::status::*;
use crate::wire;
proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn an_inventory_survives_the_wire(inventory in inventory()) {
        prop_assert_eq!(Inventory::try_from(wire::Inventory::from(inventory.clone())), Ok(inventory));
    }

    #[test]
    fn a_desired_state_survives_the_wire(specs in vec(spec(), 0..3), artifact in digest()) {
        let state = desired(specs, artifact);
        let received = DesiredState::try_from(wire::DesiredState::from(state.clone()));
        prop_assert_eq!(received.as_ref().map(DesiredState::digest), Ok(state.digest()));
        prop_assert_eq!(received, Ok(state));
    }

    #[test]
    fn a_status_survives_the_wire(status in status()) {
        prop_assert_eq!(HostStatus::try_from(wire::HostStatus::from(status.clone())), Ok(status));
    }
}

/// A state with three containers, the last of which has a port and a bind.
fn valid() -> wire::DesiredState {
    let spec = |name: &str| ContainerSpec {
        name: name.to_owned(),
        artifact: Digest::of(b"index"),
        release: "train:v7".parse().expect("release"),
        variant: "tf2.15.1-cpu".parse().expect("variant"),
        command: Vec::new(),
        environment: [("A".to_owned(), "b".to_owned())].into(),
        ports: vec![PortBinding {
            host_address: None,
            host_port: 8888.try_into().expect("port"),
            container_port: 8888.try_into().expect("port"),
            protocol: PortProtocol::Tcp,
        }],
        binds: vec![BindMount {
            source: "/data".to_owned(),
            target: "/data".to_owned(),
            read_only: true,
        }],
        gpus: GpuRequest::All,
        user: None,
        working_directory: None,
        shm_bytes: 0,
        restart_policy: RestartPolicy::UnlessStopped,
        privileged: false,
        host_namespaces: vec![HostNamespace::Ipc],
        capabilities: Vec::new(),
        tty: false,
        stop_grace_seconds: 0,
        trusts_intermediate_code: false,
    };
    desired(
        vec![spec("one"), spec("two"), spec("three")],
        Digest::of(b"index"),
    )
    .into()
}

#[test]
fn a_refusal_names_the_field_by_its_path() {
    type Damage = fn(&mut wire::DesiredState);
    fn last(state: &mut wire::DesiredState) -> &mut wire::ContainerSpec {
        state.containers[2].spec.as_mut().expect("spec")
    }
    let cases: [(Damage, &str); 27] = [
        (
            |state| state.generation = 0,
            "generation: is required, and counts from 1",
        ),
        (
            |state| state.images[0].artifact.clear(),
            "images[0].artifact: is required",
        ),
        (
            |state| state.images[0].artifact.truncate(70),
            "images[0].artifact: `sha256:",
        ),
        (
            |state| state.images[0].release = "train".into(),
            "images[0].release: `train` is not a release",
        ),
        (
            |state| state.images[0].tags.clear(),
            "images[0].tags: needs at least one",
        ),
        (
            |state| state.images[0].tags.push("postgres:16".into()),
            "images[0].tags[1]: `postgres:16` is not tfleet/NAME:TAG",
        ),
        (
            |state| state.images[0].tags[0] = "tfleet/train".into(),
            "images[0].tags[0]: `tfleet/train` is not",
        ),
        (
            |state| state.images[0].tags[0] = "tfleet/a/b:v1".into(),
            "images[0].tags[0]: `tfleet/a/b:v1` is not",
        ),
        (
            |state| state.images[0].tags[0] = "tfleet/loading:v1".into(),
            "images[0].tags[0]: `tfleet/loading:v1` is not",
        ),
        (
            |state| state.images[0].tags[0] = "tfleet/train:".into(),
            "images[0].tags[0]: `tfleet/train:` is not",
        ),
        (
            |state| state.containers[1].spec = None,
            "containers[1].spec: is required",
        ),
        (
            |state| state.containers[1].phase = 0,
            "containers[1].phase: is required",
        ),
        (
            |state| state.containers[1].phase = 77,
            "containers[1].phase: 77 is not a value of this version",
        ),
        (
            |state| last(state).name = "one-0".into(),
            "containers[2].spec.name: `one-0` is there twice",
        ),
        (
            |state| last(state).name = "a b".into(),
            "containers[2].spec.name: `a b` is not a container name",
        ),
        (
            |state| last(state).ports[0].host_port = 0,
            "containers[2].spec.ports[0].host_port: 0 is not a port",
        ),
        (
            |state| last(state).ports[0].host_port = 70_000,
            "containers[2].spec.ports[0].host_port: 70000 is not",
        ),
        (
            |state| last(state).ports[0].host_address = "lo".into(),
            "containers[2].spec.ports[0].host_address: ",
        ),
        (
            |state| last(state).ports[0].protocol = 0,
            "containers[2].spec.ports[0].protocol: is required",
        ),
        (
            |state| last(state).binds[0].source = "data".into(),
            "containers[2].spec.binds[0].source: `data` is not",
        ),
        (
            |state| last(state).binds[0].target.clear(),
            "containers[2].spec.binds[0].target: is required",
        ),
        (
            |state| last(state).gpus = Some(wire::GpuRequest { request: None }),
            "containers[2].spec.gpus.request: is req",
        ),
        (
            |state| {
                let uuids = wire::gpu_request::Request::Uuids(wire::GpuList::default());
                last(state).gpus = Some(wire::GpuRequest {
                    request: Some(uuids),
                });
            },
            "containers[2].spec.gpus.uuids: needs at least one",
        ),
        (
            |state| {
                last(state).restart_policy = Some(wire::RestartPolicy {
                    name: 1,
                    maximum_retries: 3,
                })
            },
            "containers[2].spec.restart_policy.maximum_retries: goes with ON_FAILURE only",
        ),
        (
            |state| last(state).host_namespaces[0] = "user".into(),
            "containers[2].spec.host_namespaces[0]: `user` is",
        ),
        (
            |state| drop(last(state).environment.insert("A=B".into(), String::new())),
            "containers[2].spec.environment: `A=B` is not the name of an environment variable",
        ),
        (
            |state| last(state).variant.clear(),
            "containers[2].spec.variant: is required",
        ),
    ];
    assert!(DesiredState::try_from(valid()).is_ok());
    for (damage, expected) in cases {
        let mut state = valid();
        damage(&mut state);
        let refusal = DesiredState::try_from(state)
            .expect_err(expected)
            .to_string();
        assert!(
            refusal.starts_with(expected),
            "{refusal}\nexpected {expected}"
        );
    }
}

#[test]
fn a_refusal_becomes_an_invalid_argument() {
    let status = tonic::Status::from(Refusal::new("host", "is required").within("selector"));
    assert_eq!(status.code(), tonic::Code::InvalidArgument);
    assert_eq!(status.message(), "selector.host: is required");
}
