//! The service without a network: what it gives, to whom, and what it never gives.

use std::io::Cursor;

use futures::TryStreamExt as _;
use tfleet_proto::model::artifact::ArtifactIndex;
use tonic::Code;
use wire::artifacts_server::Artifacts as _;

use super::frame::PART_BYTES;
use super::*;
use crate::artifact::{Origin, Received, Secrets, receive};

struct Only(Digest);

impl Access for Only {
    fn check(&self, _peer: &Extensions, artifact: &Digest) -> Result<(), Status> {
        if *artifact == self.0 {
            Ok(())
        } else {
            Err(unknown(artifact))
        }
    }

    fn participant(&self, _peer: &Extensions, _port: u32) -> Result<Participant, Status> {
        Err(Status::permission_denied("nobody takes part here"))
    }
}

/// A store with one artifact of one layer of nearly 12 MiB that hardly compresses.
fn service() -> (
    tempfile::TempDir,
    ArtifactsService<Only>,
    Digest,
    ArtifactIndex,
) {
    let folder = tempfile::tempdir().unwrap();
    let store = Artifacts::open(folder.path()).unwrap();
    let received = put(&store);
    let service = ArtifactsService::new(
        store,
        Arc::new(Only(received.artifact)),
        TaskTracker::new(),
        CancellationToken::new(),
    );
    (folder, service, received.artifact, received.index)
}

/// Stores that artifact.
fn put(store: &Artifacts) -> Received {
    let mut content = Vec::new();
    let mut block = Digest::of(b"seed");
    while content.len() < (12 << 20) - 4096 {
        block = Digest::of(block.as_bytes());
        content.extend_from_slice(block.as_bytes());
    }
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_ustar();
    header.set_size(content.len() as u64);
    header.set_mode(0o644);
    builder
        .append_data(&mut header, "file", content.as_slice())
        .unwrap();
    let archive = builder.into_inner().unwrap();
    let origin = Origin::RootFileSystem {
        architecture: tfleet_compat::Architecture::X86_64,
    };
    receive(
        Cursor::new(archive),
        store,
        origin,
        &Secrets::default(),
        &|_| {},
    )
    .unwrap()
}

async fn fetch(
    service: &ArtifactsService<Only>,
    artifact: &Digest,
    diff_id: &Digest,
    first_chunk: u32,
    chunk_count: u32,
) -> Result<Vec<wire::Chunk>, Status> {
    let request = wire::FetchChunksRequest {
        artifact: artifact.to_string(),
        diff_id: diff_id.to_string(),
        first_chunk,
        chunk_count,
    };
    service
        .fetch_chunks(Request::new(request))
        .await?
        .into_inner()
        .try_collect()
        .await
}

#[tokio::test]
async fn a_layer_arrives_whole_in_parts_of_half_a_mebibyte() {
    let (_folder, service, artifact, index) = service();
    let layer = &index.layers[0];
    let parts = fetch(&service, &artifact, &layer.diff_id, 0, 0)
        .await
        .unwrap();
    assert!(
        parts
            .iter()
            .all(|part| part.frame_part.len() as u64 <= PART_BYTES)
    );
    let mut frames = vec![Vec::new()];
    for part in parts {
        assert_eq!(part.number as usize, frames.len() - 1);
        frames.last_mut().unwrap().extend(part.frame_part);
        if part.last_part {
            frames.push(Vec::new());
        }
    }
    assert_eq!(frames.pop(), Some(Vec::new()));
    assert_eq!(frames.len(), layer.chunks.len());
    for (frame, chunk) in frames.iter().zip(&layer.chunks) {
        assert_eq!(
            Digest::of(&zstd::decode_all(frame.as_slice()).unwrap()),
            chunk.digest
        );
    }
}

#[tokio::test]
async fn a_cut_is_resumed_by_asking_for_the_rest() {
    let (_folder, service, artifact, index) = service();
    let diff_id = index.layers[0].diff_id;
    let whole = fetch(&service, &artifact, &diff_id, 0, 0).await.unwrap();
    let mut joined = fetch(&service, &artifact, &diff_id, 0, 1).await.unwrap();
    joined.extend(fetch(&service, &artifact, &diff_id, 1, 0).await.unwrap());
    assert_eq!(joined, whole);
}

