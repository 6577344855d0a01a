use tfleet_proto::model::digest::Digest;
use tfleet_proto::wire;
use tfleet_proto::wire::agent_message::Message as FromAgent;
use tfleet_proto::wire::coordinator_message::Message as FromCoordinator;
use tfleet_proto::wire::operator_client::OperatorClient;
use tonic::Code;
use tonic::transport::Channel;

use super::host::{Host, Session, inventory};
use super::served::{Served, all};

/// A T4 host that is connected, and one that never was.
async fn fleet() -> (Served, OperatorClient<Channel>, Session) {
    let served = Served::start().await;
    let host = Host::enrolled(&served, "t4").await;
    Host::enrolled(&served, "away").await;
    let session = host.open(&served).await.unwrap();
    session
        .say(FromAgent::Inventory(inventory(true).into()))
        .await;
    let mut operator = served.operator().await;
    // Until the inventory has arrived.
    let request = wire::ListHostsRequest { selector: all() };
    let mut events = operator.watch_hosts(request).await.unwrap().into_inner();
    loop {
        let event = events.message().await.unwrap().unwrap().event.unwrap();
        if matches!(event, wire::host_event::Event::Host(host) if host.inventory.is_some()) {
            return (served, operator, session);
        }
    }
}

fn plan(tensorflow: &str) -> wire::PlanRequest {
    wire::PlanRequest {
        spec: Some(wire::ReleaseSpec {
            name: "train".to_owned(),
            tensorflow: tensorflow.to_owned(),
            ..Default::default()
        }),
        selector: all(),
        ..Default::default()
    }
}

pub fn run(name: &str, shm_bytes: u64, replace: bool) -> wire::RunContainerRequest {
    use wire::gpu_request::Request;
    wire::RunContainerRequest {
        template: Some(wire::ContainerSpec {
            name: name.to_owned(),
            gpus: Some(wire::GpuRequest {
                request: Some(Request::All(wire::AllGpus {})),
            }),
            restart_policy: Some(wire::RestartPolicy {
                name: wire::RestartPolicyName::UnlessStopped.into(),
                maximum_retries: 0,
            }),
            shm_bytes,
            ..Default::default()
        }),
        release: "tools".to_owned(),
        selector: all(),
        replace,
    }
}

/// An image of one file, added as release "tools".
pub async fn add_image(operator: &mut OperatorClient<Channel>) -> wire::Release {
    use wire::add_image_request::Request;
    let start = Request::Start(wire::AddImageStart {
        name: "tools".to_owned(),
        ..Default::default()
    });
    let requests = [start, Request::Data(archive().into())].map(|request| wire::AddImageRequest {
        request: Some(request),
    });
    let events = operator.add_image(tokio_stream::iter(requests)).await;
    let mut events = events.unwrap().into_inner();
    loop {
        let event = events.message().await.unwrap().expect("a last event");
        if let Some(release) = event.release {
            return release;
        }
    }
}

/// As `docker save` writes it.
fn archive() -> Vec<u8> {
    let file = |tar: &mut tar::Builder<Vec<u8>>, name: &str, content: &[u8]| {
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, name, content).unwrap();
    };
    let mut layer = tar::Builder::new(Vec::new());
    file(&mut layer, "hello", b"world");
    let layer = layer.into_inner().unwrap();
    let diff_id = tfleet_proto::model::digest::Digest::of(&layer);
    let config = format!(
        r#"{{"architecture":"amd64","os":"linux","config":{{}},"rootfs":{{"type":"layers","diff_ids":["{diff_id}"]}}}}"#
    );
    let manifest = r#"[{"Config":"config.json","RepoTags":["x:y"],"Layers":["layer.tar"]}]"#;
    let mut image = tar::Builder::new(Vec::new());
    file(&mut image, "layer.tar", &layer);
    file(&mut image, "config.json", config.as_bytes());
    file(&mut image, "manifest.json", manifest.as_bytes());
    image.into_inner().unwrap()
}

fn change_of<'a>(answer: &'a wire::ChangeResponse, host: &str) -> &'a wire::HostChange {
    answer
        .hosts
        .iter()
        .find(|change| change.host == host)
        .unwrap()
}

