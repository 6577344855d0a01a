//! Who is served, and who is not, over real TLS.

use std::collections::BTreeMap;
use std::time::Duration;

use tfleet_proto::channel::{self, Trust};
use tfleet_proto::model::swarm::{ChunkNumber, ChunkSet, Neighbour};
use tfleet_proto::wire;
use tfleet_proto::wire::exchange_request::Said as ToPeer;
use tfleet_proto::wire::peers_client::PeersClient;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tonic::{Code, Status};

use super::testing::TestHost;
use super::*;
use crate::identity::testing::Authority;

const CHUNKS: u32 = 8;
/// The chunk that an earlier life of the agent left damaged.
const DAMAGED: u32 = 6;
const FRAME_BYTES: u64 = 600_000;

/// Has everything; what it sends is the chunk's number.
#[derive(Debug)]
struct Numbers;

impl Frames for Numbers {
    fn verify(&self, chunk: &Chunk) -> bool {
        chunk.content_bytes as u32 != DAMAGED
    }

    fn read(&self, chunk: &Chunk, offset: u64, length: usize) -> Option<Bytes> {
        let start = offset as usize;
        Some(content(chunk.content_bytes as u32).slice(start..start + length))
    }

    fn land(&self) -> io::Result<NamedTempFile> {
        NamedTempFile::new()
    }
}

/// The `number`th chunk's frame: longer than what is read at once.
fn content(number: u32) -> Bytes {
    vec![number as u8; FRAME_BYTES as usize].into()
}

fn chunks() -> Arc<[Chunk]> {
    let chunk = |number| Chunk {
        digest: Digest::of(&[number as u8]),
        content_bytes: number,
        frame_bytes: FRAME_BYTES,
    };
    (0..u64::from(CHUNKS)).map(chunk).collect()
}

fn artifact() -> Digest {
    Digest::of(b"artifact")
}

fn serve(host: &TestHost, askers: &[&TestHost]) -> Arc<Share> {
    let share = host.peers.share(artifact(), chunks(), Arc::new(Numbers));
    let named = askers.iter().map(|asker| (asker.key, asker.named().peer));
    share.set_askers(named.collect());
    share
}

/// Talks to `neighbour`, and gives what it says.
fn talk(
    asker: &TestHost,
    neighbour: Neighbour,
    tasks: &mut JoinSet<std::convert::Infallible>,
) -> (mpsc::Sender<Request>, mpsc::Receiver<Said>) {
    let (requests, taken) = mpsc::channel(64);
    let (events, heard) = mpsc::channel(64);
    let ear = Ear::new(neighbour.peer, 0, events);
    let peers = asker.peers.clone();
    let artifact = Artifact {
        digest: artifact(),
        chunks: chunks(),
        frames: Arc::new(Numbers),
    };
    tasks.spawn(converse(peers, artifact, neighbour, taken, ear));
    (requests, heard)
}

async fn next(heard: &mut mpsc::Receiver<Said>) -> Event {
    loop {
        let said = timeout(Duration::from_secs(20), heard.recv()).await;
        match said.unwrap().unwrap().event {
            Event::Heard(_) => {}
            event => return event,
        }
    }
}

/// What a host answers that is asked by a caller that it does not expect.
async fn refusal(asker: &TestHost, asked: &TestHost) -> Result<Status, channel::ConnectError> {
    let trust = Trust::Host {
        identity: asker.peers.identity(),
        key: asked.key,
    };
    let address = asked.named().address.unwrap().parse().unwrap();
    let channel = channel::connect(&address, trust).await?;
    let first = wire::ExchangeRequest {
        said: Some(ToPeer::Artifact(artifact().to_string())),
    };
    let mut client = PeersClient::new(channel);
    let exchange = client.exchange(futures::stream::iter([first]));
    Ok(exchange.await.err().unwrap_or_else(|| Status::ok("served")))
}

#[tokio::test]
async fn a_named_host_is_told_what_is_here_and_what_comes_and_is_sent_what_it_asks_for() {
    let fleet = Authority::new();
    let (server, asker) = (TestHost::new(&fleet, 0), TestHost::new(&fleet, 1));
    let share = serve(&server, &[&asker]);
    share.gained(ChunkNumber(3));
    let mut tasks = JoinSet::new();
    let (requests, mut heard) = talk(&asker, server.named(), &mut tasks);
    let mut has = ChunkSet::empty(CHUNKS);
    has.insert(ChunkNumber(3));
    assert!(matches!(next(&mut heard).await, Event::Has(set) if set == has));
    share.gained(ChunkNumber(5));
    assert!(matches!(next(&mut heard).await, Event::Gained(chunks) if chunks == [ChunkNumber(5)]));
    for number in [5, 3] {
        requests
            .send(Request::Ask(ChunkNumber(number)))
            .await
            .unwrap();
        match next(&mut heard).await {
            Event::Frame(chunk, frame) => {
                let frame = std::fs::read(frame.path()).unwrap();
                assert_eq!(
                    (chunk, frame),
                    (ChunkNumber(number), content(number).to_vec())
                );
            }
            other => panic!("{other:?}"),
        }
    }
    requests
        .send(Request::Ask(ChunkNumber(CHUNKS)))
        .await
        .unwrap();
    assert!(matches!(
        next(&mut heard).await,
        Event::Busy(ChunkNumber(CHUNKS))
    ));
    // The coordinator no longer names it.
    share.set_askers(BTreeMap::new());
    assert!(matches!(next(&mut heard).await, Event::Lost));
}

