//! The loop on an engine that answers as it is told to.

use std::path::Path;

use tfleet_proto::model::desired::{
    BindMount, ContainerSpec, DesiredContainer, DesiredImage, DesiredPhase, GpuRequest, RestartPolicy,
};
use tfleet_proto::model::digest::Digest;
use tfleet_proto::model::inventory::{self, Machine};
use tfleet_proto::model::status::ImagePhase;
use tfleet_proto::wire;
use tfleet_proto::wire::artifacts_server::{Artifacts, ArtifactsServer};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::{Endpoint, Server};

use super::*;
use crate::engine::stub::{Reply, StubEngine};
use crate::ledger::{ContainerDeed, ImageDeed};

struct Host {
    stub: StubEngine,
    desired: watch::Sender<Option<Arc<DesiredState>>>,
    inventory: watch::Sender<Option<Arc<Inventory>>>,
    channel: watch::Sender<Option<Channel>>,
    status: watch::Receiver<Arc<HostStatus>>,
    reconciler: Reconciler,
    engine_answers: bool,
    _disk: tempfile::TempDir,
}

impl Host {
    fn new() -> Self {
        Self::with_policy("")
    }

    fn with_policy(policy: &str) -> Self {
        let disk = tempfile::tempdir().unwrap();
        let stub = StubEngine::start();
        let (desired, desired_end) = watch::channel(None);
        let (inventory, inventory_end) = watch::channel(None);
        let (channel, channel_end) = watch::channel(None);
        let (status_end, status) = watch::channel(Arc::default());
        let means = Means {
            engine: stub.engine(),
            delivery: Delivery::new(stub.engine(), &disk.path().join("delivery")),
            policy: Arc::new(Policy::parse(policy, Path::new("policy.toml")).unwrap()),
            fleet: "fleet".to_owned(),
            deeds: Deeds::open(&disk.path().join("ledger")).unwrap(),
        };
        let ends = Ends {
            desired: desired_end,
            inventory: inventory_end,
            channel: channel_end,
            status: status_end,
        };
        Self {
            stub,
            desired,
            inventory,
            channel,
            status,
            reconciler: Reconciler::new(means, ends),
            engine_answers: true,
            _disk: disk,
        }
    }

    fn want(&self, state: DesiredState) {
        self.desired.send_replace(Some(Arc::new(state)));
    }

    /// The image is here.
    async fn have_image(&mut self) {
        let listed = r#"[{"Id":"sha256:1","RepoTags":["tfleet/train:v7"],"Size":1,"ParentId":"","RepoDigests":[],
            "Created":0,"SharedSize":0,"Labels":{},"Containers":0}]"#;
        let inspected = r#"{"Id":"sha256:1","RootFS":{"Type":"layers","Layers":[]}}"#;
        let stub = &self.stub;
        stub.on("GET /images/json", Reply::Json(200, listed.to_owned()));
        stub.on(
            "GET /images/sha256:1/json",
            Reply::Json(200, inspected.to_owned()),
        );
        let deeds = &mut self.reconciler.deeds;
        let noted = deeds.note_image(image().artifact, image_deed("sha256:1"));
        noted.await.unwrap();
    }

    /// A container of ours, made of this specification and started once.
    async fn have_container(&mut self, spec: &ContainerSpec, status: &str) {
        self.show_container(spec, status);
        let deed = ContainerDeed {
            spec: spec.digest(),
            id: Some("c1".to_owned()),
            artifact: spec.artifact,
            stop_grace_seconds: 0,
            gpu_mode: None,
            binds: Vec::new(),
            started: true,
            starting: None,
            stopping: false,
            restart_serial: 0,
            start_serial: 0,
        };
        let deeds = &mut self.reconciler.deeds;
        deeds.note_container(&spec.name, deed).await.unwrap();
    }

    fn show_container(&self, spec: &ContainerSpec, status: &str) {
        let inspected = inspected(spec, status, "2026-01-01T00:00:00Z");
        let stub = &self.stub;
        let listed = r#"[{"Id":"c1"}]"#.to_owned();
        stub.on("GET /containers/json", Reply::Json(200, listed));
        stub.on("GET /containers/c1/json", Reply::Json(200, inspected));
    }

    /// Rounds until there is nothing to do before the time that is given.
    async fn settle(&mut self) -> Instant {
        loop {
            if let Round::Rest { until } = self.reconciler.round(&mut self.engine_answers).await {
                return until;
            }
        }
    }
}

