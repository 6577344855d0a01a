//! What becomes of the chunks of images that come in, and of those that are refused.

use super::stored::large_layer;
use super::*;

/// An archive whose layer is stored before it turns out to be no image.
fn refused_archive(layer: &[u8]) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    file(&mut builder, "a/layer.tar", layer, 1);
    builder.into_inner().unwrap()
}

#[test]
fn a_refused_image_leaves_no_chunk_and_takes_none_of_another_image() {
    let (folder, store) = open();
    let chunks = folder.path().join("chunks");
    take(&store, &refused_archive(&large_layer())).unwrap_err();
    assert_eq!(count(&chunks), 0);
    let received = take(&store, &docker_archive(&[large_layer()], false, 1)).unwrap();
    take(&store, &refused_archive(&large_layer())).unwrap_err();
    take(&store, &refused_archive(&layer(1))).unwrap_err();
    assert_eq!(count(&chunks), 3);
    for chunk in &received.index.layers[0].chunks {
        store.verify_frame(chunk).unwrap();
    }
}

#[test]
fn what_comes_with_an_image_and_is_not_part_of_it_goes() {
    let (folder, store) = open();
    let mut archive = Builder::new(Vec::new());
    file(&mut archive, "stray/layer.tar", &large_layer(), 1);
    let mut archive = archive.into_inner().unwrap();
    archive.truncate(archive.len() - 1024);
    archive.extend(docker_archive(&[layer(1)], false, 1));
    let received = take(&store, &archive).unwrap();
    assert_eq!(count(&folder.path().join("chunks")), 1);
    store
        .verify_frame(&received.index.layers[0].chunks[0])
        .unwrap();
}

/// Gives `bytes`, and runs `then` once before the end.
struct AndThen<'a, F: FnOnce()>(Cursor<&'a [u8]>, Option<F>);

impl<F: FnOnce()> std::io::Read for AndThen<'_, F> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let got = self.0.read(buffer)?;
        if got == 0
            && let Some(then) = self.1.take()
        {
            then();
        }
        Ok(got)
    }
}

#[test]
fn a_chunk_that_two_intakes_share_goes_with_neither_if_one_of_them_is_an_image() {
    let (folder, store) = open();
    let chunks = folder.path().join("chunks");
    let refused = refused_archive(&large_layer());
    let good = docker_archive(&[large_layer()], false, 1);
    // The other intake begins and ends while the refused one has stored its layer.
    let other = || {
        take(&store, &refused).unwrap_err();
        assert_eq!(count(&chunks), 3, "the first still needs them");
        take(&store, &good).unwrap();
    };
    let input = AndThen(Cursor::new(&refused), Some(other));
    let origin = Origin::Foreign;
    receive(input, &store, origin, &Secrets::default(), &|_| {}).unwrap_err();
    assert_eq!(count(&chunks), 3);
    let received = take(&store, &good).unwrap();
    for chunk in &received.index.layers[0].chunks {
        store.verify_frame(chunk).unwrap();
    }
}

#[test]
fn sweeping_removes_chunks_of_no_image_and_nothing_else() {
    let (folder, store) = open();
    let received = take(&store, &docker_archive(&[layer(1)], false, 1)).unwrap();
    // A crash in the middle of an intake leaves whole chunks of an image that is none.
    let left = folder.path().join("chunks").join(id(7));
    fs::write(&left, vec![0; 2 << 20]).unwrap();
    let sweep = || {
        assert_eq!(
            store.sweep().unwrap(),
            0,
            "an intake's chunks are not swept"
        )
    };
    let refused = refused_archive(&large_layer());
    assert_eq!(store.sweep().unwrap(), 2 << 20);
    assert!(!left.exists());
    let input = AndThen(Cursor::new(&refused), Some(sweep));
    receive(input, &store, Origin::Foreign, &Secrets::default(), &|_| {}).unwrap_err();
    assert_eq!(count(&folder.path().join("chunks")), 1);
    store
        .verify_frame(&received.index.layers[0].chunks[0])
        .unwrap();
}

/// A disk of its own, which is small.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount(mebibytes: u32) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let size = format!("size={mebibytes}m");
        let mut mount = std::process::Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &size, "tfleet-test"]);
        let status = mount.arg(folder.path()).status().unwrap();
        assert!(status.success(), "a small disk needs root to be mounted");
        Self(folder)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let mut unmount = std::process::Command::new("umount");
        let _ = unmount.arg("--lazy").arg(self.0.path()).status();
    }
}

#[test]
fn an_image_that_has_no_room_is_refused_with_numbers_while_the_database_still_has_some() {
    let disk = SmallDisk::mount(64);
    let store = Artifacts::open(disk.0.path()).unwrap();
    let received = take(&store, &docker_archive(&[layer(1)], false, 1)).unwrap();
    let mut noise = Vec::new();
    let mut block = Digest::of(b"noise");
    while noise.len() < 80 << 20 {
        block = Digest::of(block.as_bytes());
        noise.extend_from_slice(block.as_bytes());
    }
    let mut builder = Builder::new(Vec::new());
    file(&mut builder, "lib/noise", &noise, 1);
    let large = docker_archive(&[builder.into_inner().unwrap()], false, 1);

    let least_free = std::sync::atomic::AtomicU64::new(u64::MAX);
    let watch = |_| {
        let free = store.free_bytes().unwrap();
        least_free.fetch_min(free, std::sync::atomic::Ordering::Relaxed);
    };
    let input = Cursor::new(&large);
    let error = receive(input, &store, Origin::Foreign, &Secrets::default(), &watch).unwrap_err();
    let ArchiveError::Store(error) = error else {
        panic!("{error}")
    };
    let spare = spare_bytes(disk.0.path()).unwrap();
    assert_eq!(spare, (64 << 20) / 20);
    assert!(least_free.into_inner() >= spare);
    let failure = error.failure();
    assert_eq!(failure.code, "disk-full");
    assert!(failure.message.contains("0.003 GB are kept"), "{failure}");

    // What was there is whole, what was not is gone, and what has room is taken.
    assert_eq!(count(&disk.0.path().join("chunks")), 1);
    let index = store.index(&received.artifact).unwrap().unwrap();
    store.verify_frame(&index.layers[0].chunks[0]).unwrap();
    take(&store, &docker_archive(&[large_layer()], false, 1)).unwrap();
}

#[test]
fn a_refused_image_that_mends_one_that_is_there_leaves_it_mended() {
    let (folder, store) = open();
    let received = take(&store, &docker_archive(&[large_layer()], false, 1)).unwrap();
    let chunk = received.index.layers[0].chunks[0];
    super::super::chunk::set_aside(&folder.path().join("chunks"), &chunk.digest).unwrap();
    fs::remove_file(folder.path().join("chunks").join(chunk.digest.hex())).unwrap();
    take(&store, &refused_archive(&large_layer())).unwrap_err();
    store.verify_frame(&chunk).unwrap();
}
