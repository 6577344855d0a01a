use std::io::Cursor;

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tempfile::TempDir;
use tfleet_proto::model::artifact::Chunk;
use zstd::zstd_safe::DCtx;

use super::catalogue::Catalogue;
use super::sketch::sketch;
use super::*;
use crate::artifact::{Origin, Secrets, receive};

fn noise(seed: u64, bytes: usize) -> Vec<u8> {
    let mut content = vec![0; bytes];
    StdRng::seed_from_u64(seed).fill_bytes(&mut content);
    content
}

#[test]
fn a_sketch_moves_with_the_content() {
    let content = noise(1, 4 << 20);
    let before = sketch(&content);
    assert!((300..800).contains(&before.len()), "{}", before.len());
    let moved = sketch(
        &[
            &noise(2, 1000)[..],
            &content[..2 << 20],
            &noise(3, 77),
            &content[2 << 20..],
        ]
        .concat(),
    );
    let common = before
        .iter()
        .filter(|feature| moved.binary_search(feature).is_ok());
    assert!(common.count() + 10 > before.len());
    assert!(
        sketch(&[0; 1 << 20]).len() <= 1,
        "zeros say one thing at most"
    );
    assert!(sketch(&[]).is_empty());
}

#[test]
fn the_chunks_that_have_the_most_together_are_the_most_like() {
    let parts: Vec<Vec<u8>> = (0..4).map(|seed| noise(seed, 1 << 20)).collect();
    let chunk = |places: &[usize]| {
        sketch(
            &places
                .iter()
                .flat_map(|place| parts[*place].clone())
                .collect::<Vec<_>>(),
        )
    };
    let catalogue = Catalogue::new([chunk(&[0, 1]), chunk(&[3]), chunk(&[1]), chunk(&[2])]);
    assert_eq!(
        catalogue.most_like(&chunk(&[0, 1, 2])),
        [0, 3],
        "the third has nothing that the first has not"
    );
    assert_eq!(catalogue.most_like(&chunk(&[2, 3])), [1, 3]);
    assert!(catalogue.most_like(&sketch(&noise(9, 1 << 20))).is_empty());
    let everywhere = Catalogue::new((0..20).map(|_| chunk(&[0])));
    assert!(
        everywhere.most_like(&chunk(&[0])).is_empty(),
        "what every chunk has says nothing"
    );
}

/// Stores an image of one layer that holds a file with this content.
fn store(artifacts: &Artifacts, content: &[u8]) -> (Digest, ArtifactIndex) {
    let mut root = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_ustar();
    header.set_size(content.len() as u64);
    header.set_mode(0o644);
    root.append_data(&mut header, "library.so", content)
        .unwrap();
    let origin = Origin::RootFileSystem {
        architecture: tfleet_compat::Architecture::X86_64,
    };
    let root = Cursor::new(root.into_inner().unwrap());
    let received = receive(root, artifacts, origin, &Secrets::default(), &|_| {}).unwrap();
    (received.artifact, received.index)
}

fn content_of(artifacts: &Artifacts, index: &ArtifactIndex, digest: &Digest) -> Vec<u8> {
    let chunk = index
        .chunks()
        .find(|chunk| chunk.digest == *digest)
        .unwrap();
    artifacts.content(chunk).unwrap()
}

fn applied(
    artifacts: &Artifacts,
    old: &ArtifactIndex,
    set: &PatchSet,
    patch: &Patch,
    chunk: &Chunk,
) -> Vec<u8> {
    let contents = patch
        .references
        .iter()
        .map(|digest| content_of(artifacts, old, digest));
    let prefix = contents.collect::<Vec<_>>().concat();
    let mut content = Vec::with_capacity(chunk.content_bytes as usize);
    let mut context = DCtx::create();
    context.ref_prefix(&prefix).unwrap();
    context
        .decompress(&mut content, &set.frame(patch).unwrap())
        .unwrap();
    content
}