pub async fn desired(session: &mut Session) -> wire::DesiredState {
    match session.hear().await.unwrap() {
        Some(FromCoordinator::Desired(desired)) => desired,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_plan_places_each_host_or_says_why_not_and_equal_releases_are_one() {
    let (_served, mut operator, _session) = fleet().await;
    let planned = operator.plan(plan(">=2.14,<2.16")).await.unwrap();
    let planned = planned.into_inner().plan.unwrap();
    assert_eq!(planned.assignments[0].host, "t4");
    assert_eq!(planned.assignments[0].variant, "tf2.14.1-cuda11.8");
    assert_eq!(planned.variants[0].cuda, "11.8");
    assert_eq!(planned.unplaced[0].host, "away");
    assert!(
        operator
            .list_releases(wire::ListReleasesRequest {})
            .await
            .unwrap()
            .into_inner()
            .releases
            .is_empty()
    );

    let mut revisions = Vec::new();
    for tensorflow in [">=2.14,<2.16", ">=2.14,<2.16", "==2.14.1"] {
        let release = operator.create_release(plan(tensorflow)).await.unwrap();
        revisions.push(release.into_inner().revision);
    }
    assert_eq!(revisions, [1, 1, 2]);
    let mut asked = Vec::new();
    for anew in [false, true] {
        let request = wire::PlanRequest {
            anew,
            ..plan("==2.14.1")
        };
        let release = operator.create_release(request).await.unwrap().into_inner();
        asked.push((release.revision, release.existed));
    }
    assert_eq!(asked, [(2, true), (3, false)]);
    let misspelt = wire::GetReleaseRequest {
        release: "trian".to_owned(),
    };
    let refused = operator.get_release(misspelt).await.unwrap_err();
    assert_eq!(refused.code(), Code::NotFound);
    assert!(refused.message().contains("train"), "{}", refused.message());
}

#[tokio::test]
async fn a_release_that_serves_nobody_is_not_made_and_the_reasons_are_told() {
    let (_served, mut operator, _session) = fleet().await;
    let refused = operator.create_release(plan(">=2.17,<2.18")).await;
    let refused = refused.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert!(refused.message().contains("t4: "), "{}", refused.message());
    let malformed = operator.plan(plan("the newest")).await.unwrap_err();
    assert_eq!(malformed.code(), Code::InvalidArgument);
    assert!(
        malformed.message().contains("spec.tensorflow"),
        "{}",
        malformed.message()
    );
}

#[tokio::test]
async fn what_is_not_built_is_not_rolled_out_and_no_builder_is_said() {
    let (_served, mut operator, _session) = fleet().await;
    operator.create_release(plan("==2.14.1")).await.unwrap();
    let selector = Some(wire::Selector {
        names: vec!["t4".to_owned()],
        ..Default::default()
    });
    let rollout = wire::RolloutRequest {
        release: "train".to_owned(),
        selector,
    };
    let refused = operator.rollout(rollout).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert!(
        refused.message().contains("tfleet build"),
        "{}",
        refused.message()
    );
    let build = wire::BuildRequest {
        release: "train".to_owned(),
    };
    let mut events = operator.build(build).await.unwrap().into_inner();
    let mut last = None;
    while let Some(event) = events.message().await.unwrap() {
        last = event.result;
    }
    let failure = last.unwrap().failure.unwrap();
    assert_eq!(failure.code, "no-builder", "{failure:?}");
}

#[tokio::test]
async fn an_added_image_is_run_changed_and_removed_by_generation() {
    let (_served, mut operator, mut session) = fleet().await;
    let release = add_image(&mut operator).await;
    assert_eq!(
        release.revision,
        add_image(&mut operator).await.revision,
        "the same image twice is one release"
    );
    let artifact = release.builds[0].artifact.clone();

    let ran = operator.run_container(run("tf", 0, false)).await.unwrap();
    let ran = ran.into_inner();
    assert_eq!(change_of(&ran, "t4").generation, 1);
    assert!(!change_of(&ran, "t4").pending && change_of(&ran, "away").pending);
    let told = desired(&mut session).await;
    assert_eq!(told.containers[0].spec.as_ref().unwrap().artifact, artifact);
    assert_eq!(
        told.images[0].tags,
        ["tfleet/tools:v1", "tfleet/tools:v1-image"]
    );

    let again = operator.run_container(run("tf", 0, false)).await.unwrap();
    assert_eq!(change_of(&again.into_inner(), "t4").generation, 2);
    let told = desired(&mut session).await;
    assert_eq!(told.containers.len(), 1);
    assert!(told.containers[0].start_serial > 0, "the host shall look");
    let other = operator
        .run_container(run("tf", 1 << 30, false))
        .await
        .unwrap();
    let failure = change_of(&other.into_inner(), "t4").failure.clone();
    assert_eq!(failure.unwrap().code, "name-taken");
    let replaced = operator
        .run_container(run("tf", 1 << 30, true))
        .await
        .unwrap();
    assert_eq!(change_of(&replaced.into_inner(), "t4").generation, 3);
    assert_eq!(desired(&mut session).await.generation, 3);

    let mut change = async |change: wire::ContainerChange, name: &str| {
        let request = wire::ChangeContainersRequest {
            change: change.into(),
            containers: vec![name.to_owned()],
            selector: all(),
        };
        operator
            .change_containers(request)
            .await
            .unwrap()
            .into_inner()
    };
    let unknown = change(wire::ContainerChange::Stop, "tff").await;
    let failure = change_of(&unknown, "t4").failure.clone().unwrap();
    assert_eq!(failure.remedy, "did you mean tf?");
    change(wire::ContainerChange::Restart, "tf").await;
    assert!(desired(&mut session).await.containers[0].restart_serial > 0);
    change(wire::ContainerChange::Remove, "tf").await;
    let told = desired(&mut session).await;
    assert!(told.containers.is_empty());
    assert_eq!(told.generation, 5);
}

#[tokio::test]
async fn a_host_that_was_removed_and_comes_back_is_told_nothing_until_somebody_asks() {
    let (served, mut operator, mut session) = fleet().await;
    add_image(&mut operator).await;
    operator.run_container(run("tf", 0, false)).await.unwrap();
    let before = desired(&mut session).await;
    let request = wire::RemoveHostRequest {
        host: "t4".to_owned(),
    };
    operator.remove_host(request).await.unwrap();

    let again = Host::enrolled(&served, "t4").await;
    let request = wire::ListHostsRequest { selector: all() };
    let hosts = operator.list_hosts(request).await.unwrap().into_inner();
    let back = hosts.hosts.iter().find(|host| host.name == "t4").unwrap();
    assert_eq!(back.desired, None);
    // Its ledger was kept, so the first word about it would be acted on.
    let accepted = (before.incarnation, before.generation);
    let mut session = again
        .open_having_accepted(&served, accepted, Digest::of(b""))
        .await
        .unwrap();
    operator.run_container(run("new", 0, false)).await.unwrap();
    let told = desired(&mut session).await;
    assert_eq!(told.containers.len(), 1);
    assert_eq!(told.containers[0].spec.as_ref().unwrap().name, "new");
    assert!(told.generation > before.generation);
}

#[tokio::test]
async fn half_an_archive_or_none_is_refused_and_leaves_no_release() {
    use wire::add_image_request::Request;
    let (_served, mut operator, _session) = fleet().await;
    let whole = archive();
    for data in [
        b"not an archive".to_vec(),
        whole[..whole.len() / 2].to_vec(),
    ] {
        let start = Request::Start(wire::AddImageStart {
            name: "tools".to_owned(),
            ..Default::default()
        });
        let requests = [start, Request::Data(data.into())].map(|request| wire::AddImageRequest {
            request: Some(request),
        });
        let events = operator.add_image(tokio_stream::iter(requests)).await;
        let mut events = events.unwrap().into_inner();
        let refused = loop {
            match events.message().await {
                Ok(event) => assert!(event.expect("an error").release.is_none()),
                Err(refused) => break refused,
            }
        };
        assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
    }
    let releases = operator.list_releases(wire::ListReleasesRequest {}).await;
    assert!(releases.unwrap().into_inner().releases.is_empty());
}
