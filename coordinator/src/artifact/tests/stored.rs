//! What lies on the disk, and what comes back from it.

use std::io::Read as _;

use tfleet_proto::model::artifact::LARGEST_CHUNK_BYTES;

use super::*;

/// A layer of several chunks, which does not compress to nothing.
pub fn large_layer() -> Vec<u8> {
    let mut content = Vec::new();
    let mut block = Digest::of(b"seed");
    while content.len() < 9 << 20 {
        block = Digest::of(block.as_bytes());
        content.extend_from_slice(&block.as_bytes()[..16]);
        content.extend_from_slice(&[0; 48]);
    }
    let mut builder = Builder::new(Vec::new());
    file(&mut builder, "lib/large.so", &content, 1);
    builder.into_inner().unwrap()
}

#[test]
fn a_layer_is_cut_into_chunks_that_add_up_to_it() {
    let (_folder, store) = open();
    let received = take(&store, &docker_archive(&[large_layer()], false, 1)).unwrap();
    let layer = &received.index.layers[0];
    assert_eq!(layer.chunks.len(), 3);
    assert!(
        layer.chunks[..2]
            .iter()
            .all(|chunk| chunk.content_bytes == LARGEST_CHUNK_BYTES)
    );
    let mut content = Vec::new();
    LayerContent::new(&store, layer)
        .read_to_end(&mut content)
        .unwrap();
    assert_eq!(Digest::of(&content), layer.diff_id);
    assert_eq!(content.len() as u64, layer.size_bytes);
}

#[test]
fn the_same_image_again_writes_no_chunk_again() {
    let (folder, store) = open();
    let archive = docker_archive(&[large_layer()], false, 1);
    take(&store, &archive).unwrap();
    let times = || -> Vec<_> {
        let files = fs::read_dir(folder.path().join("chunks")).unwrap();
        let mut times: Vec<_> = files
            .map(|file| file.unwrap())
            .map(|file| {
                (
                    file.file_name(),
                    file.metadata().unwrap().modified().unwrap(),
                )
            })
            .collect();
        times.sort();
        times
    };
    let before = times();
    take(&store, &archive).unwrap();
    assert_eq!(times(), before);
}

#[test]
fn what_a_rebuilt_archive_holds_is_the_same_artifact() {
    let (_folder, store) = open();
    let received = take(&store, &docker_archive(&[layer(1), large_layer()], true, 1)).unwrap();
    let mut archive = Vec::new();
    rebuild(&store, &received.index, "tfleet/base:1", &mut archive).unwrap();
    assert_eq!(take(&store, &archive).unwrap(), received);
}

#[test]
fn a_damaged_short_or_missing_chunk_is_never_given_out() {
    let (folder, store) = open();
    let received = take(&store, &docker_archive(&[large_layer()], false, 1)).unwrap();
    let chunk = received.index.layers[0].chunks[1];
    let path = folder.path().join("chunks").join(chunk.digest.hex());
    let whole = fs::read(&path).unwrap();
    store.verify_frame(&chunk).unwrap();

    let damage = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        let error = store.verify_frame(&chunk).unwrap_err();
        assert!(matches!(error, StoreError::Chunk { .. }), "{error}");
        assert_eq!(error.failure().code, "artifact-damaged");
        assert!(!path.exists(), "it is set aside");
        fs::write(&path, bytes).unwrap();
        let mut content = Vec::new();
        LayerContent::new(&store, &received.index.layers[0])
            .read_to_end(&mut content)
            .unwrap_err();
        assert!(content.len() as u64 <= LARGEST_CHUNK_BYTES);
    };
    let mut flipped = whole.clone();
    flipped[1000] ^= 1;
    damage(&flipped);
    damage(&whole[..whole.len() / 2]);
    damage(b"");
    assert!(!path.exists());
    assert!(store.verify_frame(&chunk).is_err());
}

#[test]
fn a_damaged_chunk_is_set_aside_and_stored_anew_with_its_image() {
    let (folder, store) = open();
    let archive = docker_archive(&[large_layer()], false, 1);
    let received = take(&store, &archive).unwrap();
    let chunk = received.index.layers[0].chunks[1];
    let path = folder.path().join("chunks").join(chunk.digest.hex());
    let aside = path.with_extension("damaged");
    let whole = fs::read(&path).unwrap();
    let mut flipped = whole.clone();
    flipped[1000] ^= 1;
    fs::write(&path, &flipped).unwrap();
    // Its length is right, and nobody has read it yet.
    assert!(store.known(&received.artifact).unwrap().is_some());

    let refusal = store.verify_frame(&chunk).unwrap_err().failure();
    assert!(refusal.message.contains(&chunk.digest.to_string()));
    assert!(refusal.remedy.unwrap().contains("build the release again"));
    assert_eq!(fs::read(&aside).unwrap(), flipped);
    assert_eq!(store.known(&received.artifact).unwrap(), None);

    assert_eq!(take(&store, &archive).unwrap(), received);
    assert_eq!(fs::read(&path).unwrap(), whole);
    store.verify_frame(&chunk).unwrap();
    assert!(store.known(&received.artifact).unwrap().is_some());
    store.sweep().unwrap();
    assert!(!aside.exists());
}

