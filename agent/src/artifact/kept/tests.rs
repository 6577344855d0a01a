use std::time::Duration;

use tempfile::TempDir;
use tfleet_proto::model::artifact::{ArtifactFormat, Layer};

use super::*;

fn frame(content: &[u8]) -> Vec<u8> {
    zstd::bulk::compress(content, 1).unwrap()
}

fn chunk(content: &[u8]) -> Chunk {
    Chunk {
        digest: Digest::of(content),
        content_bytes: content.len() as u64,
        frame_bytes: frame(content).len() as u64,
    }
}

/// An artifact with these chunks, all of which are here and not needed now.
fn keep(root: &Path, contents: &[&[u8]]) -> (Digest, Spool) {
    let index = ArtifactIndex {
        format: ArtifactFormat::V1,
        config: "{}".to_owned(),
        layers: vec![Layer {
            diff_id: Digest::of(&contents.concat()),
            size_bytes: contents.iter().map(|content| content.len() as u64).sum(),
            chunks: contents.iter().map(|content| chunk(content)).collect(),
        }],
    };
    let artifact = index.digest();
    let spool = Spool::open(root, &artifact).unwrap();
    spool.note_index(&index).unwrap();
    for content in contents {
        spool.take(&chunk(content), &frame(content)).unwrap();
    }
    spool::finish(root, &artifact).unwrap();
    (artifact, spool)
}

/// As if it had been finished so long ago.
fn age(root: &Path, artifact: &Digest, seconds: u64) {
    let marker = fs::File::open(root.join(artifact.hex()).join(".finished")).unwrap();
    marker
        .set_modified(SystemTime::now() - Duration::from_secs(seconds))
        .unwrap();
}

fn left(root: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(root).unwrap();
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

const PLENTY: Limit = Limit { bytes: u64::MAX };

#[test]
fn equal_chunks_of_other_artifacts_are_taken_and_cost_no_room() {
    let root = TempDir::new().unwrap();
    keep(root.path(), &[b"common", b"old"]);
    let spool = Spool::open(root.path(), &Digest::of(b"new")).unwrap();
    let kept = others(root.path(), &Digest::of(b"new")).unwrap();
    let wanted = [chunk(b"common"), chunk(b"new")];
    adopt(&spool, wanted.iter(), &kept).unwrap();
    adopt(&spool, wanted.iter(), &kept).unwrap();
    assert_eq!(wanted.map(|chunk| spool.has(&chunk)), [true, false]);
    evict(root.path(), Limit::NOTHING, &BTreeSet::new()).unwrap();
    assert_eq!(
        spool.read(&chunk(b"common")).unwrap().unwrap(),
        "common",
        "it is this artifact's, too"
    );
}

#[test]
fn what_was_done_with_first_goes_first_and_what_is_needed_stays() {
    let root = TempDir::new().unwrap();
    let contents = [b"one", b"two", b"six"].map(|name| name.repeat(40_000));
    let kept = contents
        .each_ref()
        .map(|content| keep(root.path(), &[content]).0);
    for (artifact, age_seconds) in kept.iter().zip([10, 30, 20]) {
        age(root.path(), artifact, age_seconds);
    }
    let names = |artifacts: &[Digest]| artifacts.iter().map(Digest::hex).collect::<BTreeSet<_>>();
    let newest = others(root.path(), &Digest::of(b"new")).unwrap();
    assert_eq!(
        newest.iter().map(|kept| kept.artifact).collect::<Vec<_>>(),
        [kept[0], kept[2], kept[1]]
    );

    evict(root.path(), PLENTY, &BTreeSet::new()).unwrap();
    if has_room(root.path()) {
        assert_eq!(left(root.path()), names(&kept));
    }
    let two = disk_bytes(&root.path().join(kept[0].hex())) * 2;
    evict(root.path(), Limit { bytes: two }, &BTreeSet::new()).unwrap();
    if has_room(root.path()) {
        assert_eq!(left(root.path()), names(&[kept[0], kept[2]]));
    }
    // Wanted again, it is not counted among those that are kept.
    Spool::open(root.path(), &kept[2]).unwrap();
    evict(root.path(), Limit::NOTHING, &BTreeSet::from([kept[0]])).unwrap();
    assert!(left(root.path()).contains(&kept[0].hex()), "it is served");
    evict(root.path(), Limit::NOTHING, &BTreeSet::new()).unwrap();
    assert_eq!(left(root.path()), names(&[kept[2]]));
}

#[test]
fn what_nobody_wants_is_kept_and_what_has_no_index_is_no_source() {
    let root = TempDir::new().unwrap();
    let (wanted, unwanted) = (Digest::of(b"wanted"), Digest::of(b"unwanted"));
    for artifact in [&wanted, &unwanted] {
        Spool::open(root.path(), artifact).unwrap();
    }
    spool::finish_others(root.path(), &BTreeSet::from([wanted])).unwrap();
    let finished = [&wanted, &unwanted]
        .map(|artifact| spool::finished_at(&root.path().join(artifact.hex())).is_some());
    assert_eq!(finished, [false, true]);
    assert!(others(root.path(), &wanted).unwrap().is_empty());
    evict(root.path(), Limit::NOTHING, &BTreeSet::new()).unwrap();
    assert_eq!(left(root.path()), BTreeSet::from([wanted.hex()]));
    spool::finish(root.path(), &unwanted).unwrap();
    evict(
        &root.path().join("nowhere"),
        Limit::NOTHING,
        &BTreeSet::new(),
    )
    .unwrap();
}

#[test]
fn an_index_of_another_artifact_is_not_believed() {
    let root = TempDir::new().unwrap();
    let (artifact, _) = keep(root.path(), &[b"content"]);
    let index = root.path().join(artifact.hex()).join(".index");
    fs::write(index, "{}").unwrap();
    assert!(others(root.path(), &Digest::of(b"new")).unwrap().is_empty());
}