fn inspected(spec: &ContainerSpec, status: &str, started_at: &str) -> String {
    format!(
        r#"{{"Id":"c1","Name":"/{}","Image":"sha256:1","HostConfig":{{}},
            "Config":{{"Labels":{{"io.tfleet.fleet":"fleet","io.tfleet.spec":"{}"}}}},
            "State":{{"Status":"{status}","ExitCode":0,"StartedAt":"{started_at}"}}}}"#,
        spec.name,
        spec.digest()
    )
}

fn image() -> DesiredImage {
    DesiredImage {
        artifact: Digest::of(b"artifact"),
        release: "train:v7".parse().unwrap(),
        variant: "tf2.15.1-cpu".parse().unwrap(),
        tags: vec!["tfleet/train:v7".to_owned()],
    }
}

fn state(generation: u64, images: &[DesiredImage]) -> DesiredState {
    DesiredState {
        incarnation: 1,
        generation,
        images: images.to_vec(),
        containers: Vec::new(),
    }
}

fn spec() -> ContainerSpec {
    ContainerSpec {
        name: "train".to_owned(),
        artifact: image().artifact,
        release: "train:v7".parse().unwrap(),
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
    }
}

fn one_container(generation: u64, spec: ContainerSpec, phase: DesiredPhase) -> DesiredState {
    DesiredState {
        containers: vec![DesiredContainer {
            spec,
            phase,
            restart_serial: 0,
            start_serial: 0,
        }],
        ..state(generation, &[image()])
    }
}

fn inventory_without_gpus() -> Inventory {
    Inventory {
        observed_at: jiff::Timestamp::UNIX_EPOCH,
        machine: Machine {
            architecture: "x86_64".to_owned(),
            distribution: None,
            kernel_release: None,
            cpu_model: None,
            cpu_count: 1,
            cpu_flags: vec!["avx".to_owned()],
            memory_bytes: 0,
        },
        driver: None,
        gpus: Vec::new(),
        engine: inventory::Engine {
            endpoint: "unix:///run/docker.sock".to_owned(),
            version: None,
            api_version: None,
            storage_driver: None,
            image_store: None,
            runtimes: Vec::new(),
            data_root: None,
            data_root_free_bytes: 0,
            fault: None,
        },
        gpu_modes: Vec::new(),
        images: Vec::new(),
        labels: [].into(),
        warnings: Vec::new(),
        sources: Vec::new(),
    }
}

fn image_deed(engine_id: &str) -> ImageDeed {
    ImageDeed {
        engine_id: engine_id.to_owned(),
        tags: Vec::new(),
        content_bytes: 0,
        present_bytes: 0,
        fetched_bytes: 0,
        wire_bytes: 0,
        finished_at: jiff::Timestamp::UNIX_EPOCH,
    }
}

/// A coordinator that has no image.
struct Empty;

#[tonic::async_trait]
impl Artifacts for Empty {
    async fn get_index(
        &self,
        _: tonic::Request<wire::GetIndexRequest>,
    ) -> Result<tonic::Response<wire::GetIndexResponse>, tonic::Status> {
        Err(tonic::Status::not_found("there is no such artifact"))
    }

    type FetchChunksStream = tokio_stream::Empty<Result<wire::Chunk, tonic::Status>>;

    async fn fetch_chunks(
        &self,
        _: tonic::Request<wire::FetchChunksRequest>,
    ) -> Result<tonic::Response<Self::FetchChunksStream>, tonic::Status> {
        Err(tonic::Status::not_found("there is no such artifact"))
    }
}

async fn session_without_images() -> Channel {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let incoming = TcpListenerStream::new(listener);
    tokio::spawn(
        Server::builder()
            .add_service(ArtifactsServer::new(Empty))
            .serve_with_incoming(incoming),
    );
    let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
    endpoint.connect_lazy()
}

#[tokio::test]
async fn deliveries_that_fail_one_after_the_other_are_tried_less_and_less_often() {
    let mut host = Host::new();
    host.channel
        .send_replace(Some(session_without_images().await));
    host.want(state(1, &[image()]));
    let mut pauses = Vec::new();
    for _ in 0..2 {
        host.settle().await;
        assert!(host.reconciler.in_flight.artifact().is_some());
        host.reconciler.in_flight.finished().await;
        let release = host.settle().await;
        pauses.push(release - Instant::now());
        let status = host.status.borrow().images[0].clone();
        assert!(status.failure.is_some(), "{status:?}");
        sleep_until(release).await;
    }
    // 1 s and 2 s, give or take a fifth.
    assert!(pauses[1] > Duration::from_millis(1500), "{pauses:?}");
}