#[test]
fn a_damaged_chunk_that_nobody_has_read_is_stored_anew_too() {
    let (folder, store) = open();
    let archive = docker_archive(&[large_layer()], false, 1);
    let received = take(&store, &archive).unwrap();
    let chunk = received.index.layers[0].chunks[0];
    let path = folder.path().join("chunks").join(chunk.digest.hex());
    let mut bytes = fs::read(&path).unwrap();
    bytes[7] ^= 1;
    fs::write(&path, bytes).unwrap();
    take(&store, &archive).unwrap();
    store.verify_frame(&chunk).unwrap();
}

#[test]
fn a_chunk_that_was_stored_anew_meanwhile_keeps_its_name() {
    let (folder, store) = open();
    let received = take(&store, &docker_archive(&[layer(1)], false, 1)).unwrap();
    let chunk = received.index.layers[0].chunks[0];
    super::super::chunk::set_aside(&folder.path().join("chunks"), &chunk.digest).unwrap();
    store.verify_frame(&chunk).unwrap();
}

#[test]
fn an_image_that_lacks_a_chunk_or_has_a_short_one_is_not_known() {
    let (folder, store) = open();
    let received = take(&store, &docker_archive(&[layer(1)], false, 1)).unwrap();
    let chunk = received.index.layers[0].chunks[0];
    let path = folder.path().join("chunks").join(chunk.digest.hex());
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[1..]).unwrap();
    assert_eq!(store.known(&received.artifact).unwrap(), None);
    fs::remove_file(&path).unwrap();
    assert_eq!(store.known(&received.artifact).unwrap(), None);
    fs::write(&path, whole).unwrap();
    assert_eq!(
        store.known(&received.artifact).unwrap(),
        Some(received.index)
    );
}

#[test]
fn a_damaged_index_is_not_known_and_is_written_anew() {
    let (folder, store) = open();
    let archive = docker_archive(&[layer(1)], false, 1);
    let received = take(&store, &archive).unwrap();
    let path = folder.path().join("indexes").join(received.artifact.hex());
    fs::write(&path, b"{").unwrap();
    assert_eq!(store.known(&received.artifact).unwrap(), None);
    take(&store, &archive).unwrap();
    assert_eq!(
        store.known(&received.artifact).unwrap(),
        Some(received.index)
    );
}

#[test]
fn any_zstd_decoder_reads_a_chunk_in_spite_of_its_trailer() {
    let (folder, store) = open();
    let received = take(&store, &docker_archive(&[layer(1)], false, 1)).unwrap();
    let chunk = received.index.layers[0].chunks[0];
    let file = fs::File::open(folder.path().join("chunks").join(chunk.digest.hex())).unwrap();
    assert_eq!(Digest::of(&zstd::decode_all(file).unwrap()), chunk.digest);
}

#[test]
fn opening_removes_what_a_crash_left_and_keeps_what_is_whole() {
    let (folder, store) = open();
    let received = take(&store, &docker_archive(&[layer(1)], false, 1)).unwrap();
    let left = folder
        .path()
        .join("chunks")
        .join(format!("{}.7.part", id(1)));
    fs::write(&left, b"half").unwrap();
    let store = Artifacts::open(folder.path()).unwrap();
    assert!(!left.exists());
    assert_eq!(
        store.index(&received.artifact).unwrap(),
        Some(received.index)
    );
}

#[test]
fn a_chunk_file_that_a_crash_left_empty_is_written_again() {
    let (folder, store) = open();
    let archive = docker_archive(&[layer(1)], false, 1);
    let received = take(&store, &archive).unwrap();
    let chunk = received.index.layers[0].chunks[0];
    fs::write(folder.path().join("chunks").join(chunk.digest.hex()), b"").unwrap();
    take(&store, &archive).unwrap();
    store.verify_frame(&chunk).unwrap();
}

#[test]
fn an_index_that_was_tampered_with_is_not_given_out() {
    let (folder, store) = open();
    let received = take(&store, &docker_archive(&[layer(1)], false, 1)).unwrap();
    let path = folder.path().join("indexes").join(received.artifact.hex());
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("PATH=/bin", "PATH=/tmp")).unwrap();
    assert!(matches!(
        store.index(&received.artifact),
        Err(StoreError::IndexDigest { .. })
    ));
}