#[tokio::test]
async fn who_is_no_longer_named_leaves_its_slots_to_others() {
    let fleet = Authority::new();
    let hosts: Vec<TestHost> = (0..3).map(|number| TestHost::new(&fleet, number)).collect();
    let share = serve(&hosts[0], &[&hosts[1]]);
    (0..CHUNKS).for_each(|number| share.gained(ChunkNumber(number)));
    let mut tasks = JoinSet::new();
    let (greedy, mut heard) = talk(&hosts[1], hosts[0].named(), &mut tasks);
    assert!(matches!(next(&mut heard).await, Event::Has(_)));
    for number in 0..CHUNKS {
        greedy
            .send(Request::Ask(ChunkNumber(number)))
            .await
            .unwrap();
    }
    // It reads nothing more, and the chunks do not fit into what is on the way: all slots are taken.
    assert!(matches!(next(&mut heard).await, Event::Frame(..)));
    share.set_askers([(hosts[2].key, hosts[2].named().peer)].into());
    let (patient, mut heard) = talk(&hosts[2], hosts[0].named(), &mut tasks);
    assert!(matches!(next(&mut heard).await, Event::Has(_)));
    patient.send(Request::Ask(ChunkNumber(1))).await.unwrap();
    assert!(matches!(
        next(&mut heard).await,
        Event::Frame(ChunkNumber(1), _)
    ));
}

#[tokio::test]
async fn what_an_earlier_life_left_is_verified_before_it_is_sent() {
    let fleet = Authority::new();
    let (server, asker) = (TestHost::new(&fleet, 0), TestHost::new(&fleet, 1));
    let share = serve(&server, &[&asker]);
    for number in [2, DAMAGED] {
        share.keeps(ChunkNumber(number));
    }
    let mut tasks = JoinSet::new();
    let (requests, mut heard) = talk(&asker, server.named(), &mut tasks);
    assert!(matches!(next(&mut heard).await, Event::Has(set) if set.len() == 2));
    requests
        .send(Request::Ask(ChunkNumber(DAMAGED)))
        .await
        .unwrap();
    assert!(matches!(
        next(&mut heard).await,
        Event::Busy(ChunkNumber(DAMAGED))
    ));
    requests.send(Request::Ask(ChunkNumber(2))).await.unwrap();
    assert!(matches!(
        next(&mut heard).await,
        Event::Frame(ChunkNumber(2), _)
    ));
}

#[tokio::test]
async fn who_was_not_named_is_refused_whether_the_artifact_is_here_or_not() {
    let fleet = Authority::new();
    let hosts: Vec<TestHost> = (0..3).map(|number| TestHost::new(&fleet, number)).collect();
    let nothing_here = refusal(&hosts[1], &hosts[0]).await.unwrap();
    let _share = serve(&hosts[0], &[&hosts[2]]);
    let not_for_you = refusal(&hosts[1], &hosts[0]).await.unwrap();
    for refused in [&nothing_here, &not_for_you] {
        assert_eq!(refused.code(), Code::PermissionDenied);
    }
    assert_eq!(nothing_here.message(), not_for_you.message());
}

#[tokio::test]
async fn another_fleets_host_and_a_host_with_another_key_are_not_talked_to() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let (server, asker) = (TestHost::new(&ours, 0), TestHost::new(&ours, 1));
    let stranger = TestHost::new(&theirs, 2);
    let _share = serve(&server, &[&asker, &stranger]);
    // A stranger at our door, and we at theirs.
    assert!(refusal(&stranger, &server).await.is_err());
    assert!(refusal(&asker, &stranger).await.is_err());
    // At the right address answers a host of the fleet that is not the one that was named.
    let mut impostor = server;
    impostor.key = asker.key;
    assert!(refusal(&asker, &impostor).await.is_err());
}

#[tokio::test]
async fn a_neighbour_that_comes_back_is_heard_again() {
    let fleet = Authority::new();
    let (server, asker) = (TestHost::new(&fleet, 0), TestHost::new(&fleet, 1));
    let share = serve(&server, &[&asker]);
    let mut tasks = JoinSet::new();
    let (_requests, mut heard) = talk(&asker, server.named(), &mut tasks);
    assert!(matches!(next(&mut heard).await, Event::Has(_)));
    server.peers.unshare(&artifact(), &share);
    assert!(matches!(next(&mut heard).await, Event::Lost));
    let share = serve(&server, &[&asker]);
    share.gained(ChunkNumber(1));
    loop {
        match next(&mut heard).await {
            Event::Lost => {}
            Event::Has(set) => return assert!(set.contains(ChunkNumber(1))),
            other => panic!("{other:?}"),
        }
    }
}
