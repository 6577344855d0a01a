use jiff::Timestamp;
use tfleet_proto::model::desired::{ContainerSpec, DesiredPhase, GpuRequest, RestartPolicy};
use tfleet_proto::model::digest::Digest;
use tfleet_proto::model::inventory::GpuMode;
use tokio::time::Instant;

use super::*;
use crate::artifact::ImageProgress;
use crate::engine::ContainerState;
use crate::ledger::ImageDeed;
use crate::steps::{Deed, Found, Scene, SceneContainer, SceneImage};

fn artifact() -> Digest {
    Digest::of(b"artifact")
}

fn spec() -> ContainerSpec {
    ContainerSpec {
        name: "train".to_owned(),
        artifact: artifact(),
        release: "train:v7".parse().unwrap(),
        variant: "tf2.15.1-cpu".parse().unwrap(),
        command: vec!["python".to_owned()],
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

fn desired() -> DesiredState {
    let image = DesiredImage {
        artifact: artifact(),
        release: "train:v7".parse().unwrap(),
        variant: "tf2.15.1-cpu".parse().unwrap(),
        tags: vec!["tfleet/train:v7".to_owned()],
    };
    let container = DesiredContainer {
        spec: spec(),
        phase: DesiredPhase::Running,
        restart_serial: 0,
        start_serial: 0,
    };
    DesiredState {
        incarnation: 1,
        generation: 5,
        images: vec![image],
        containers: vec![container],
    }
}

/// A host with its ledger on a real disk.
struct Host {
    _disk: tempfile::TempDir,
    deeds: Deeds,
    holds: Holds,
    observation: Observation,
    delivery: Option<in_flight::Sight>,
}

impl Host {
    fn empty() -> Self {
        let disk = tempfile::tempdir().unwrap();
        let deeds = Deeds::open(disk.path(), None).unwrap();
        let observation = Observation {
            scene: Scene::default(),
            found: BTreeMap::new(),
        };
        Self {
            _disk: disk,
            deeds,
            holds: Holds::default(),
            observation,
            delivery: None,
        }
    }

    async fn with_image() -> Self {
        let mut host = Self::empty();
        let deed = ImageDeed {
            engine_id: "image".to_owned(),
            tags: Vec::new(),
            content_bytes: 100,
            present_bytes: 40,
            fetched_bytes: 60,
            wire_bytes: 20,
            kept_bytes: 0,
            peer_bytes: 5,
            started_at: None,
            finished_at: Timestamp::UNIX_EPOCH,
        };
        host.deeds.note_image(artifact(), deed).await.unwrap();
        let image = SceneImage {
            engine_id: "image".to_owned(),
            given: [].into(),
            present: Some([].into()),
        };
        host.observation.scene.images.insert(artifact(), image);
        host
    }

    async fn with_container(state: ContainerState, life: Life) -> Self {
        let mut host = Self::with_image().await;
        let digest = spec().digest();
        let deed = ContainerDeed {
            spec: digest,
            id: Some("c1".to_owned()),
            artifact: artifact(),
            stop_grace_seconds: 0,
            gpu_mode: Some(GpuMode::Runtime),
            binds: Vec::new(),
            started: true,
            starting: None,
            stopping: false,
            restart_serial: 3,
            start_serial: 0,
        };
        host.deeds.note_container("train", deed).await.unwrap();
        let deed = Deed {
            spec: digest,
            artifact: artifact(),
            id: Some("c1".to_owned()),
            started: true,
            starting: None,
            stopping: false,
            restart_serial: 3,
            start_serial: 0,
        };
        let found = Found {
            id: "c1".to_owned(),
            spec: Some(digest),
            life,
            started_at: None,
        };
        let container = SceneContainer {
            deed: Some(deed),
            found: Some(found),
        };
        host.observation
            .scene
            .containers
            .insert("train".to_owned(), container);
        let owned = OwnedContainer {
            id: "c1".to_owned(),
            name: "train".to_owned(),
            spec_digest: Some(digest),
            labels: [("io.tfleet.release".to_owned(), "train:v7".to_owned())].into(),
            state,
            exit_code: Some(3),
            started_at: Some(Timestamp::UNIX_EPOCH),
            finished_at: Some(Timestamp::UNIX_EPOCH),
            image_id: "image".to_owned(),
        };
        host.observation.found.insert("train".to_owned(), owned);
        host
    }

    fn fail(&mut self, subject: Subject, code: &str) {
        self.holds
            .note(subject, Failure::new(code, "because"), Instant::now());
    }

    fn report(mut self, desired: &DesiredState) -> HostStatus {
        let delivery = self.delivery.take();
        report(&Sight {
            desired,
            observation: &self.observation,
            deeds: &self.deeds,
            holds: &self.holds,
            blocked: &BTreeMap::new(),
            delivery,
        })
    }
}

fn train() -> Subject {
    Subject::Container("train".to_owned())
}

#[test]
fn an_empty_host_waits_for_its_image_and_the_container_for_that() {
    let status = Host::empty().report(&desired());
    assert_eq!(
        (
            status.incarnation,
            status.generation,
            status.observed_generation
        ),
        (1, 5, 5)
    );
    assert_eq!(status.images[0].phase, ImagePhase::Waiting);
    assert_eq!(status.containers[0].phase, ContainerPhase::Pending);
}

#[test]
fn an_image_on_its_way_shows_how_far_it_is() {
    let mut host = Host::empty();
    let progress = ImageProgress {
        content_bytes: 100,
        fetched_bytes: 30,
        ..ImageProgress::default()
    };
    host.delivery = Some(in_flight::Sight {
        artifact: artifact(),
        started_at: Timestamp::UNIX_EPOCH,
        progress,
    });
    let image = host.report(&desired()).images.remove(0);
    assert_eq!(
        (image.phase, image.content_bytes, image.fetched_bytes),
        (ImagePhase::Transferring, 100, 30)
    );
    assert!(image.started_at.is_some());
}

#[test]
fn a_delivery_that_failed_and_will_be_tried_again_waits_with_its_failure() {
    let mut host = Host::empty();
    host.fail(Subject::Image(artifact()), "disk-full");
    let image = host.report(&desired()).images.remove(0);
    assert_eq!(image.phase, ImagePhase::Waiting);
    assert_eq!(image.failure.unwrap().code, "disk-full");
}

#[tokio::test]
async fn a_finished_image_tells_what_it_took() {
    let image = Host::with_image().await.report(&desired()).images.remove(0);
    assert_eq!(image.phase, ImagePhase::Present);
    assert_eq!(
        (
            image.content_bytes,
            image.present_bytes,
            image.wire_bytes,
            image.peer_bytes,
            image.loaded_bytes
        ),
        (100, 40, 20, 5, 60)
    );
}

#[tokio::test]
async fn a_container_that_runs_is_told_as_running_also_with_a_failure() {
    let mut host = Host::with_container(ContainerState::Running, Life::Running).await;
    host.fail(train(), "engine-down");
    let container = host.report(&desired()).containers.remove(0);
    assert_eq!(container.phase, ContainerPhase::Running);
    assert!(container.failure.is_some());
    assert_eq!(
        container.exit_code, None,
        "the code of an earlier end is not this life's"
    );
    assert_eq!(
        (container.restart_serial, container.gpu_mode),
        (3, Some(GpuMode::Runtime))
    );
}

#[tokio::test]
async fn one_that_ended_tells_its_exit_code() {
    let host = Host::with_container(ContainerState::Exited, Life::Exited).await;
    let container = host.report(&desired()).containers.remove(0);
    assert_eq!(
        (container.phase, container.exit_code),
        (ContainerPhase::Exited, Some(3))
    );
}

#[tokio::test]
async fn how_one_ended_is_no_news_once_it_was_asked_to_start() {
    let host = Host::with_container(ContainerState::Exited, Life::Exited).await;
    let mut desired = desired();
    desired.containers[0].start_serial = 1;
    let container = host.report(&desired).containers.remove(0);
    assert_eq!(
        (container.phase, container.exit_code),
        (ContainerPhase::Created, None)
    );
}

#[tokio::test]
async fn one_that_the_engine_starts_again_and_again_is_not_told_as_running() {
    let host = Host::with_container(ContainerState::Restarting, Life::Running).await;
    let container = host.report(&desired()).containers.remove(0);
    assert_eq!(
        (container.phase, container.exit_code),
        (ContainerPhase::Restarting, Some(3))
    );
}

#[tokio::test]
async fn one_that_cannot_be_made_or_started_is_failed() {
    let mut missing = Host::with_image().await;
    missing.fail(train(), "policy-refused");
    let mut created = Host::with_container(ContainerState::Created, Life::Created).await;
    created.fail(train(), "port-taken");
    for host in [missing, created] {
        let container = host.report(&desired()).containers.remove(0);
        assert_eq!(container.phase, ContainerPhase::Failed);
        assert!(container.failure.is_some());
    }
}

#[tokio::test]
async fn one_that_shall_be_replaced_is_not_the_one_that_is_asked_for() {
    let host = Host::with_container(ContainerState::Running, Life::Running).await;
    let mut desired = desired();
    desired.containers[0].spec.tty = true;
    let container = host.report(&desired).containers.remove(0);
    assert_eq!(
        (container.phase, container.container_id),
        (ContainerPhase::Pending, None)
    );
}

#[tokio::test]
async fn one_that_shall_be_replaced_and_rest_is_told_as_running_until_it_is_stopped() {
    let mut desired = desired();
    desired.containers[0].spec.tty = true;
    desired.containers[0].phase = DesiredPhase::Stopped;
    let mut running = Host::with_container(ContainerState::Running, Life::Running).await;
    running.fail(train(), "engine-down");
    let container = running.report(&desired).containers.remove(0);
    assert_eq!(
        (container.phase, container.container_id.as_deref()),
        (ContainerPhase::Running, Some("c1"))
    );
    assert!(container.failure.is_some());
    let stopped = Host::with_container(ContainerState::Exited, Life::Exited).await;
    let container = stopped.report(&desired).containers.remove(0);
    assert_eq!(container.phase, ContainerPhase::Pending);
}

#[tokio::test]
async fn one_that_nobody_wants_is_told_until_it_is_gone() {
    let host = Host::with_container(ContainerState::Running, Life::Running).await;
    let status = host.report(&DesiredState {
        containers: Vec::new(),
        ..desired()
    });
    assert_eq!(status.containers.len(), 1);
    assert_eq!(
        status.containers[0].release,
        Some("train:v7".parse().unwrap())
    );
    assert!(
        Host::empty()
            .report(&DesiredState {
                containers: Vec::new(),
                ..desired()
            })
            .containers
            .is_empty()
    );
}
