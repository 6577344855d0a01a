use std::io::Cursor;

use futures::TryStreamExt as _;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tempfile::TempDir;
use tfleet_proto::model::swarm::ChunkNumber;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::*;
use crate::artifact::{Origin, Received, Secrets, receive};

/// An image whose one file begins with so many bytes of its own.
fn store(artifacts: &Artifacts, own: usize) -> Received {
    let mut content = vec![0; own + (9 << 20)];
    StdRng::seed_from_u64(7).fill_bytes(&mut content[own..]);
    let mut root = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_ustar();
    header.set_size(content.len() as u64);
    header.set_mode(0o644);
    root.append_data(&mut header, "file", &content[..]).unwrap();
    let root = Cursor::new(root.into_inner().unwrap());
    let origin = Origin::RootFileSystem {
        architecture: tfleet_compat::Architecture::X86_64,
    };
    receive(root, artifacts, origin, &Secrets::default(), &|_| {}).unwrap()
}

fn told(artifact: &str, chunks: &ChunkSet) -> wire::KeptArtifact {
    wire::KeptArtifact {
        artifact: artifact.to_owned(),
        chunks: chunks.to_bytes(),
    }
}

async fn answers(
    artifacts: &Artifacts,
    new: &Received,
    missing: &ChunkSet,
    kept_artifacts: Vec<wire::KeptArtifact>,
) -> Vec<wire::Patch> {
    answers_if(artifacts, new, missing, kept_artifacts, 0).await
}

async fn answers_if(
    artifacts: &Artifacts,
    new: &Received,
    missing: &ChunkSet,
    kept_artifacts: Vec<wire::KeptArtifact>,
    times_smaller: u64,
) -> Vec<wire::Patch> {
    let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
    let made = Arc::new(Patches::new(artifacts.clone(), tasks, stop));
    let asked = Asked {
        artifact: new.artifact,
        index: new.index.clone(),
        missing: missing.to_bytes(),
        kept: kept(artifacts, new.artifact, kept_artifacts).await.unwrap(),
        times_smaller,
    };
    // As in the service, they outlive the stream: else nobody would seem to wait for them.
    let stream = patches(made.clone(), asked).await.unwrap();
    stream.try_collect().await.unwrap()
}

#[tokio::test]
async fn a_host_is_told_of_what_it_lacks_and_only_what_it_can_use() {
    let folder = TempDir::new().unwrap();
    let artifacts = Artifacts::open(folder.path()).unwrap();
    let (old, new) = (store(&artifacts, 0), store(&artifacts, 1000));
    let all = ChunkSet::full(3);
    let name = old.artifact.to_string();
    let patches = answers(&artifacts, &new, &all, vec![told(&name, &all)]).await;
    assert_eq!(
        patches.iter().map(|patch| patch.chunk).collect::<Vec<_>>(),
        [0, 1, 2]
    );
    assert!(
        patches
            .iter()
            .all(|patch| !patch.references.is_empty() && patch.frame.len() < 10_000)
    );

    let mut missing = ChunkSet::empty(3);
    missing.insert(ChunkNumber(1));
    let patches = answers(&artifacts, &new, &missing, vec![told(&name, &all)]).await;
    assert_eq!(
        patches.iter().map(|patch| patch.chunk).collect::<Vec<_>>(),
        [1]
    );

    let mut first = ChunkSet::empty(3);
    first.insert(ChunkNumber(0));
    let patches = answers(&artifacts, &new, &all, vec![told(&name, &first)]).await;
    let usable: Vec<bool> = patches
        .iter()
        .map(|patch| !patch.references.is_empty())
        .collect();
    assert_eq!(
        usable,
        [true, false, false],
        "the others need what this host has not"
    );

    let picky = answers_if(&artifacts, &new, &all, vec![told(&name, &all)], 1_000_000).await;
    assert_eq!(picky.len(), 3);
    let has_nothing = |patch: &wire::Patch| patch.references.is_empty();
    assert!(picky.iter().all(has_nothing), "too large for this host");
}

#[tokio::test]
async fn what_the_coordinator_does_not_have_counts_for_nothing() {
    let folder = TempDir::new().unwrap();
    let artifacts = Artifacts::open(folder.path()).unwrap();
    let new = store(&artifacts, 0);
    let all = ChunkSet::full(3);
    let itself = told(&new.artifact.to_string(), &all);
    let unknown = told(&Digest::of(b"unknown").to_string(), &all);
    assert!(
        answers(&artifacts, &new, &all, vec![itself, unknown])
            .await
            .is_empty()
    );
    let malformed = kept(&artifacts, new.artifact, vec![told("latest", &all)]).await;
    assert_eq!(malformed.unwrap_err().code(), tonic::Code::InvalidArgument);
}