#[tokio::test]
async fn what_was_held_back_gets_a_new_chance_also_when_the_newer_state_wakes_nobody() {
    let mut host = Host::new();
    host.want(state(1, &[image()]));
    host.settle().await;
    let subject = Subject::Image(image().artifact);
    let refusal = Failure::new("policy-refused", "no");
    host.reconciler.hold_back(subject.clone(), refusal);
    host.settle().await;
    assert!(host.reconciler.holds.is_held(&subject, Instant::now()));
    // Accepted while a step is carried out: the next round takes it before anybody waits for the change.
    host.want(state(2, &[]));
    host.settle().await;
    assert!(!host.reconciler.holds.is_held(&subject, Instant::now()));
}

#[tokio::test]
async fn an_image_of_a_release_that_the_policy_refuses_is_neither_fetched_nor_tagged() {
    let mut host = Host::with_policy("releases = []");
    host.channel
        .send_replace(Some(session_without_images().await));
    host.want(state(1, &[image()]));
    host.settle().await;
    assert_eq!(host.reconciler.in_flight.artifact(), None);
    let status = host.status.borrow().images[0].clone();
    assert_eq!(status.phase, ImagePhase::Failed);
    let failure = status.failure.unwrap();
    assert_eq!(
        (failure.code.as_str(), failure.rule.as_deref()),
        ("policy-refused", Some("releases"))
    );

    // One that came before the policy said so.
    host.have_image().await;
    let mut retagged = image();
    retagged.tags.push("tfleet/train:newest".to_owned());
    host.want(state(2, &[retagged]));
    host.settle().await;
    let status = host.status.borrow().images[0].clone();
    assert_eq!(status.failure.unwrap().code, "policy-refused");
    assert_eq!(host.stub.asked("POST /images/"), [""; 0]);
}

#[tokio::test]
async fn a_container_is_stopped_also_when_what_shall_take_its_place_is_refused() {
    let mut host = Host::new();
    host.have_image().await;
    host.have_container(&spec(), "running").await;
    host.stub
        .on("POST /containers/c1/stop", Reply::Json(204, String::new()));
    let refused = ContainerSpec {
        privileged: true,
        ..spec()
    };
    host.want(one_container(1, refused, DesiredPhase::Stopped));
    let mut answers = true;
    let round = host.reconciler.round(&mut answers).await;
    assert!(matches!(round, Round::Again), "something was done");
    assert_eq!(host.stub.asked("POST /containers/c1/stop").len(), 1);
    host.show_container(&spec(), "exited");
    host.settle().await;
    assert_eq!(
        host.stub.asked("DELETE /containers/c1"),
        [""; 0],
        "what cannot be replaced is not taken away"
    );
}

