//! What each status means for what is waited for.

use tfleet_proto::model::desired::{
    ContainerSpec, DesiredContainer, DesiredPhase, DesiredState, GpuRequest, RestartPolicy,
};
use tfleet_proto::model::digest::Digest;
use tfleet_proto::model::status::HostStatus;

use super::*;

fn artifact() -> Digest {
    Digest::of(b"index")
}

fn image(phase: ImagePhase) -> ImageStatus {
    ImageStatus {
        artifact: artifact(),
        release: "train:v1".parse().expect("release"),
        variant: "tf2.15.1-cpu".parse().expect("variant"),
        phase,
        content_bytes: 1000,
        present_bytes: 100,
        fetched_bytes: 300,
        wire_bytes: 150,
        kept_bytes: 0,
        peer_bytes: 0,
        loaded_bytes: 200,
        started_at: None,
        finished_at: None,
        failure: None,
        tags: Vec::new(),
    }
}

fn container(phase: ContainerPhase) -> ContainerStatus {
    ContainerStatus {
        name: "tf".to_owned(),
        phase,
        container_id: None,
        release: None,
        variant: None,
        exit_code: None,
        started_at: None,
        finished_at: None,
        failure: None,
        gpu_mode: None,
        ports: Vec::new(),
        restart_serial: 0,
        command: Vec::new(),
    }
}

/// A host at generation 3 that shall run `tf`, restarted once.
fn host(images: Vec<ImageStatus>, containers: Vec<ContainerStatus>) -> Host {
    let spec = ContainerSpec {
        name: "tf".to_owned(),
        artifact: artifact(),
        release: "train:v1".parse().expect("release"),
        variant: "tf2.15.1-cpu".parse().expect("variant"),
        command: Vec::new(),
        environment: Default::default(),
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
    };
    Host {
        name: "t4".parse().expect("name"),
        connected: true,
        last_seen_at: None,
        enrolled_at: None,
        certificate_ends_at: None,
        agent_version: String::new(),
        address: String::new(),
        inventory: None,
        status: Some(HostStatus {
            incarnation: 1,
            generation: 3,
            observed_generation: 3,
            images,
            containers,
            fault: None,
        }),
        desired: Some(DesiredState {
            incarnation: 1,
            generation: 3,
            images: Vec::new(),
            containers: vec![DesiredContainer {
                spec,
                phase: DesiredPhase::Running,
                restart_serial: 1,
                start_serial: 0,
            }],
        }),
    }
}

fn runs(container: ContainerStatus) -> Verdict {
    container_runs(
        &host(vec![image(ImagePhase::Present)], vec![container]),
        "tf",
    )
}

#[test]
fn a_status_from_before_the_change_decides_nothing() {
    let done = |_: &Host| Verdict::Done(String::new());
    let mut host = host(Vec::new(), Vec::new());
    assert_eq!(weigh(&host, 3, done), Verdict::Done(String::new()));
    assert_eq!(weigh(&host, 4, done), Verdict::Working(step("asking", "")));
    if let Some(status) = &mut host.status {
        status.observed_generation = 2;
    }
    assert_eq!(
        weigh(&host, 3, done),
        Verdict::Working(step("accepted", ""))
    );
    host.status = None;
    assert!(matches!(weigh(&host, 3, done), Verdict::Working(_)));
}

#[test]
fn a_host_that_cannot_work_is_trying_again() {
    let fault = Failure::new("engine-down", "the engine does not answer");
    let mut host = host(Vec::new(), Vec::new());
    if let Some(status) = &mut host.status {
        status.fault = Some(fault.clone());
    }
    let working = |_: &Host| Verdict::Working(step("waiting", ""));
    assert_eq!(weigh(&host, 3, working), Verdict::Retrying(fault.clone()));
    // It was so before the engine went away.
    for before in [Verdict::Done("here".to_owned()), Verdict::Lasting(None)] {
        let verdict = weigh(&host, 3, |_| before.clone());
        assert_eq!(verdict, Verdict::Retrying(fault.clone()));
    }
}

#[test]
fn a_failed_container_is_failed_also_before_its_restart_was_counted() {
    let failure = Failure::new("policy-refused", "no");
    let failed = ContainerStatus {
        failure: Some(failure.clone()),
        ..container(ContainerPhase::Failed)
    };
    assert_eq!(runs(failed), Verdict::Failed(failure.clone()));
    let pending = ContainerStatus {
        failure: Some(failure.clone()),
        ..container(ContainerPhase::Pending)
    };
    assert_eq!(runs(pending), Verdict::Retrying(failure));
}

