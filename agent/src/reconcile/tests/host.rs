//! A host whose engine answers as it is told to, with its ledger on a real disk.

use std::path::Path;

pub(super) use tfleet_proto::model::desired::{
    BindMount, ContainerSpec, DesiredContainer, DesiredImage, DesiredPhase, GpuRequest,
    RestartPolicy,
};
pub(super) use tfleet_proto::model::digest::Digest;
use tfleet_proto::model::inventory::{self, Machine};

pub(super) use super::super::*;
pub(super) use crate::engine::stub::{Reply, StubEngine};
use crate::ledger::{ContainerDeed, ImageDeed};

pub(super) struct Host {
    pub(super) stub: StubEngine,
    pub(super) desired: watch::Sender<Option<Arc<DesiredState>>>,
    pub(super) inventory: watch::Sender<Option<Arc<Inventory>>>,
    pub(super) channel: watch::Sender<Option<Channel>>,
    pub(super) status: watch::Receiver<Arc<HostStatus>>,
    pub(super) reconciler: Reconciler,
    pub(super) engine_answers: bool,
    _disk: tempfile::TempDir,
}

impl Host {
    pub(super) fn new() -> Self {
        Self::with_policy("")
    }

    pub(super) fn with_policy(policy: &str) -> Self {
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
            deeds: Deeds::open(&disk.path().join("ledger"), None).unwrap(),
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

    pub(super) fn want(&self, state: DesiredState) {
        self.desired.send_replace(Some(Arc::new(state)));
    }

    /// The image is here.
    pub(super) async fn have_image(&mut self) {
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
    pub(super) async fn have_container(&mut self, spec: &ContainerSpec, status: &str) {
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

    pub(super) fn show_container(&self, spec: &ContainerSpec, status: &str) {
        let inspected = inspected(spec, status, "2026-01-01T00:00:00Z");
        let stub = &self.stub;
        let listed = r#"[{"Id":"c1"}]"#.to_owned();
        stub.on("GET /containers/json", Reply::Json(200, listed));
        stub.on("GET /containers/c1/json", Reply::Json(200, inspected));
    }

    /// Rounds until there is nothing to do before the time that is given.
    pub(super) async fn settle(&mut self) -> Instant {
        loop {
            if let Round::Rest { until } = self.reconciler.round(&mut self.engine_answers).await {
                return until;
            }
        }
    }
}

pub(super) fn inspected(spec: &ContainerSpec, status: &str, started_at: &str) -> String {
    format!(
        r#"{{"Id":"c1","Name":"/{}","Image":"sha256:1","HostConfig":{{}},
            "Config":{{"Labels":{{"io.tfleet.fleet":"fleet","io.tfleet.spec":"{}"}}}},
            "State":{{"Status":"{status}","ExitCode":0,"StartedAt":"{started_at}"}}}}"#,
        spec.name,
        spec.digest()
    )
}

pub(super) fn image() -> DesiredImage {
    DesiredImage {
        artifact: Digest::of(b"artifact"),
        release: "train:v7".parse().unwrap(),
        variant: "tf2.15.1-cpu".parse().unwrap(),
        tags: vec!["tfleet/train:v7".to_owned()],
    }
}

pub(super) fn state(generation: u64, images: &[DesiredImage]) -> DesiredState {
    DesiredState {
        incarnation: 1,
        generation,
        images: images.to_vec(),
        containers: Vec::new(),
    }
}

pub(super) fn spec() -> ContainerSpec {
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
        trusts_intermediate_code: false,
    }
}

pub(super) fn one_container(
    generation: u64,
    spec: ContainerSpec,
    phase: DesiredPhase,
) -> DesiredState {
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

pub(super) fn inventory_without_gpus() -> Inventory {
    Inventory {
        observed_at: jiff::Timestamp::UNIX_EPOCH,
        machine: Machine {
            architecture: "x86_64".to_owned(),
            distribution: None,
            kernel_release: None,
            cpu_model: None,
            cpu_count: 1,
            cpu_flags: vec!["avx".to_owned()],
            memory_bytes: None,
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
            data_root_free_bytes: None,
            fault: None,
        },
        gpu_modes: Vec::new(),
        runtime_mode: None,
        images: Vec::new(),
        labels: [].into(),
        warnings: Vec::new(),
        sources: Vec::new(),
    }
}

pub(super) fn image_deed(engine_id: &str) -> ImageDeed {
    ImageDeed {
        engine_id: engine_id.to_owned(),
        tags: Vec::new(),
        content_bytes: 0,
        present_bytes: 0,
        fetched_bytes: 0,
        wire_bytes: 0,
        kept_bytes: 0,
        peer_bytes: 0,
        started_at: None,
        finished_at: jiff::Timestamp::UNIX_EPOCH,
    }
}
