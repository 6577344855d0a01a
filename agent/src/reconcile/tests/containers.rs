//! What the loop does with containers.

use super::host::*;
use crate::engine::Patience;

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
async fn an_engine_that_never_answers_is_told_and_given_up() {
    let mut host = Host::new();
    let short = Duration::from_millis(300);
    host.reconciler.engine = host.stub.engine().with_patience(Patience {
        container_step: short,
        ..Patience::default()
    });
    host.have_image().await;
    host.have_container(&spec(), "exited").await;
    let deeds = &mut host.reconciler.deeds;
    let stopped = deeds.amend_container("train", |deed| deed.started = false);
    stopped.await.unwrap();
    host.want(one_container(1, spec(), DesiredPhase::Stopped));
    host.settle().await;
    host.stub.on("POST /containers/c1/start", Reply::Never);
    host.reconciler.slow = Duration::from_millis(50);
    host.want(one_container(2, spec(), DesiredPhase::Running));
    let mut status = host.status.clone();
    let told = async {
        let told = status.wait_for(|status| status.fault.is_some()).await;
        told.unwrap().clone()
    };
    let (told, ()) = tokio::join!(told, async {
        let _ = host.settle().await;
    });
    assert_eq!(told.fault.as_ref().unwrap().code, "engine-slow");
    assert_eq!(told.containers.len(), 1, "what was seen stays told");

    let status = host.status.borrow().clone();
    assert_eq!(status.fault, None, "the engine answers for the rest");
    let failure = status.containers[0].failure.clone().unwrap();
    assert_eq!(failure.code, "engine-slow");
    assert!(
        host.reconciler.deeds.containers()["train"]
            .starting
            .is_some(),
        "it may start yet"
    );
}
