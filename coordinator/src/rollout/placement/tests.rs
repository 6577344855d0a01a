use tfleet_proto::model::desired::{DesiredContainer, DesiredPhase, GpuRequest, RestartPolicy};

use super::*;

fn placement() -> Placement {
    Placement {
        variant: "tf2.15.1-cpu".parse().unwrap(),
        artifact: Digest::of(b"artifact"),
        some_gpus: None,
        trusts_intermediate_code: false,
    }
}

fn release(text: &str) -> ReleaseRef {
    text.parse().unwrap()
}

fn container(of: &str) -> DesiredContainer {
    DesiredContainer {
        spec: ContainerSpec {
            name: "tf".to_owned(),
            artifact: placement().artifact,
            release: release(of),
            variant: placement().variant,
            command: Vec::new(),
            environment: [].into(),
            ports: Vec::new(),
            binds: Vec::new(),
            gpus: GpuRequest::None,
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
        },
        phase: DesiredPhase::Running,
        restart_serial: 0,
        start_serial: 0,
    }
}

fn releases(desired: &DesiredState) -> Vec<String> {
    desired
        .images
        .iter()
        .map(|image| image.release.to_string())
        .collect()
}

#[test]
fn of_revisions_with_one_artifact_a_host_keeps_the_wanted_one_and_those_that_containers_are_of() {
    let mut desired = DesiredState {
        incarnation: 1,
        generation: 1,
        images: Vec::new(),
        containers: vec![container("train:v1")],
    };
    for revision in ["train:v1", "train:v2", "train:v3"] {
        want_image(&mut desired, &release(revision), &placement());
    }
    assert_eq!(releases(&desired), ["train:v1", "train:v3"]);
    desired.containers.clear();
    want_image(&mut desired, &release("train:v3"), &placement());
    assert_eq!(releases(&desired), ["train:v3"]);
}
