//! What the loop does with images.

use tfleet_proto::model::status::ImagePhase;
use tfleet_proto::wire;
use tfleet_proto::wire::artifacts_server::{Artifacts, ArtifactsServer};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::{Endpoint, Server};

use super::host::*;
use crate::artifact::loading_reference;
use crate::ledger::ImageDeed;

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

    type FetchPatchesStream = tokio_stream::Empty<Result<wire::Patch, tonic::Status>>;

    async fn fetch_patches(
        &self,
        _: tonic::Request<wire::FetchPatchesRequest>,
    ) -> Result<tonic::Response<Self::FetchPatchesStream>, tonic::Status> {
        Err(tonic::Status::not_found("there is no such artifact"))
    }

    type JoinStream = tokio_stream::Empty<Result<wire::JoinResponse, tonic::Status>>;

    async fn join(
        &self,
        _: tonic::Request<tonic::Streaming<wire::JoinRequest>>,
    ) -> Result<tonic::Response<Self::JoinStream>, tonic::Status> {
        Err(tonic::Status::not_found("there is no such artifact"))
    }
}

/// The session, and who answers it until it is dropped.
async fn session_without_images() -> (Channel, JoinSet<Result<(), tonic::transport::Error>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let incoming = TcpListenerStream::new(listener);
    let mut serving = JoinSet::new();
    serving.spawn(
        Server::builder()
            .add_service(ArtifactsServer::new(Empty))
            .serve_with_incoming(incoming),
    );
    let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
    (endpoint.connect_lazy(), serving)
}

#[tokio::test]
async fn deliveries_that_fail_one_after_the_other_are_tried_less_and_less_often() {
    let mut host = Host::new();
    let (channel, _serving) = session_without_images().await;
    host.channel.send_replace(Some(channel));
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
    assert!(pauses[1] > Duration::from_millis(1300), "{pauses:?}");
}

#[tokio::test]
async fn an_image_of_a_release_that_the_policy_refuses_is_neither_fetched_nor_tagged() {
    let mut host = Host::with_policy("releases = []");
    let (channel, _serving) = session_without_images().await;
    host.channel.send_replace(Some(channel));
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

/// What the engine has: an image for each of these names.
fn show_images(stub: &StubEngine, names: &[&str]) {
    let listed: Vec<String> = names
        .iter()
        .enumerate()
        .map(|(number, name)| {
            format!(
                r#"{{"Id":"sha256:{number}","RepoTags":["{name}"],"Size":1,"ParentId":"","RepoDigests":[],"Created":0,
                    "SharedSize":0,"Labels":{{}},"Containers":0}}"#
            )
        })
        .collect();
    let listed = format!("[{}]", listed.join(","));
    stub.on("GET /images/json", Reply::Json(200, listed));
    for number in 0..names.len() {
        let inspected =
            format!(r#"{{"Id":"sha256:{number}","RootFS":{{"Type":"layers","Layers":[]}}}}"#);
        let request = format!("GET /images/sha256:{number}/json");
        stub.on(&request, Reply::Json(200, inspected));
    }
}

#[tokio::test]
async fn what_a_delivery_that_died_left_is_removed_once_nobody_wants_it() {
    let mut host = Host::new();
    let (channel, _serving) = session_without_images().await;
    host.channel.send_replace(Some(channel));
    host.want(state(1, &[image()]));
    host.settle().await;
    let (artifact, other) = (image().artifact, Digest::of(b"other"));
    assert_eq!(
        host.reconciler.deeds.deliveries()[&artifact],
        image().tags,
        "noted before anything is done"
    );
    host.reconciler.in_flight.finished().await;

    // Its image was tagged, and another delivery's was loaded.
    let (ours, others) = (loading_reference(&artifact), loading_reference(&other));
    show_images(
        &host.stub,
        &["tfleet/train:v7", "tfleet/serve:v1", &ours, &others],
    );
    host.stub
        .on("DELETE /images/", Reply::Json(200, "[]".to_owned()));
    host.want(state(2, &[image()]));
    host.settle().await;
    let removed = |host: &Host| host.stub.asked("DELETE /images/");
    assert_eq!(removed(&host).len(), 1, "{:?}", removed(&host));
    assert!(
        removed(&host)[0].contains(&others.replace('/', "%2F"))
            || removed(&host)[0].contains(&others)
    );

    host.want(state(3, &[]));
    host.settle().await;
    let removed = removed(&host).split_off(1);
    let is_removed = |name: &str| {
        let mut removed = removed.iter();
        removed.any(|asked| asked.contains(name) || asked.contains(&name.replace('/', "%2F")))
    };
    assert!(
        is_removed(&ours) && is_removed("tfleet/train:v7"),
        "{removed:?}"
    );
    assert!(!is_removed("tfleet/serve:v1"), "{removed:?}");
    assert!(host.reconciler.deeds.deliveries().is_empty());
}

#[tokio::test]
async fn a_tag_that_went_to_another_image_of_ours_is_not_taken_from_it() {
    let mut host = Host::new();
    let deeds = &mut host.reconciler.deeds;
    let intended = deeds.note_delivery(Digest::of(b"died"), image().tags);
    intended.await.unwrap();
    host.have_image().await;
    let deed = ImageDeed {
        tags: image().tags,
        ..image_deed("sha256:1")
    };
    let deeds = &mut host.reconciler.deeds;
    deeds.note_image(image().artifact, deed).await.unwrap();
    host.want(state(1, &[image()]));
    host.settle().await;
    assert_eq!(host.stub.asked("DELETE /images/"), [""; 0]);
    assert!(host.reconciler.deeds.deliveries().is_empty());
}
