//! Patches from a stand-in for the coordinator, over loopback.

use std::path::Path;

use bytes::Bytes;
use tempfile::TempDir;
use tfleet_proto::model::artifact::{ArtifactFormat, Chunk, FRAME_LEVEL};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Endpoint;
use tonic::{Request, Response, Status, Streaming};
use wire::artifacts_server::{Artifacts, ArtifactsServer};
use zstd::zstd_safe::CCtx;

use super::super::{kept, spool};
use super::*;

/// Contents of the older artifact's chunks, and of the newer one's.
const OLD: [&[u8]; 3] = [b"alpha", b"beta", b"gamma"];
const NEW: [&[u8]; 4] = [b"beta", b"alpha and beta", b"gamma again", b"delta"];

fn chunk(content: &[u8]) -> Chunk {
    Chunk {
        digest: Digest::of(content),
        content_bytes: content.len() as u64,
        frame_bytes: zstd::bulk::compress(content, FRAME_LEVEL).unwrap().len() as u64,
    }
}

fn index(contents: &[&[u8]]) -> ArtifactIndex {
    ArtifactIndex {
        format: ArtifactFormat::V1,
        config: "{}".to_owned(),
        layers: vec![Layer {
            diff_id: Digest::of(&contents.concat()),
            size_bytes: contents.concat().len() as u64,
            chunks: contents.iter().map(|content| chunk(content)).collect(),
        }],
    }
}

fn patch(number: u32, references: &[&[u8]], content: &[u8]) -> wire::Patch {
    let prefix = references.concat();
    let mut frame = Vec::with_capacity(1 << 10);
    let mut context = CCtx::create();
    context.ref_prefix(&prefix).unwrap();
    context.compress2(&mut frame, content).unwrap();
    let digests = references
        .iter()
        .map(|content| Digest::of(content).as_bytes().to_vec());
    wire::Patch {
        chunk: number,
        references: digests.collect(),
        frame,
    }
}

fn none(number: u32) -> wire::Patch {
    wire::Patch {
        chunk: number,
        ..wire::Patch::default()
    }
}

/// Answers each request with these, and notes it.
struct Coordinator {
    answers: Vec<Result<wire::Patch, Status>>,
    asked: watch::Sender<wire::FetchPatchesRequest>,
}

#[tonic::async_trait]
impl Artifacts for Coordinator {
    async fn get_index(
        &self,
        _: Request<wire::GetIndexRequest>,
    ) -> Result<Response<wire::GetIndexResponse>, Status> {
        Err(Status::unimplemented("not needed"))
    }

    type FetchChunksStream = tokio_stream::Empty<Result<wire::Chunk, Status>>;

    async fn fetch_chunks(
        &self,
        _: Request<wire::FetchChunksRequest>,
    ) -> Result<Response<Self::FetchChunksStream>, Status> {
        Err(Status::unimplemented("not needed"))
    }

    type FetchPatchesStream = tokio_stream::Iter<std::vec::IntoIter<Result<wire::Patch, Status>>>;

    async fn fetch_patches(
        &self,
        request: Request<wire::FetchPatchesRequest>,
    ) -> Result<Response<Self::FetchPatchesStream>, Status> {
        self.asked.send_replace(request.into_inner());
        Ok(Response::new(tokio_stream::iter(self.answers.clone())))
    }

    type JoinStream = tokio_stream::Empty<Result<wire::JoinResponse, Status>>;

    async fn join(
        &self,
        _: Request<Streaming<wire::JoinRequest>>,
    ) -> Result<Response<Self::JoinStream>, Status> {
        Err(Status::unimplemented("not needed"))
    }
}

/// A host that keeps the older artifact, and a coordinator that answers so.
struct Case {
    root: TempDir,
    spool: Spool,
    client: ArtifactsClient<Channel>,
    asked: watch::Receiver<wire::FetchPatchesRequest>,
    progress: watch::Sender<ImageProgress>,
    _serving: JoinSet<()>,
}

impl Case {
    async fn new(answers: Vec<Result<wire::Patch, Status>>) -> Self {
        let root = TempDir::new().unwrap();
        let old = keep_old(root.path());
        let artifact = index(&NEW).digest();
        let spool = Spool::open(root.path(), &artifact).unwrap();
        kept::adopt(
            &spool,
            index(&NEW).chunks(),
            &kept::others(root.path(), &artifact).unwrap(),
        )
        .unwrap();
        assert!(old.has(&chunk(b"alpha")));
        let (sender, asked) = watch::channel(wire::FetchPatchesRequest::default());
        let coordinator = Coordinator {
            answers,
            asked: sender,
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let server = tonic::transport::Server::builder();
            let mut server = server;
            let routes = server.add_service(ArtifactsServer::new(coordinator));
            routes
                .serve_with_incoming(TcpListenerStream::new(listener))
                .await
                .unwrap();
        });
        let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
        Self {
            root,
            spool,
            client: ArtifactsClient::new(endpoint.connect_lazy()),
            asked,
            progress: watch::channel(ImageProgress::default()).0,
            _serving: serving,
        }
    }

    async fn begin(&self) -> Option<Patches> {
        let artifact = index(&NEW).digest();
        Patches::begin(Order {
            client: self.client.clone(),
            artifact,
            index: &index(&NEW),
            present: 0,
            spool: self.spool.clone(),
            kept: kept::others(self.root.path(), &artifact).unwrap(),
            times_smaller: 3,
            level: FRAME_LEVEL,
            progress: self.progress.clone(),
        })
        .await
    }

    fn made(&self) -> [bool; 4] {
        NEW.map(|content| {
            self.spool
                .read(&chunk(content))
                .unwrap()
                .is_some_and(|read| read == content)
        })
    }
}

