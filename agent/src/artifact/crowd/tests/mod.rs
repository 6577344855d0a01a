//! Transfers among hosts that live in this process, over real TLS; the coordinator is a stand-in with faults to order.

mod origin;

use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tfleet_proto::model::swarm::Neighbourhood;
use tokio::time::timeout;

use super::*;
use crate::identity::testing::Authority;
use crate::peers::Frames;
use crate::peers::testing::TestHost;
use origin::{CHUNKS, Fault, Origin, content, frame, index};

struct Fetching {
    crowd: Crowd,
    spool: Spool,
    progress: watch::Receiver<ImageProgress>,
    _folder: tempfile::TempDir,
}

fn artifact() -> Digest {
    Digest::of(b"artifact")
}

async fn join(host: &TestHost, origin: &Origin) -> Option<Fetching> {
    let folder = tempfile::tempdir().unwrap();
    join_in(host, origin, folder, 0).await
}

async fn join_in(
    host: &TestHost,
    origin: &Origin,
    folder: tempfile::TempDir,
    present: usize,
) -> Option<Fetching> {
    let spool = Spool::open(folder.path(), &artifact()).unwrap();
    let (sender, progress) = watch::channel(ImageProgress::default());
    let order = Order {
        client: origin.client().await,
        artifact: artifact(),
        index: &index(),
        present,
        spool: spool.clone(),
        progress: sender,
    };
    let crowd = Crowd::join(&host.peers, order).await.unwrap()?;
    Some(Fetching {
        crowd,
        spool,
        progress,
        _folder: folder,
    })
}

impl Fetching {
    /// Waits for each chunk, in order, and reads it.
    async fn all(&mut self) -> Result<(), DeliveryError> {
        let layer = &index().layers[0];
        for (place, chunk) in layer.chunks.iter().enumerate() {
            let arrival = self.crowd.arrival(layer, place);
            timeout(Duration::from_secs(60), arrival).await.unwrap()?;
            let read = self.spool.read(chunk).unwrap();
            assert_eq!(read.unwrap(), content(place as u32));
        }
        Ok(())
    }

    fn bytes(&self) -> (u64, u64) {
        let progress = self.progress.borrow();
        (progress.wire_bytes, progress.peer_bytes)
    }
}

/// Each names all others.
fn acquaint(origin: &Origin, hosts: &[TestHost]) {
    for host in hosts {
        let others = hosts.iter().filter(|other| other.key != host.key);
        let others: Vec<_> = others.map(TestHost::named).collect();
        let neighbourhood = Neighbourhood {
            neighbours: others.clone(),
            askers: others,
        };
        origin.name(host.peers.port(), neighbourhood);
    }
}

fn hosts(count: u32) -> Vec<TestHost> {
    let fleet = Authority::new();
    (0..count)
        .map(|number| TestHost::new(&fleet, number))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_fetch_from_each_other_what_the_coordinator_sent_to_one() {
    let (origin, hosts) = (Origin::start(None).await, hosts(4));
    acquaint(&origin, &hosts);
    let mut fetching = Vec::new();
    for host in &hosts {
        fetching.push(join(host, &origin).await.unwrap());
    }
    let (mut wire, mut peers) = (0, 0);
    for one in &mut fetching {
        one.all().await.unwrap();
    }
    for one in &fetching {
        wire += one.bytes().0;
        peers += one.bytes().1;
    }
    let copy: u64 = index().layers[0].frame_bytes();
    assert!(wire >= 4 * copy);
    assert!(peers > 0, "everything came from the coordinator");
    let sent = origin.sent().len() as u32;
    assert!(sent < 4 * CHUNKS, "{sent} chunks were sent to 4 hosts");
    let mut numbers = origin.sent();
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers, (0..CHUNKS).collect::<Vec<_>>());
}

#[tokio::test]
async fn without_neighbours_everything_comes_from_the_coordinator_in_order() {
    let (origin, hosts) = (Origin::start(None).await, hosts(1));
    let mut fetching = join(&hosts[0], &origin).await.unwrap();
    fetching.all().await.unwrap();
    assert_eq!(origin.sent(), (0..CHUNKS).collect::<Vec<_>>());
    assert_eq!(fetching.bytes().1, 0);
}

