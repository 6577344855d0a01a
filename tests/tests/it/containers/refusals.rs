//! What an engine refuses, and what is made of its words.

use futures::stream;
use tfleet_agent::engine::ExecCommand;
use tfleet_proto::model::desired::{
    BindMount, ContainerSpec, GpuRequest, PortBinding, PortProtocol,
};
use tfleet_proto::model::digest::Digest;
use tfleet_proto::model::inventory::GpuMode;
use tfleet_tests::lab::EngineKind;
use tokio::sync::mpsc;

use super::{labels, made, site, spec, words};

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
        ["18888"]
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
