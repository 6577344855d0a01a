//! A coordinator's end of a transfer, on loopback: it names the neighbours that a test wants, and hands out chunks.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use futures::Stream;
use tfleet_proto::model::artifact::{ArtifactFormat, ArtifactIndex, Chunk, Layer};
use tfleet_proto::model::digest::Digest;
use tfleet_proto::model::swarm::{ChunkNumber, ChunkSet, Neighbourhood};
use tfleet_proto::wire;
use tfleet_proto::wire::artifacts_client::ArtifactsClient;
use tfleet_proto::wire::artifacts_server::{Artifacts, ArtifactsServer};
use tfleet_proto::wire::join_request::Said as FromHost;
use tfleet_proto::wire::join_response::Said as ToHost;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tokio_util::task::TaskTracker;
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Request, Response, Status, Streaming};

pub const CHUNKS: u32 = 40;
const CHUNK_BYTES: usize = 20_000;

/// Content that does not compress.
pub fn content(number: u32) -> Vec<u8> {
    let mut block = Digest::of(&number.to_le_bytes());
    let mut content = Vec::new();
    while content.len() < CHUNK_BYTES {
        content.extend_from_slice(block.as_bytes());
        block = Digest::of(block.as_bytes());
    }
    content
}

pub fn frame(number: u32) -> Vec<u8> {
    zstd::bulk::compress(&content(number), 1).unwrap()
}

/// One layer.
pub fn index() -> ArtifactIndex {
    let chunks: Vec<Chunk> = (0..CHUNKS)
        .map(|number| Chunk {
            digest: Digest::of(&content(number)),
            content_bytes: content(number).len() as u64,
            frame_bytes: frame(number).len() as u64,
        })
        .collect();
    ArtifactIndex {
        format: ArtifactFormat::V1,
        config: r#"{"architecture":"amd64"}"#.to_owned(),
        layers: vec![Layer {
            diff_id: Digest::of(b"layer"),
            size_bytes: chunks.iter().map(|chunk| chunk.content_bytes).sum(),
            chunks,
        }],
    }
}

pub struct Origin {
    address: String,
    state: Arc<State>,
    _tasks: JoinSet<()>,
}

#[derive(Default)]
struct State {
    /// By the port that a host joins with.
    neighbourhoods: Mutex<BTreeMap<u32, Neighbourhood>>,
    sent: Mutex<Vec<u32>>,
    joined: Mutex<u32>,
    fault: Mutex<Option<Fault>>,
    tasks: TaskTracker,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Fault {
    /// It knows no transfers.
    Older,
    /// The stream breaks after so many chunks, each time.
    CutAfter(usize),
    /// It sends another chunk's content.
    Damaged,
    /// It sends nothing, and goes on listening.
    Stingy,
}

impl Origin {
    pub async fn start(fault: Option<Fault>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let state = Arc::new(State {
            fault: Mutex::new(fault),
            ..State::default()
        });
        let service = ArtifactsServer::new(Service(state.clone()));
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let server = Server::builder().add_service(service);
            let served = server.serve_with_incoming(TcpListenerStream::new(listener));
            served.await.unwrap();
        });
        Self {
            address,
            state,
            _tasks: tasks,
        }
    }

    pub fn name(&self, port: u16, neighbourhood: Neighbourhood) {
        let mut neighbourhoods = self.state.neighbourhoods.lock().unwrap();
        neighbourhoods.insert(port.into(), neighbourhood);
    }

    pub async fn client(&self) -> ArtifactsClient<Channel> {
        let endpoint = Endpoint::new(format!("http://{}", self.address)).unwrap();
        ArtifactsClient::new(endpoint.connect().await.unwrap())
    }

    /// Chunks in the order in which they were sent, to all together.
    pub fn sent(&self) -> Vec<u32> {
        self.state.sent.lock().unwrap().clone()
    }

    /// How often hosts joined.
    pub fn joined(&self) -> u32 {
        *self.state.joined.lock().unwrap()
    }
}

struct Service(Arc<State>);

#[tonic::async_trait]
impl Artifacts for Service {
    async fn get_index(
        &self,
        _: Request<wire::GetIndexRequest>,
    ) -> Result<Response<wire::GetIndexResponse>, Status> {
        Err(Status::unimplemented("not needed"))
    }