fn keep_old(root: &Path) -> Spool {
    let artifact = index(&OLD).digest();
    let spool = Spool::open(root, &artifact).unwrap();
    spool.note_index(&index(&OLD)).unwrap();
    for content in OLD {
        spool
            .put_made(&chunk(content), Bytes::from_static(content), FRAME_LEVEL)
            .unwrap();
    }
    spool::finish(root, &artifact).unwrap();
    spool
}

fn set(numbers: &[u32], count: u32) -> Vec<u8> {
    let mut set = ChunkSet::empty(count);
    for number in numbers {
        set.insert(ChunkNumber(*number));
    }
    set.to_bytes()
}

#[tokio::test]
async fn what_is_missing_is_asked_for_and_made_of_what_is_kept() {
    let answers = vec![
        Ok(patch(1, &[b"alpha", b"beta"], b"alpha and beta")),
        Ok(patch(2, &[b"gamma"], b"gamma again")),
        Ok(none(3)),
    ];
    let case = Case::new(answers).await;
    let mut patches = case.begin().await.unwrap();
    let layer = &index(&NEW).layers[0];
    patches.settled(layer, 1).await;
    assert!(case.made()[1]);
    patches.end().await;
    assert_eq!(case.made(), [true, true, true, false]);
    assert!(
        case.spool.has(&chunk(NEW[2])),
        "in the very frame that would have been sent"
    );
    let asked = case.asked.borrow().clone();
    assert_eq!(asked.missing, set(&[1, 2, 3], 4), "the first one was kept");
    let kept = wire::KeptArtifact {
        artifact: index(&OLD).digest().to_string(),
        chunks: set(&[0, 1, 2], 3),
    };
    assert_eq!((asked.kept, asked.times_smaller), (vec![kept], 3));
    let progress = *case.progress.borrow();
    let made = (NEW[1].len() + NEW[2].len()) as u64;
    assert_eq!((progress.kept_bytes, progress.fetched_bytes), (made, made));
    assert!(progress.wire_bytes > 0);
}

#[tokio::test]
async fn a_patch_that_does_not_make_its_chunk_is_not_believed_and_the_next_is_used() {
    let unknown = patch(1, &[b"never kept"], b"alpha and beta");
    let other = patch(2, &[b"gamma"], b"other content");
    let good = patch(3, &[b"gamma"], b"delta");
    let case = Case::new(vec![Ok(unknown), Ok(other), Ok(good)]).await;
    case.begin().await.unwrap().end().await;
    assert_eq!(case.made(), [true, false, false, true]);
    assert_eq!(case.progress.borrow().kept_bytes, b"delta".len() as u64);
}

#[tokio::test]
async fn a_damaged_reference_leaves_the_chunk_to_be_fetched() {
    let case = Case::new(vec![Ok(patch(2, &[b"gamma"], b"gamma again"))]).await;
    let folder = case.root.path().join(index(&OLD).digest().hex());
    std::fs::write(folder.join(Digest::of(b"gamma").hex()), "damaged").unwrap();
    case.begin().await.unwrap().end().await;
    assert_eq!(case.made(), [true, false, false, false]);
}

#[tokio::test]
async fn when_the_coordinator_breaks_off_nothing_is_waited_for() {
    let good = patch(1, &[b"alpha"], b"alpha and beta");
    for broken in [
        vec![
            Ok(good.clone()),
            Err(Status::unavailable("the cable was pulled")),
        ],
        vec![Ok(good.clone()), Ok(none(0))],
        vec![Ok(good.clone()), Ok(none(u32::MAX))],
        vec![Ok(good.clone())],
    ] {
        let case = Case::new(broken).await;
        let mut patches = case.begin().await.unwrap();
        let layer = &index(&NEW).layers[0];
        patches.settled(layer, 3).await;
        patches.end().await;
        assert_eq!(case.made(), [true, true, false, false]);
    }
}

#[tokio::test]
async fn nobody_is_asked_where_nothing_is_kept_or_missing() {
    let case = Case::new(Vec::new()).await;
    kept::evict(
        case.root.path(),
        kept::Limit::NOTHING,
        &std::collections::BTreeSet::new(),
    )
    .unwrap();
    assert!(case.begin().await.is_none(), "nothing is kept");
    keep_old(case.root.path());
    for content in NEW {
        case.spool
            .put_made(&chunk(content), Bytes::from_static(content), FRAME_LEVEL)
            .unwrap();
    }
    assert!(case.begin().await.is_none(), "nothing is missing");
}
