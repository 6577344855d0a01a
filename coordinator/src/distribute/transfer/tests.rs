//! Who is told of whom, and who gets the slots.

use std::time::Duration;

use tfleet_proto::model::artifact::{ArtifactFormat, Layer};
use tokio::time::timeout;

use super::*;

const CHUNKS: u32 = 100;

/// Large enough that fetching from each other pays.
fn index() -> ArtifactIndex {
    let chunks: Vec<Chunk> = (0..CHUNKS)
        .map(|number| Chunk {
            digest: Digest::of(&number.to_le_bytes()),
            content_bytes: 4 << 20,
            frame_bytes: 4 << 20,
        })
        .collect();
    ArtifactIndex {
        format: ArtifactFormat::V1,
        config: "{}".to_owned(),
        layers: vec![Layer {
            diff_id: Digest::of(b"layer"),
            size_bytes: u64::from(CHUNKS) * (4 << 20),
            chunks,
        }],
    }
}

fn artifact() -> Digest {
    Digest::of(b"artifact")
}

fn participant(number: u32) -> Participant {
    Participant {
        host: format!("host-{number}").parse().unwrap(),
        key: Digest::of(&number.to_le_bytes()),
        address: Some(format!("10.0.0.{number}:7445")),
        place: format!("rack={}", number % 2),
    }
}

fn join(transfers: &Transfers, numbers: std::ops::Range<u32>) -> Vec<Attendance> {
    numbers
        .map(|number| transfers.join(artifact(), &index(), participant(number)))
        .collect()
}

impl Attendance {
    /// What the host is told next.
    async fn told(&mut self) -> Neighbourhood {
        let changed = timeout(Duration::from_secs(10), self.neighbourhood.changed());
        changed.await.unwrap().unwrap();
        self.neighbourhood.borrow_and_update().clone().unwrap()
    }
}

fn hosts(neighbours: &[Neighbour]) -> Vec<&str> {
    let mut hosts: Vec<&str> = neighbours.iter().map(|one| one.host.as_str()).collect();
    hosts.sort_unstable();
    hosts
}

#[tokio::test]
async fn few_hosts_are_told_that_they_have_no_neighbours() {
    let transfers = Transfers::new(TaskTracker::new());
    for mut host in join(&transfers, 0..3) {
        assert_eq!(host.told().await, Neighbourhood::default());
    }
}

#[tokio::test]
async fn many_are_told_of_each_other_and_of_who_comes_and_goes() {
    let transfers = Transfers::new(TaskTracker::new());
    let mut present = join(&transfers, 0..4);
    for host in &mut present {
        assert_eq!(host.told().await.neighbours.len(), 3);
    }
    let mut late = transfers.join(artifact(), &index(), participant(4));
    let told = late.told().await;
    assert_eq!(
        hosts(&told.neighbours),
        ["host-0", "host-1", "host-2", "host-3"]
    );
    assert_eq!(hosts(&told.askers), hosts(&told.neighbours));
    for neighbour in &told.neighbours {
        let even = neighbour.host.as_str().ends_with(['0', '2', '4']);
        assert_eq!(
            neighbour.distance == Distance::Near,
            even,
            "host-4 is in rack 0"
        );
    }
    for host in &mut present {
        assert!(hosts(&host.told().await.neighbours).contains(&"host-4"));
    }
    drop(late);
    for host in &mut present {
        assert!(!hosts(&host.told().await.askers).contains(&"host-4"));
    }
}

#[tokio::test]
async fn a_host_that_serves_nobody_is_named_to_those_whom_it_asks() {
    let transfers = Transfers::new(TaskTracker::new());
    let mut present = join(&transfers, 0..4);
    let silent = Participant {
        address: None,
        ..participant(9)
    };
    let mut silent = transfers.join(artifact(), &index(), silent);
    assert_eq!(silent.told().await.askers, []);
    for host in &mut present {
        let told = host.told().await;
        assert!(!hosts(&told.neighbours).contains(&"host-9"));
        assert!(hosts(&told.askers).contains(&"host-9"));
    }
}

#[tokio::test]
async fn another_stream_of_the_same_host_takes_its_place() {
    let transfers = Transfers::new(TaskTracker::new());
    let first = transfers.join(artifact(), &index(), participant(1));
    let second = transfers.join(artifact(), &index(), participant(1));
    assert!(first.replaced.is_cancelled());
    assert!(!second.replaced.is_cancelled());
    assert_ne!(first.peer, second.peer);
}

#[tokio::test]
async fn slots_go_round_and_come_back_from_who_leaves() {
    let transfers = Transfers::new(TaskTracker::new());
    let mut present = join(&transfers, 0..5);
    let transfer = present[0].transfer.clone();
    for host in &present[..4] {
        (0..10).for_each(|chunk| transfer.ask(host.peer, ChunkNumber(chunk)));
    }
    transfer.ask_any(present[4].peer);
    let taken = |host: &mut Attendance| {
        let mut steps = Vec::new();
        while let Ok(step) = host.steps.try_recv() {
            steps.push(step);
        }
        steps
    };
    let given: Vec<usize> = present.iter_mut().map(|host| taken(host).len()).collect();
    assert_eq!(given, [2, 2, 2, 2, 0]);
    drop(present.remove(0));
    let peer = present[3].peer;
    assert_eq!(taken(&mut present[3]), [Step::Offer(peer)]);
    // Four were sent the first two; one of them has left.
    let mut wanted = ChunkSet::empty(CHUNKS);
    for chunk in 1..3 {
        wanted.insert(ChunkNumber(chunk));
    }
    assert_eq!(transfer.choose(peer, &wanted), Some(ChunkNumber(2)));
}

#[tokio::test]
async fn a_transfer_is_over_when_everybody_has_everything() {
    let transfers = Transfers::new(TaskTracker::new());
    let present = join(&transfers, 0..3);
    let transfer = present[0].transfer.clone();
    for host in &present[..2] {
        transfers.whole(&transfer, host.peer);
        assert!(!transfer.over.is_cancelled());
    }
    // The last one leaves without it.
    drop(present.into_iter().next_back());
    assert!(transfer.over.is_cancelled());
    let late = transfers.join(artifact(), &index(), participant(5));
    assert!(!Arc::ptr_eq(&late.transfer, &transfer), "another transfer");
}