    type FetchChunksStream = Pin<Box<dyn Stream<Item = Result<wire::Chunk, Status>> + Send>>;

    async fn fetch_chunks(
        &self,
        _: Request<wire::FetchChunksRequest>,
    ) -> Result<Response<Self::FetchChunksStream>, Status> {
        Err(Status::unimplemented("not needed"))
    }

    type FetchPatchesStream = Pin<Box<dyn Stream<Item = Result<wire::Patch, Status>> + Send>>;

    async fn fetch_patches(
        &self,
        _: Request<wire::FetchPatchesRequest>,
    ) -> Result<Response<Self::FetchPatchesStream>, Status> {
        Err(Status::unimplemented("not needed"))
    }

    type JoinStream = ReceiverStream<Result<wire::JoinResponse, Status>>;

    async fn join(
        &self,
        request: Request<Streaming<wire::JoinRequest>>,
    ) -> Result<Response<Self::JoinStream>, Status> {
        if *self.0.fault.lock().unwrap() == Some(Fault::Older) {
            return Err(Status::unimplemented("not known"));
        }
        *self.0.joined.lock().unwrap() += 1;
        let (outgoing, answers) = mpsc::channel(4);
        let talk = talk(self.0.clone(), request.into_inner(), outgoing);
        self.0.tasks.spawn(async move {
            // It ends with the host's stream.
            let _ = talk.await;
        });
        Ok(Response::new(ReceiverStream::new(answers)))
    }
}

async fn talk(
    state: Arc<State>,
    mut incoming: Streaming<wire::JoinRequest>,
    outgoing: mpsc::Sender<Result<wire::JoinResponse, Status>>,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let fault = *state.fault.lock().unwrap();
    let mut sent = 0;
    while let Some(heard) = incoming.message().await? {
        let said = match heard.said {
            Some(FromHost::Joining(joining)) => {
                let named = state
                    .neighbourhoods
                    .lock()
                    .unwrap()
                    .get(&joining.port)
                    .cloned();
                match named {
                    Some(named) => ToHost::Neighbourhood(named.into()),
                    None => continue,
                }
            }
            _ if fault == Some(Fault::Stingy) => continue,
            Some(FromHost::AskAny(_)) => ToHost::Offer(wire::Offer {}),
            Some(FromHost::Wanted(wanted)) => {
                let wanted = ChunkSet::from_bytes(&wanted, CHUNKS);
                // The least sent first.
                let counts = state.sent.lock().unwrap().clone();
                let times =
                    |chunk: &ChunkNumber| counts.iter().filter(|sent| **sent == chunk.0).count();
                match wanted.iter().min_by_key(times) {
                    Some(chunk) => {
                        sent += 1;
                        send(&state, fault, chunk.0, &outgoing).await?;
                        continue;
                    }
                    None => ToHost::Nothing(wire::Nothing {}),
                }
            }
            Some(FromHost::Ask(number)) => {
                sent += 1;
                send(&state, fault, number, &outgoing).await?;
                continue;
            }
            Some(FromHost::Cancel(_) | FromHost::Whole(_)) | None => continue,
        };
        outgoing
            .send(Ok(wire::JoinResponse { said: Some(said) }))
            .await?;
        if matches!(fault, Some(Fault::CutAfter(most)) if sent >= most) {
            break;
        }
    }
    Ok(())
}

async fn send(
    state: &State,
    fault: Option<Fault>,
    number: u32,
    outgoing: &mpsc::Sender<Result<wire::JoinResponse, Status>>,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    state.sent.lock().unwrap().push(number);
    let mut bytes = frame(number);
    if fault == Some(Fault::Damaged) {
        let length = bytes.len();
        bytes = frame(number + 1);
        bytes.resize(length, 0);
    }
    let part = wire::ChunkPart {
        chunk: number,
        frame_part: bytes.into(),
        last_part: true,
    };
    for said in [ToHost::Begins(number), ToHost::Part(part)] {
        outgoing
            .send(Ok(wire::JoinResponse { said: Some(said) }))
            .await?;
    }
    Ok(())
}