#[tokio::test]
async fn the_index_has_the_digest_that_was_asked_for() {
    let (_folder, service, artifact, index) = service();
    let request = wire::GetIndexRequest {
        artifact: artifact.to_string(),
    };
    let answer = service
        .get_index(Request::new(request))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(answer.index, index.canonical_json());
}

#[tokio::test]
async fn a_host_gets_nothing_that_it_shall_not_have() {
    let (_folder, service, _, index) = service();
    let other = Digest::of(b"another artifact");
    let request = wire::GetIndexRequest {
        artifact: other.to_string(),
    };
    assert_eq!(
        service
            .get_index(Request::new(request))
            .await
            .unwrap_err()
            .code(),
        Code::NotFound
    );
    let refusal = fetch(&service, &other, &index.layers[0].diff_id, 0, 0)
        .await
        .unwrap_err();
    assert_eq!(refusal.code(), Code::NotFound);
}

#[tokio::test]
async fn chunks_beyond_the_layer_and_unknown_layers_are_refused() {
    let (_folder, service, artifact, index) = service();
    let diff_id = index.layers[0].diff_id;
    for (first, count) in [(0, 99), (99, 0), (3, 1), (u32::MAX, u32::MAX)] {
        let refusal = fetch(&service, &artifact, &diff_id, first, count)
            .await
            .unwrap_err();
        assert_eq!(refusal.code(), Code::OutOfRange, "{first}, {count}");
    }
    let refusal = fetch(&service, &artifact, &Digest::of(b"no layer"), 0, 0)
        .await
        .unwrap_err();
    assert_eq!(refusal.code(), Code::NotFound);
}

#[tokio::test]
async fn of_a_damaged_chunk_not_one_byte_is_sent() {
    let (folder, service, artifact, index) = service();
    let layer = &index.layers[0];
    let path = folder
        .path()
        .join("chunks")
        .join(layer.chunks[1].digest.hex());
    let mut bytes = std::fs::read(&path).unwrap();
    let last = bytes.len() - 100;
    bytes[last] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let request = wire::FetchChunksRequest {
        artifact: artifact.to_string(),
        diff_id: layer.diff_id.to_string(),
        first_chunk: 0,
        chunk_count: 0,
    };
    let mut stream = service
        .fetch_chunks(Request::new(request))
        .await
        .unwrap()
        .into_inner();
    let refusal = loop {
        match stream.next().await.unwrap() {
            Ok(part) => assert_eq!(part.number, 0),
            Err(refusal) => break refusal,
        }
    };
    assert_eq!(refusal.code(), Code::DataLoss);
}

#[tokio::test]
async fn storing_an_image_again_mends_its_delivery() {
    let (folder, service, artifact, index) = service();
    let layer = &index.layers[0];
    let chunk = layer.chunks[2].digest;
    let path = folder.path().join("chunks").join(chunk.hex());
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[500] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    for _ in 0..2 {
        let refusal = fetch(&service, &artifact, &layer.diff_id, 0, 0)
            .await
            .unwrap_err();
        assert_eq!(refusal.code(), Code::DataLoss);
        assert!(refusal.message().contains(&chunk.to_string()), "{refusal}");
    }
    assert_eq!(put(&service.artifacts).artifact, artifact);
    fetch(&service, &artifact, &layer.diff_id, 0, 0)
        .await
        .unwrap();
}

/// The service behind a real server, where hosts are told apart by the port that they join with.
struct Served {
    client: wire::artifacts_client::ArtifactsClient<tonic::transport::Channel>,
    artifact: Digest,
    index: ArtifactIndex,
    _folder: tempfile::TempDir,
    _tasks: tokio::task::JoinSet<()>,
}

struct ByPort(Digest);

impl Access for ByPort {
    fn check(&self, peer: &Extensions, artifact: &Digest) -> Result<(), Status> {
        Only(self.0).check(peer, artifact)
    }

    fn participant(&self, _peer: &Extensions, port: u32) -> Result<Participant, Status> {
        Ok(Participant {
            host: format!("host-{port}").parse().unwrap(),
            key: Digest::of(&port.to_le_bytes()),
            address: None,
            place: String::new(),
        })
    }
}

