//! A coordinator's end of a delivery, with faults to order. It speaks the real protocol over loopback.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use futures::{Stream, StreamExt as _, stream};
use tfleet_proto::model::digest::Digest;
use tfleet_proto::wire;
use tfleet_proto::wire::artifacts_client::ArtifactsClient;
use tfleet_proto::wire::artifacts_server::{Artifacts, ArtifactsServer};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Request, Response, Status, Streaming};

use super::synthetic::Image;

const PART_BYTES: usize = 512 << 10;

/// What happens to one request for chunks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fault {
    /// The stream breaks after so many chunks.
    CutAfter(usize),
    /// The first chunk comes with another one's content.
    Corrupted,
    /// The stream goes silent after so many chunks.
    SilentAfter(usize),
}

/// One request for chunks.
#[derive(Clone, Debug, PartialEq)]
pub struct Asked {
    pub diff_id: Digest,
    pub first: u32,
    pub count: u32,
}

pub struct Origin {
    address: SocketAddr,
    state: Arc<State>,
    /// Dropping it ends the server.
    _tasks: JoinSet<()>,
}

#[derive(Default)]
struct State {
    images: Mutex<Vec<Image>>,
    faults: Mutex<VecDeque<Fault>>,
    asked: Mutex<Vec<Asked>>,
}

impl Origin {
    pub async fn start(images: Vec<Image>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State {
            images: Mutex::new(images),
            ..State::default()
        });
        let service = ArtifactsServer::from_arc(Arc::new(Service(Arc::clone(&state))));
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let server = Server::builder().add_service(service);
            server
                .serve_with_incoming(TcpListenerStream::new(listener))
                .await
                .unwrap();
        });
        Self {
            address,
            state,
            _tasks: tasks,
        }
    }

    /// With the windows that agents have.
    pub async fn client(&self) -> ArtifactsClient<Channel> {
        let endpoint = Endpoint::new(format!("http://{}", self.address)).unwrap();
        let endpoint = endpoint
            .initial_stream_window_size(16 << 20)
            .initial_connection_window_size(32 << 20);
        ArtifactsClient::new(endpoint.connect().await.unwrap())
    }

    /// Orders faults for the next requests for chunks, one each.
    pub fn order(&self, faults: &[Fault]) {
        self.state.faults.lock().unwrap().extend(faults);
    }

    /// The requests for chunks since the last call.
    pub fn take_asked(&self) -> Vec<Asked> {
        std::mem::take(&mut self.state.asked.lock().unwrap())
    }
}

struct Service(Arc<State>);

impl Service {
    fn image(&self, artifact: &str) -> Result<Image, Status> {
        let images = self.0.images.lock().unwrap();
        let found = images
            .iter()
            .find(|image| image.digest().to_string() == artifact);
        found
            .cloned()
            .ok_or_else(|| Status::not_found("no such artifact"))
    }
}

#[tonic::async_trait]
impl Artifacts for Service {
    async fn get_index(
        &self,
        request: Request<wire::GetIndexRequest>,
    ) -> Result<Response<wire::GetIndexResponse>, Status> {
        let image = self.image(&request.get_ref().artifact)?;
        Ok(Response::new(wire::GetIndexResponse {
            index: image.index.canonical_json(),
        }))
    }

    type FetchChunksStream = Pin<Box<dyn Stream<Item = Result<wire::Chunk, Status>> + Send>>;

    async fn fetch_chunks(
        &self,
        request: Request<wire::FetchChunksRequest>,
    ) -> Result<Response<Self::FetchChunksStream>, Status> {
        let request = request.into_inner();
        let image = self.image(&request.artifact)?;
        let diff_id: Digest = request.diff_id.parse().unwrap();
        let (first, count) = (request.first_chunk, request.chunk_count);
        self.0.asked.lock().unwrap().push(Asked {
            diff_id,
            first,
            count,
        });
        let fault = self.0.faults.lock().unwrap().pop_front();
        let chunks = stream::iter(first..first + count).then(move |number| {
            let image = image.clone();
            let sent = (number - first) as usize;
            async move {
                match fault {
                    Some(Fault::CutAfter(chunks)) if chunks == sent => {
                        return vec![Err(Status::unavailable("the cable was pulled"))];
                    }
                    Some(Fault::SilentAfter(chunks)) if chunks == sent => {
                        std::future::pending().await
                    }
                    _ => {}
                }
                let is_corrupted = fault == Some(Fault::Corrupted) && sent == 0;
                let frame =
                    tokio::task::spawn_blocking(move || image.frame(&diff_id, number as usize));
                let mut frame = frame.await.unwrap().unwrap();
                if is_corrupted {
                    let length = frame.len();
                    frame = zstd::bulk::compress(&vec![7; 4 << 20], 1).unwrap();
                    frame.resize(length, 0);
                }
                parts(number, &frame)
            }
        });
        Ok(Response::new(Box::pin(chunks.flat_map(stream::iter))))
    }

    type FetchPatchesStream = Pin<Box<dyn Stream<Item = Result<wire::Patch, Status>> + Send>>;

    async fn fetch_patches(
        &self,
        _: Request<wire::FetchPatchesRequest>,
    ) -> Result<Response<Self::FetchPatchesStream>, Status> {
        Err(Status::unimplemented("an older coordinator"))
    }

    type JoinStream = stream::Empty<Result<wire::JoinResponse, Status>>;

    async fn join(
        &self,
        _: Request<Streaming<wire::JoinRequest>>,
    ) -> Result<Response<Self::JoinStream>, Status> {
        Err(Status::unimplemented("one host fetches alone here"))
    }
}

fn parts(number: u32, frame: &[u8]) -> Vec<Result<wire::Chunk, Status>> {
    let last = frame.len().div_ceil(PART_BYTES) - 1;
    let parts = frame.chunks(PART_BYTES).enumerate();
    parts
        .map(|(at, part)| {
            Ok(wire::Chunk {
                number,
                frame_part: part.to_vec().into(),
                last_part: at == last,
            })
        })
        .collect()
}