#[tokio::test]
async fn a_start_whose_answer_is_lost_is_not_asked_again_once_it_has_happened() {
    let mut host = Host::new();
    host.have_image().await;
    host.have_container(&spec(), "exited").await;
    let deeds = &mut host.reconciler.deeds;
    let stopped = deeds.amend_container("train", |deed| deed.started = false);
    stopped.await.unwrap();
    host.stub.on("POST /containers/c1/start", Reply::Cut);
    host.want(one_container(1, spec(), DesiredPhase::Running));
    host.settle().await;
    let deed = &host.reconciler.deeds.containers()["train"];
    assert!(deed.starting.is_some(), "it may have happened");

    // It ran, and was over before anybody looked.
    host.stub.on(
        "GET /containers/c1/json",
        Reply::Json(200, inspected(&spec(), "exited", "2026-01-01T00:00:07Z")),
    );
    host.reconciler.holds.clear();
    host.settle().await;
    assert!(host.reconciler.deeds.containers()["train"].started);
    assert_eq!(host.stub.asked("POST /containers/c1/start").len(), 1);

    // A refusal is an answer.
    let no = Reply::Json(500, r#"{"message":"port is already allocated"}"#.to_owned());
    host.stub.on("POST /containers/c1/start", no);
    let deeds = &mut host.reconciler.deeds;
    let stopped = deeds.amend_container("train", |deed| deed.started = false);
    stopped.await.unwrap();
    host.settle().await;
    assert_eq!(host.reconciler.deeds.containers()["train"].starting, None);
    assert_eq!(host.stub.asked("POST /containers/c1/start").len(), 2);
}

#[tokio::test]
async fn that_a_stop_is_under_way_is_remembered_until_its_end() {
    let mut host = Host::new();
    host.have_image().await;
    host.have_container(&spec(), "running").await;
    host.stub.on("POST /containers/c1/stop", Reply::Cut);
    host.want(one_container(1, spec(), DesiredPhase::Stopped));
    host.settle().await;
    assert!(host.reconciler.deeds.containers()["train"].stopping);
    host.show_container(&spec(), "exited");
    host.stub
        .on("POST /containers/c1/start", Reply::Json(204, String::new()));
    host.want(one_container(2, spec(), DesiredPhase::Running));
    for _ in 0..2 {
        host.reconciler.round(&mut host.engine_answers).await;
    }
    assert_eq!(host.stub.asked("POST /containers/c1/start").len(), 1);
}

#[tokio::test]
async fn what_the_policy_came_to_refuse_is_not_started_again() {
    let gpus = ContainerSpec {
        gpus: GpuRequest::All,
        ..spec()
    };
    for (policy, rule) in [("gpus = false", "gpus"), ("releases = []", "releases")] {
        let mut host = Host::with_policy(policy);
        host.have_image().await;
        host.have_container(&gpus, "exited").await;
        let mut wanted = one_container(1, gpus.clone(), DesiredPhase::Running);
        for (generation, restart_serial, start_serial) in [(1, 1, 0), (2, 0, 1)] {
            wanted.generation = generation;
            wanted.containers[0].restart_serial = restart_serial;
            wanted.containers[0].start_serial = start_serial;
            host.want(wanted.clone());
            host.settle().await;
            let status = host.status.borrow().containers[0].clone();
            let failure = status.failure.unwrap();
            assert_eq!(
                (failure.code.as_str(), failure.rule.as_deref()),
                ("policy-refused", Some(rule))
            );
            assert_eq!(host.stub.asked("POST /containers"), [""; 0]);
        }
    }
}

#[tokio::test]
async fn a_bind_below_what_another_container_may_write_waits_until_that_one_is_gone() {
    let shared = tempfile::tempdir().unwrap();
    std::fs::create_dir(shared.path().join("set")).unwrap();
    let root = shared.path().canonicalize().unwrap();
    let bind = |path: std::path::PathBuf, read_only| BindMount {
        source: path.to_str().unwrap().to_owned(),
        target: "/data".to_owned(),
        read_only,
    };
    let mut host = Host::with_policy(&format!("bind_prefixes = [{root:?}]"));
    // Containers are admitted for what the host has.
    host.inventory
        .send_replace(Some(Arc::new(inventory_without_gpus())));
    host.have_image().await;
    host.have_container(&spec(), "exited").await;
    let writes = vec![bind(root.clone(), false)];
    let deeds = &mut host.reconciler.deeds;
    let noted = deeds.amend_container("train", |deed| deed.binds = writes);
    noted.await.unwrap();
    let reader = ContainerSpec {
        name: "read".to_owned(),
        binds: vec![bind(root.join("set"), true)],
        ..spec()
    };
    let created = Reply::Json(201, r#"{"Id":"c2","Warnings":[]}"#.to_owned());
    host.stub.on("POST /containers/create", created);
    let mut wanted = one_container(1, spec(), DesiredPhase::Running);
    wanted.containers.push(DesiredContainer {
        spec: reader.clone(),
        phase: DesiredPhase::Running,
        restart_serial: 0,
        start_serial: 0,
    });
    host.want(wanted);
    host.settle().await;
    let status = host.status.borrow().containers[1].clone();
    assert_eq!(status.failure.unwrap().code, "bind-nested");
    assert_eq!(host.stub.asked("POST /containers/create"), [""; 0]);

    // It goes, and what it could have done with it.
    host.stub
        .on("DELETE /containers/c1", Reply::Json(204, String::new()));
    host.want(one_container(2, reader, DesiredPhase::Running));
    host.reconciler.round(&mut host.engine_answers).await;
    assert_eq!(host.stub.asked("DELETE /containers/c1").len(), 1);
    host.stub
        .on("GET /containers/json", Reply::Json(200, "[]".to_owned()));
    host.reconciler.round(&mut host.engine_answers).await;
    assert_eq!(host.stub.asked("POST /containers/create").len(), 1);
    let deed = &host.reconciler.deeds.containers()["read"];
    assert_eq!(deed.binds[0].source, root.join("set").to_str().unwrap());
}

#[tokio::test]
async fn a_swarm_of_events_is_one_reason_to_look() {
    let (sender, events) = tokio::sync::mpsc::unbounded_channel();
    let mut events = tokio_stream::wrappers::UnboundedReceiverStream::new(events);
    for _ in 0..100 {
        sender.send(()).unwrap();
    }
    drain(&mut events);
    assert_eq!(events.next().now_or_never(), None, "none waits any more");
    sender.send(()).unwrap();
    assert_eq!(events.next().now_or_never(), Some(Some(())));
}