async fn served() -> Served {
    let folder = tempfile::tempdir().unwrap();
    let store = Artifacts::open(folder.path()).unwrap();
    let received = put(&store);
    let service = ArtifactsService::new(
        store,
        Arc::new(ByPort(received.artifact)),
        TaskTracker::new(),
        CancellationToken::new(),
    );
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(async move {
        let service = wire::artifacts_server::ArtifactsServer::new(service);
        let server = tonic::transport::Server::builder().add_service(service);
        let incoming = tokio_stream::wrappers::TcpListenerStream::new(listener);
        server.serve_with_incoming(incoming).await.unwrap();
    });
    let endpoint = tonic::transport::Endpoint::new(address).unwrap();
    Served {
        client: wire::artifacts_client::ArtifactsClient::new(endpoint.connect_lazy()),
        artifact: received.artifact,
        index: received.index,
        _folder: folder,
        _tasks: tasks,
    }
}

impl Served {
    async fn join(
        &mut self,
        port: u32,
    ) -> (
        mpsc::Sender<wire::JoinRequest>,
        Streaming<wire::JoinResponse>,
    ) {
        let (sender, said) = mpsc::channel(16);
        let joining = wire::Joining {
            artifact: self.artifact.to_string(),
            port,
        };
        say(&sender, Said::Joining(joining)).await;
        let joined = self.client.join(ReceiverStream::new(said)).await;
        (sender, joined.unwrap().into_inner())
    }
}

/// The next answer. That there are no neighbours may be told at any time.
async fn answer(answers: &mut Streaming<wire::JoinResponse>) -> Option<wire::join_response::Said> {
    loop {
        match answers.message().await.unwrap()?.said.unwrap() {
            wire::join_response::Said::Neighbourhood(told) => {
                assert_eq!(told, wire::Neighbourhood::default());
            }
            other => return Some(other),
        }
    }
}

async fn say(sender: &mpsc::Sender<wire::JoinRequest>, said: Said) {
    let said = wire::JoinRequest { said: Some(said) };
    sender.send(said).await.unwrap();
}

#[tokio::test]
async fn a_host_that_takes_part_is_sent_what_it_asks_for_and_what_it_chooses() {
    use wire::join_response::Said as Answer;
    let mut served = served().await;
    let chunks = served.index.layers[0].chunks.clone();
    let (sender, mut answers) = served.join(1).await;
    say(&sender, Said::Ask(1)).await;
    say(&sender, Said::AskAny(wire::AskAny {})).await;
    let mut frames = vec![Vec::new(); chunks.len()];
    let mut whole = 0;
    while whole < 2 {
        match answer(&mut answers).await.unwrap() {
            Answer::Offer(_) => say(&sender, Said::Wanted(vec![0b100])).await,
            Answer::Begins(number) => assert!([1, 2].contains(&number)),
            Answer::Part(part) => {
                frames[part.chunk as usize].extend_from_slice(&part.frame_part);
                whole += u32::from(part.last_part);
            }
            other => panic!("{other:?}"),
        }
    }
    for number in [1, 2] {
        let content = zstd::decode_all(frames[number].as_slice()).unwrap();
        assert_eq!(Digest::of(&content), chunks[number].digest);
    }
    // It wants nothing, and answers an offer that there was not.
    say(&sender, Said::Wanted(Vec::new())).await;
    let nothing = Some(Answer::Nothing(wire::Nothing {}));
    assert_eq!(answer(&mut answers).await, nothing);
    // Nobody else takes part, so that is the end.
    say(&sender, Said::Whole(wire::Whole {})).await;
    assert_eq!(answer(&mut answers).await, None);
}

#[tokio::test]
async fn a_host_that_joins_twice_keeps_its_newer_stream() {
    let mut served = served().await;
    let (_first, mut older) = served.join(1).await;
    let (_second, mut newer) = served.join(1).await;
    let status = loop {
        match older.message().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("it ended without a reason"),
            Err(status) => break status,
        }
    };
    assert_eq!(status.code(), Code::Aborted);
    assert!(newer.message().await.unwrap().is_some());
}

#[tokio::test]
async fn taking_part_begins_with_an_artifact_that_the_host_may_have() {
    let mut served = served().await;
    let nobodys = wire::Joining {
        artifact: Digest::of(b"another").to_string(),
        port: 1,
    };
    for (said, code) in [
        (Said::Joining(nobodys), Code::NotFound),
        (Said::AskAny(wire::AskAny {}), Code::InvalidArgument),
    ] {
        let said = wire::JoinRequest { said: Some(said) };
        let refused = served.client.join(futures::stream::iter([said])).await;
        assert_eq!(refused.unwrap_err().code(), code);
    }
}