#[tokio::test]
async fn what_is_kept_or_in_the_engine_is_not_fetched() {
    let (origin, hosts) = (Origin::start(None).await, hosts(1));
    let folder = tempfile::tempdir().unwrap();
    keep(folder.path(), 0..10);
    let mut fetching = join_in(&hosts[0], &origin, folder, 0).await.unwrap();
    fetching.all().await.unwrap();
    assert_eq!(origin.sent(), (10..CHUNKS).collect::<Vec<_>>());

    let folder = tempfile::tempdir().unwrap();
    let fetching = join_in(&hosts[0], &origin, folder, 1).await.unwrap();
    let mut arrivals = fetching.crowd.arrivals.clone();
    timeout(Duration::from_secs(20), arrivals.changed())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(origin.sent().len() as u32, CHUNKS - 10);
}

fn keep(root: &Path, numbers: std::ops::Range<u32>) {
    let spool = Spool::open(root, &artifact()).unwrap();
    for number in numbers {
        let chunk = index().layers[0].chunks[number as usize];
        spool.take(&chunk, &frame(number)).unwrap();
    }
}

/// Sends what is not what it should be.
#[derive(Debug, Default)]
struct Liar {
    asked: AtomicU32,
}

impl Frames for Liar {
    fn verify(&self, _chunk: &Chunk) -> bool {
        true
    }

    fn read(&self, _chunk: &Chunk, _offset: u64, length: usize) -> Option<Bytes> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        Some(vec![7; length].into())
    }

    fn land(&self) -> std::io::Result<tempfile::NamedTempFile> {
        tempfile::NamedTempFile::new()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_sends_damaged_chunks_is_left_and_the_rest_comes_from_elsewhere() {
    let (origin, hosts) = (Origin::start(None).await, hosts(2));
    acquaint(&origin, &hosts);
    let liar = Arc::new(Liar::default());
    let chunks = index().layers[0].chunks.clone().into();
    let share = hosts[1].peers.share(artifact(), chunks, liar.clone());
    (0..CHUNKS).for_each(|number| share.gained(ChunkNumber(number)));
    share.set_askers([(hosts[0].key, hosts[0].named().peer)].into());
    let mut fetching = join(&hosts[0], &origin).await.unwrap();
    fetching.all().await.unwrap();
    let asked = liar.asked.load(Ordering::Relaxed);
    assert!(asked > 0, "it was never asked");
    // No more than what was asked of it before its first lie was found.
    let most = crate::swarm::Settings::default().per_peer as u32;
    assert!(asked <= most, "asked {asked} times");
}

#[tokio::test]
async fn a_stream_that_breaks_is_joined_again_and_nothing_is_fetched_twice() {
    let (origin, hosts) = (Origin::start(Some(Fault::CutAfter(25))).await, hosts(2));
    // With a neighbour that has nothing, so that turns are asked for.
    acquaint(&origin, &hosts);
    let mut fetching = join(&hosts[0], &origin).await.unwrap();
    fetching.all().await.unwrap();
    assert!(origin.joined() > 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_coordinator_sends_nothing_neighbours_do() {
    let (origin, hosts) = (Origin::start(Some(Fault::Stingy)).await, hosts(2));
    acquaint(&origin, &hosts);
    let folder = tempfile::tempdir().unwrap();
    keep(folder.path(), 0..CHUNKS);
    let _seed = join_in(&hosts[1], &origin, folder, 0).await.unwrap();
    let mut fetching = join(&hosts[0], &origin).await.unwrap();
    fetching.all().await.unwrap();
    let (wire, peers) = fetching.bytes();
    assert_eq!(wire, peers);
}

#[tokio::test]
async fn a_coordinator_whose_chunks_are_damaged_ends_the_transfer() {
    let (origin, hosts) = (Origin::start(Some(Fault::Damaged)).await, hosts(1));
    let mut fetching = join(&hosts[0], &origin).await.unwrap();
    let failure = fetching.all().await.unwrap_err().failure();
    assert_eq!(failure.code, "artifact-corrupted");
}

#[tokio::test]
async fn an_older_coordinator_knows_no_transfers() {
    let (origin, hosts) = (Origin::start(Some(Fault::Older)).await, hosts(1));
    assert!(join(&hosts[0], &origin).await.is_none());
}