#[test]
fn a_running_container_counts_once_it_was_restarted() {
    assert_eq!(
        runs(container(ContainerPhase::Running)),
        Verdict::Working(step("restarting", ""))
    );
    let restarted = ContainerStatus {
        restart_serial: 1,
        ..container(ContainerPhase::Running)
    };
    assert_eq!(runs(restarted), Verdict::Done("running".to_owned()));
}

#[test]
fn a_command_that_runs_counts_once_that_has_lasted() {
    let started_at = Some(Timestamp::UNIX_EPOCH);
    let job = ContainerStatus {
        restart_serial: 1,
        started_at,
        command: vec!["python".to_owned()],
        ..container(ContainerPhase::Running)
    };
    assert_eq!(runs(job), Verdict::Lasting(started_at));
}

#[test]
fn a_container_that_its_policy_starts_again_and_again_has_failed() {
    let restarting = ContainerStatus {
        restart_serial: 1,
        exit_code: Some(1),
        ..container(ContainerPhase::Restarting)
    };
    let Verdict::Failed(failure) = runs(restarting) else {
        panic!("it does not run")
    };
    assert_eq!(
        failure.message,
        "tf ended with 1, and its restart policy starts it again"
    );
    assert!(failure.to_string().contains("tfleet logs tf"), "{failure}");
}

#[test]
fn a_container_that_ended_did_well_or_not_by_its_exit_status() {
    let ended = |exit_code| ContainerStatus {
        restart_serial: 1,
        exit_code,
        ..container(ContainerPhase::Exited)
    };
    assert!(matches!(runs(ended(Some(0))), Verdict::Done(_)));
    let Verdict::Failed(failure) = runs(ended(Some(137))) else {
        panic!("137 is a failure")
    };
    assert_eq!(failure.message, "tf ended with 137");
}

#[test]
fn while_the_image_arrives_its_bytes_are_what_there_is_to_see() {
    let arriving = host(vec![image(ImagePhase::Transferring)], Vec::new());
    let Verdict::Working(step) = container_runs(&arriving, "tf") else {
        panic!("still arriving")
    };
    assert_eq!(
        (step.phase, step.done_bytes, step.total_bytes),
        ("transferring", 300, 1000)
    );
}

#[test]
fn a_present_image_tells_what_was_there_and_what_was_sent() {
    let arrived = host(vec![image(ImagePhase::Present)], Vec::new());
    let release = "train:v1".parse().expect("release");
    let expected = Verdict::Delivered {
        image: "present: 1000 B".to_owned(),
        how: ", of which 100 B were there before; 150 B on the wire".to_owned(),
    };
    assert_eq!(image_is_present(&arrived, &release), expected);
    let shared = ImageStatus {
        kept_bytes: 0,
        peer_bytes: 90,
        ..image(ImagePhase::Present)
    };
    let Verdict::Delivered { how, .. } =
        image_is_present(&host(vec![shared], Vec::new()), &release)
    else {
        panic!("it is there")
    };
    assert!(
        how.ends_with("150 B on the wire (90 B from other hosts)"),
        "{how}"
    );
}

#[test]
fn stopped_and_gone_are_what_they_say() {
    let with = |phase| host(Vec::new(), vec![container(phase)]);
    assert!(matches!(
        container_is_stopped(&with(ContainerPhase::Running), "tf"),
        Verdict::Working(_)
    ));
    assert!(matches!(
        container_is_stopped(
            &host(
                Vec::new(),
                vec![ContainerStatus {
                    failure: Some(Failure::new("engine-slow", "busy")),
                    ..container(ContainerPhase::Running)
                }]
            ),
            "tf"
        ),
        Verdict::Retrying(_)
    ));
    assert!(matches!(
        container_is_stopped(&with(ContainerPhase::Restarting), "tf"),
        Verdict::Working(_)
    ));
    assert!(matches!(
        container_is_stopped(&with(ContainerPhase::Exited), "tf"),
        Verdict::Done(_)
    ));
    assert!(matches!(
        container_is_gone(&with(ContainerPhase::Exited), "tf"),
        Verdict::Working(_)
    ));
    assert!(matches!(
        container_is_gone(&host(Vec::new(), Vec::new()), "tf"),
        Verdict::Done(_)
    ));
}