#[tokio::test]
async fn a_chunk_is_made_of_those_that_it_was_before() {
    let folder = TempDir::new().unwrap();
    let artifacts = Artifacts::open(folder.path()).unwrap();
    let before = noise(1, 11 << 20);
    // Everything moves, something changes, and there is something new at the end.
    let after = [
        &noise(2, 333)[..],
        &before[..6 << 20],
        &noise(3, 5000),
        &before[6 << 20..],
        &noise(4, 4 << 20),
    ]
    .concat();
    let (old, old_index) = store(&artifacts, &before);
    let (new, new_index) = store(&artifacts, &after);
    let tasks = TaskTracker::new();
    let patches = Patches::new(artifacts.clone(), tasks.clone(), CancellationToken::new());
    let set = patches.of((new, &new_index), (old, &old_index)).unwrap();
    let again = patches.of((new, &new_index), (old, &old_index)).unwrap();
    assert!(Arc::ptr_eq(&set, &again), "they are made once");

    assert_eq!(
        set.chunks()
            .map(|(_, number, _)| number)
            .collect::<Vec<_>>(),
        [0, 1, 2, 3]
    );
    for (place, _, chunk) in set.chunks().take(2) {
        let patch = set.patch(place).await.unwrap();
        let content = applied(&artifacts, &old_index, &set, &patch, &chunk);
        assert_eq!(Digest::of(&content), chunk.digest);
    }
    assert_eq!(set.patch(3).await, None, "noise is not made of anything");
    assert_eq!(set.patch(4).await, None, "there is no such chunk");
    tasks.close();
    tasks.wait().await;
    assert!(!set.was_cut_short());
    assert!(set.bytes() < 2 << 20, "{}", set.bytes());
}

#[tokio::test]
async fn what_a_stop_cut_short_waits_for_nothing_and_is_made_anew() {
    let folder = TempDir::new().unwrap();
    let artifacts = Artifacts::open(folder.path()).unwrap();
    let (old, old_index) = store(&artifacts, &noise(1, 1 << 20));
    let (new, new_index) = store(&artifacts, &noise(1, 1 << 19));
    let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
    stop.cancel();
    let patches = Patches::new(artifacts, tasks.clone(), stop);
    let set = patches.of((new, &new_index), (old, &old_index)).unwrap();
    assert_eq!(set.patch(0).await, None);
    tasks.close();
    tasks.wait().await;
    assert!(set.was_cut_short());
    let again = patches.of((new, &new_index), (old, &old_index)).unwrap();
    assert!(!Arc::ptr_eq(&set, &again));
}

#[tokio::test]
async fn what_nobody_waits_for_any_more_is_not_made() {
    let folder = TempDir::new().unwrap();
    let artifacts = Artifacts::open(folder.path()).unwrap();
    let (old, old_index) = store(&artifacts, &noise(1, 1 << 20));
    let (new, new_index) = store(&artifacts, &noise(1, 1 << 19));
    let tasks = TaskTracker::new();
    let patches = Patches::new(artifacts, tasks.clone(), CancellationToken::new());
    let asked = || patches.of((new, &new_index), (old, &old_index)).unwrap();
    let set = Arc::downgrade(&asked());
    tasks.close();
    tasks.wait().await;
    assert!(set.upgrade().unwrap().was_cut_short());
    assert!(
        asked().patch(0).await.is_some(),
        "the next who asks has it made"
    );
}

#[test]
fn of_what_a_host_keeps_that_with_most_in_common_is_the_most_like() {
    let folder = TempDir::new().unwrap();
    let artifacts = Artifacts::open(folder.path()).unwrap();
    let common = noise(1, 9 << 20);
    let (_, wanted) = store(&artifacts, &common);
    let kept = |content: &[u8]| {
        let (artifact, index) = store(&artifacts, content);
        let chunks = ChunkSet::full(index.chunks().count() as u32);
        Kept {
            artifact,
            index,
            chunks,
        }
    };
    let (strange, like) = (
        kept(&noise(2, 5 << 20)),
        kept(&[&common[..], b"more"].concat()),
    );
    let (first, second) = (strange.artifact, like.artifact);
    assert_eq!(
        most_like(&wanted, &[strange, like]).unwrap().artifact,
        second
    );
    let strangers = [kept(&noise(2, 5 << 20)), kept(&noise(3, 5 << 20))];
    assert_eq!(
        most_like(&wanted, &strangers).unwrap().artifact,
        first,
        "the newest of those with nothing"
    );
    assert!(most_like(&wanted, &[]).is_none());
    let mut hardly = kept(&[&common[..], b"more"].concat());
    hardly.chunks = ChunkSet::empty(hardly.chunks.chunks());
    let whole = kept(&[&common[..], b"even more"].concat());
    let second = whole.artifact;
    assert_eq!(
        most_like(&wanted, &[hardly, whole]).unwrap().artifact,
        second,
        "only what is kept counts"
    );
}
