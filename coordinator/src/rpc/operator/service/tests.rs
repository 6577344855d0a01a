//! What is filled in.

use tfleet_proto::model::desired::{GpuRequest, RestartPolicy};

use super::*;

fn spec() -> ContainerSpec {
    ContainerSpec {
        name: "lab".to_owned(),
        artifact: Digest::of(b"artifact"),
        release: "lab:v1".parse().unwrap(),
        variant: "tf2.15.1-cpu".parse().unwrap(),
        command: Vec::new(),
        environment: BTreeMap::new(),
        ports: Vec::new(),
        binds: Vec::new(),
        gpus: GpuRequest::None,
        user: None,
        working_directory: None,
        shm_bytes: 0,
        restart_policy: RestartPolicy::UnlessStopped,
        privileged: false,
        host_namespaces: Vec::new(),
        capabilities: Vec::new(),
        tty: false,
        stop_grace_seconds: 0,
        trusts_intermediate_code: false,
    }
}

#[test]
fn a_service_gets_its_command_and_its_ports_and_ports_that_were_asked_for_stand() {
    let service = Service {
        command: command(r#"{"config":{"Cmd":["start","jupyter"]}}"#).unwrap(),
        ports: vec![binding(8888, 8888).unwrap()],
    };
    let mut plain = spec();
    service.fill_in(&mut plain);
    assert_eq!(plain.command, ["start", "jupyter"]);
    assert_eq!(plain.ports, service.ports);

    let asked = vec![binding(8888, 9999).unwrap()];
    let mut with_port = ContainerSpec {
        ports: asked.clone(),
        ..spec()
    };
    service.fill_in(&mut with_port);
    assert_eq!(with_port.ports, asked);

    let mut on_host = ContainerSpec {
        host_namespaces: vec![HostNamespace::Network],
        ..spec()
    };
    service.fill_in(&mut on_host);
    assert!(on_host.ports.is_empty());
}

#[test]
fn an_image_without_a_command_serves_nothing() {
    assert!(command(r#"{"config":{}}"#).unwrap().is_empty());
    assert!(command("{").is_err());
}
