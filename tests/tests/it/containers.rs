//! The agent's way with containers, on real engines.

mod refusals;
mod streams;

use std::collections::BTreeMap;
use std::time::Duration;

use tfleet_agent::engine::{ContainerState, Engine, ExecCommand};
use tfleet_proto::model::desired::{BindMount, ContainerSpec, GpuRequest, RestartPolicy};
use tfleet_proto::model::digest::Digest;
use tfleet_tests::lab::{EngineKind, run};

use crate::delivery::origin::Origin;
use crate::delivery::{Site, image};

use streams::exec;

const FLEET: &str = "lab";

fn spec(name: &str) -> ContainerSpec {
    ContainerSpec {
        name: name.to_owned(),
        artifact: Digest::of(b"artifact"),
        release: "train:v7".parse().unwrap(),
        variant: "tf2.15.1-cpu".parse().unwrap(),
        command: Vec::new(),
        environment: BTreeMap::new(),
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
        stop_grace_seconds: 3,
        trusts_intermediate_code: false,
    }
}

fn words(text: &str) -> Vec<String> {
    text.split(' ').map(str::to_owned).collect()
}

fn labels(spec: &ContainerSpec) -> BTreeMap<String, String> {
    BTreeMap::from([
        ("io.tfleet.fleet".to_owned(), FLEET.to_owned()),
        ("io.tfleet.spec".to_owned(), spec.digest().to_string()),
    ])
}

/// A host with an image, and that image's identifier.
async fn site(kind: EngineKind) -> (Site, String) {
    let site = Site::new(kind);
    let image = image("one");
    let origin = Origin::start(vec![image.clone()]).await;
    let (delivered, _) = site.deliver(&origin, &image, "tfleet/train:v7").await;
    (site, delivered.unwrap().image_id)
}

async fn made(engine: &Engine, spec: &ContainerSpec, image_id: &str) -> String {
    engine
        .create(spec, image_id, None, labels(spec))
        .await
        .unwrap()
}

async fn a_life(kind: EngineKind) {
    let (site, image_id) = site(kind).await;
    let engine = &site.engine;
    let mut spec = spec("train");
    // An engine of another Debian release sees of this machine only the lab's own folders.
    let folder = site.lab_engine().data_root().with_file_name("bound");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("data"), "bound").unwrap();
    spec.environment
        .insert("GREETING".to_owned(), "good day".to_owned());
    spec.shm_bytes = 128 << 20;
    spec.user = Some("1000:100".to_owned());
    spec.working_directory = Some("/data".to_owned());
    spec.restart_policy = RestartPolicy::OnFailure { maximum_retries: 3 };
    spec.binds = vec![BindMount {
        source: folder.display().to_string(),
        target: "/data".to_owned(),
        read_only: true,
    }];
    let id = made(engine, &spec, &image_id).await;
    let created = engine.inspect_created(&id).await.unwrap();
    assert_eq!(created.bind_sources, [folder]);
    assert!(
        !created.privileged
            && created.host_namespaces.is_empty()
            && created.capabilities.is_empty()
    );

    let state = async || {
        let found = engine.containers(FLEET).await.unwrap();
        assert_eq!(found.len(), 1);
        found.into_iter().next().unwrap()
    };
    let seen = state().await;
    assert_eq!(
        (seen.state, seen.started_at, seen.exit_code),
        (ContainerState::Created, None, None)
    );
    assert_eq!(
        (seen.name.as_str(), seen.spec_digest, &seen.id),
        ("train", Some(spec.digest()), &id)
    );
    assert_eq!(engine.containers("another").await.unwrap(), []);

    engine.start(&id).await.unwrap();
    engine.start(&id).await.unwrap();
    let first = state().await;
    assert_eq!(first.state, ContainerState::Running);
    let ask = |line: &str| ExecCommand {
        command: vec!["sh".to_owned(), "-c".to_owned(), line.to_owned()],
        ..ExecCommand::default()
    };
    // Relative to the working directory, which is the bound folder.
    let line = "cat data; echo \" $GREETING $NVIDIA_VISIBLE_DEVICES $(id -u):$(id -g)\"; echo wrong >&2; exit 7";
    let (code, out, err) = exec(engine, &id, ask(line), vec![]).await;
    assert_eq!(
        (code, out.as_str(), err.as_str()),
        (Some(7), "bound good day void 1000:100\n", "wrong\n")
    );
    let (_, out, _) = exec(engine, &id, ask("busybox df -k /dev/shm"), vec![]).await;
    assert!(out.contains(" 131072 "), "128 MiB in KiB: {out}");
    let mut inspect = site.lab_engine().docker();
    let policy = inspect.args([
        "inspect",
        "--format",
        "{{.HostConfig.RestartPolicy.Name}}:{{.HostConfig.RestartPolicy.MaximumRetryCount}}",
        "train",
    ]);
    assert_eq!(run(policy).unwrap().trim(), "on-failure:3");

    engine.restart(&id, 3).await.unwrap();
    let second = state().await;
    assert!(second.state == ContainerState::Running && second.started_at > first.started_at);
    let began = std::time::Instant::now();
    engine.stop(&id, 30).await.unwrap();
    assert!(
        began.elapsed() < Duration::from_secs(10),
        "the keep-alive command ends when it is asked to"
    );
    engine.stop(&id, 3).await.unwrap();
    let stopped = state().await;
    assert!(
        stopped.state == ContainerState::Exited
            && stopped.finished_at.is_some()
            && stopped.exit_code.is_some()
    );
    engine.remove(&id).await.unwrap();
    engine.remove(&id).await.unwrap();
    assert_eq!(engine.containers(FLEET).await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_lives_and_ends_on_engine_20_10() {
    a_life(EngineKind::System).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_lives_and_ends_on_engine_26_1_with_the_containerd_store() {
    a_life(EngineKind::TrixieContainerd).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_lives_and_ends_on_engine_28_5() {
    a_life(EngineKind::Forky).await;
}
