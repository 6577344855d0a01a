use tfleet_proto::model::desired::{GpuRequest, RestartPolicy};
use tfleet_proto::model::digest::Digest;

use super::*;

fn spec() -> ContainerSpec {
    ContainerSpec {
        name: "tf".to_owned(),
        artifact: Digest::of(b"index"),
        release: "train:v1".parse().unwrap(),
        variant: "tf2.15.1-cpu".parse().unwrap(),
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
    }
}

#[test]
fn a_start_of_what_shall_run_already_asks_the_host_to_look() {
    let mut desired = DesiredState::default();
    let names = ["tf".to_owned()];
    run_container(&mut desired, spec(), false).unwrap();
    change_containers(&mut desired, ContainerChange::Start, &names).unwrap();
    assert_eq!(desired.containers[0].start_serial, 1);
    change_containers(&mut desired, ContainerChange::Stop, &names).unwrap();
    change_containers(&mut desired, ContainerChange::Start, &names).unwrap();
    let container = &desired.containers[0];
    assert_eq!(
        (
            container.phase,
            container.start_serial,
            container.restart_serial
        ),
        (DesiredPhase::Running, 1, 0),
        "the change of phase is enough"
    );
}

#[test]
fn a_serial_is_higher_than_that_of_a_container_that_was_removed_and_than_those_of_a_lost_state() {
    let names = ["tf".to_owned()];
    let restarted = |incarnation, generation| {
        let mut desired = DesiredState {
            incarnation,
            generation,
            ..DesiredState::default()
        };
        run_container(&mut desired, spec(), false).unwrap();
        change_containers(&mut desired, ContainerChange::Restart, &names).unwrap();
        change_containers(&mut desired, ContainerChange::Start, &names).unwrap();
        let container = desired.containers.remove(0);
        assert_eq!(container.restart_serial, container.start_serial);
        container.start_serial
    };
    let (first, removed_since) = (restarted(1, 5), restarted(1, 7));
    assert!(removed_since > first);
    // An incarnation is the time in seconds at which the state was restored.
    assert!(restarted(1_800_000_000, 3) > removed_since);
}

#[test]
fn a_run_of_the_same_again_starts_what_shall_always_run_and_no_command_twice() {
    for (restart_policy, serial) in [
        (RestartPolicy::No, 0),
        (RestartPolicy::OnFailure { maximum_retries: 3 }, 0),
        (RestartPolicy::Always, 1),
        (RestartPolicy::UnlessStopped, 1),
    ] {
        let mut desired = DesiredState::default();
        let spec = ContainerSpec {
            restart_policy,
            ..spec()
        };
        run_container(&mut desired, spec.clone(), false).unwrap();
        run_container(&mut desired, spec, false).unwrap();
        assert_eq!(desired.containers[0].start_serial, serial);
        assert_eq!(desired.containers.len(), 1);
    }
}
