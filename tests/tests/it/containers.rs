//! The agent's way with containers, on real engines.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use futures::stream;
use tfleet_agent::engine::{
    ContainerState, Engine, ExecCommand, ExecInput, LogsRequest, Output, TerminalSize,
};
use tfleet_proto::model::desired::{
    BindMount, ContainerSpec, GpuRequest, PortBinding, PortProtocol, RestartPolicy,
};
use tfleet_proto::model::digest::Digest;
use tfleet_proto::model::inventory::GpuMode;
use tfleet_tests::lab::EngineKind;
use tokio::sync::mpsc;

use crate::delivery::origin::Origin;
use crate::delivery::{Site, image};

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

/// The exit code and everything that was written.
async fn exec(
    engine: &Engine,
    id: &str,
    command: ExecCommand,
    input: Vec<ExecInput>,
) -> (Option<i32>, String, String) {
    use futures::StreamExt as _;
    let (sender, mut receiver) = mpsc::channel(4);
    let input = stream::iter(input).chain(stream::pending());
    let (code, written) = tokio::join!(engine.exec(id, &command, input, sender), async {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        while let Some(piece) = receiver.recv().await {
            match piece {
                Output::Stdout(bytes) => out.extend_from_slice(&bytes),
                Output::Stderr(bytes) => err.extend_from_slice(&bytes),
            }
        }
        (
            String::from_utf8(out).unwrap(),
            String::from_utf8(err).unwrap(),
        )
    });
    (code.unwrap(), written.0, written.1)
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
    let line =
        "cat /data/data; echo \" $GREETING $NVIDIA_VISIBLE_DEVICES\"; echo wrong >&2; exit 7";
    let (code, out, err) = exec(engine, &id, ask(line), vec![]).await;
    assert_eq!(
        (code, out.as_str(), err.as_str()),
        (Some(7), "bound good day void\n", "wrong\n")
    );

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

async fn refusals(kind: EngineKind) {
    let (site, image_id) = site(kind).await;
    let engine = &site.engine;
    let refused = async |spec: &ContainerSpec, image: &str, mode: Option<GpuMode>| {
        engine
            .create(spec, image, mode, labels(spec))
            .await
            .unwrap_err()
            .failure()
    };
    let id = made(engine, &spec("train"), &image_id).await;
    assert_eq!(
        refused(&spec("train"), &image_id, None).await.code,
        "name-taken"
    );
    let nowhere = format!("sha256:{}", Digest::of(b"nowhere").hex());
    assert_eq!(
        refused(&spec("other"), &nowhere, None).await.code,
        "image-missing"
    );
    let mut bound = spec("bound");
    bound.binds = vec![BindMount {
        source: "/var/tmp/nowhere".to_owned(),
        target: "/data".to_owned(),
        read_only: false,
    }];
    assert_eq!(refused(&bound, &image_id, None).await.code, "bind-missing");
    assert!(
        !std::path::Path::new("/var/tmp/nowhere").exists(),
        "a missing source is not made"
    );
    let mut gpu = spec("gpu");
    gpu.gpus = GpuRequest::All;
    let failure = refused(&gpu, &image_id, Some(GpuMode::Runtime)).await;
    assert_eq!(failure.code, "runtime-missing", "{failure}");
    assert!(failure.remedy.unwrap().contains("nvidia-ctk"));

    let port = |name: &str| {
        let mut spec = spec(name);
        spec.ports = vec![PortBinding {
            host_address: None,
            host_port: 18888.try_into().unwrap(),
            container_port: 8888.try_into().unwrap(),
            protocol: PortProtocol::Tcp,
        }];
        spec
    };
    let (first, second) = (
        made(engine, &port("first"), &image_id).await,
        made(engine, &port("second"), &image_id).await,
    );
    engine.start(&first).await.unwrap();
    let failure = engine.start(&second).await.unwrap_err().failure();
    assert_eq!(failure.code, "port-taken", "{failure}");
    assert_eq!(
        engine.inspect_created(&first).await.unwrap().host_ports,
        [18888]
    );

    let mut wrong = spec("wrong");
    wrong.command = words("no-such-command");
    let wrong = made(engine, &wrong, &image_id).await;
    let failure = engine.start(&wrong).await;
    // Under an init process the command is looked for by that, and its end tells.
    if let Err(error) = failure {
        assert_eq!(
            error.failure().code,
            "command-missing",
            "{}",
            error.failure()
        );
    }
    let not_running = engine
        .exec(
            &id,
            &ExecCommand {
                command: words("true"),
                ..ExecCommand::default()
            },
            stream::empty(),
            mpsc::channel(1).0,
        )
        .await;
    assert_eq!(not_running.unwrap_err().failure().code, "not-running");
    assert_eq!(
        engine.start("nobody").await.unwrap_err().failure().code,
        "container-missing"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_are_known_on_engine_20_10() {
    refusals(EngineKind::System).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_are_known_on_engine_26_1_with_the_containerd_store() {
    refusals(EngineKind::TrixieContainerd).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_are_known_on_engine_28_5() {
    refusals(EngineKind::Forky).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_gets_its_input_and_its_terminal() {
    let (site, image_id) = site(EngineKind::System).await;
    let engine = &site.engine;
    let id = made(engine, &spec("train"), &image_id).await;
    engine.start(&id).await.unwrap();

    let input = vec![
        ExecInput::Stdin(Bytes::from_static(b"one ")),
        ExecInput::Stdin(Bytes::from_static(b"two")),
        ExecInput::StdinEnd,
    ];
    let cat = ExecCommand {
        command: words("cat"),
        stdin: true,
        ..ExecCommand::default()
    };
    assert_eq!(
        exec(engine, &id, cat, input).await,
        (Some(0), "one two".to_owned(), String::new())
    );

    let shell = ExecCommand {
        command: words("sh"),
        tty: true,
        stdin: true,
        terminal: Some(TerminalSize {
            columns: 101,
            rows: 33,
        }),
        ..ExecCommand::default()
    };
    let input = vec![
        ExecInput::Stdin(Bytes::from_static(b"sleep 0.5; stty size\n")),
        ExecInput::Resize(TerminalSize {
            columns: 99,
            rows: 22,
        }),
        ExecInput::Stdin(Bytes::from_static(b"exit 3\n")),
    ];
    let (code, out, _) = exec(engine, &id, shell, input).await;
    assert_eq!(code, Some(3), "{out}");
    assert!(out.contains("22 99"), "{out}");

    let missing = ExecCommand {
        command: words("no-such-command"),
        ..ExecCommand::default()
    };
    let (sender, _receiver) = mpsc::channel(4);
    match engine.exec(&id, &missing, stream::empty(), sender).await {
        Ok(code) => assert!(matches!(code, Some(126 | 127)), "{code:?}"),
        Err(error) => assert_eq!(error.failure().code, "command-missing"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_is_followed_with_the_speed_of_who_reads_it_and_left_when_nobody_does() {
    let (site, image_id) = site(EngineKind::System).await;
    let engine = &site.engine;
    let mut talker = spec("talker");
    talker.command = [
        "sh",
        "-c",
        "echo two >&2; sleep 1; echo one; echo three; sleep 600",
    ]
    .map(str::to_owned)
    .to_vec();
    let id = made(engine, &talker, &image_id).await;
    engine.start(&id).await.unwrap();

    let follow = LogsRequest {
        follow: true,
        tail_lines: None,
        timestamps: false,
    };
    let (sender, mut receiver) = mpsc::channel(1);
    let read = async move {
        let mut lines = Vec::new();
        for _ in 0..3 {
            lines.push(receiver.recv().await.unwrap());
        }
        lines.sort_by_key(|line| format!("{line:?}"));
        lines
    };
    let both = async { tokio::join!(engine.logs(&id, follow, sender), read) };
    let (ended, lines) = tokio::time::timeout(Duration::from_secs(20), both)
        .await
        .expect("the log is left");
    ended.unwrap();
    let line = |text: &'static str| Bytes::from_static(text.as_bytes());
    assert_eq!(
        lines,
        [
            Output::Stderr(line("two\n")),
            Output::Stdout(line("one\n")),
            Output::Stdout(line("three\n"))
        ]
    );

    let last = LogsRequest {
        follow: false,
        tail_lines: Some(1),
        timestamps: true,
    };
    let (sender, mut receiver) = mpsc::channel(4);
    engine.logs(&id, last, sender).await.unwrap();
    let Some(Output::Stdout(text)) = receiver.recv().await else {
        panic!("no line")
    };
    let text = String::from_utf8(text.to_vec()).unwrap();
    assert!(
        text.starts_with("20") && text.ends_with(" three\n"),
        "{text}"
    );
    assert_eq!(receiver.recv().await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn events_wake_also_after_the_engine_was_restarted() {
    use futures::StreamExt as _;
    let (site, image_id) = site(EngineKind::System).await;
    let events = site.engine.events();
    tokio::pin!(events);
    let next = tokio::time::timeout(Duration::from_secs(20), events.next());
    let act = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        made(&site.engine, &spec("train"), &image_id).await
    };
    let (woken, id) = tokio::join!(next, act);
    assert_eq!(woken, Ok(Some(())));
    site.lab_engine().kill_dockerd().unwrap();
    site.lab_engine().start().unwrap();
    assert_eq!(
        tokio::time::timeout(Duration::from_secs(20), events.next()).await,
        Ok(Some(())),
        "the loss itself"
    );
    let next = tokio::time::timeout(Duration::from_secs(20), events.next());
    let act = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        site.engine.start(&id).await
    };
    let (woken, started) = tokio::join!(next, act);
    started.unwrap();
    assert_eq!(woken, Ok(Some(())));
}
