//! The archive's form, what counts as present, and what survives in the spool.

use std::collections::BTreeSet;
use std::fs;
use std::io::Read as _;

use bytes::BytesMut;
use tempfile::TempDir;
use tfleet_proto::model::artifact::{ArtifactFormat, ArtifactIndex, Chunk, Layer};
use tfleet_proto::model::digest::Digest;
use tfleet_proto::model::inventory::{EngineImage, ImageStore};

use super::archive::Archive;
use super::loaded::Loaded;
use super::presence::present_layers;
use super::space::{self, Need, SpaceError};
use super::spool::{RefusedFrame, Spool};

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

fn layer(content: &[u8]) -> Layer {
    Layer {
        diff_id: Digest::of(content),
        size_bytes: content.len() as u64,
        chunks: vec![chunk(content)],
    }
}

fn index(layers: &[&[u8]]) -> ArtifactIndex {
    ArtifactIndex {
        format: ArtifactFormat::V1,
        config: r#"{"architecture":"amd64"}"#.to_owned(),
        layers: layers.iter().map(|content| layer(content)).collect(),
    }
}

/// Path and content of each entry.
fn written(archive: &Archive<'_>, contents: &[&[u8]]) -> Vec<(String, Vec<u8>)> {
    let mut bytes = BytesMut::from(archive.head("tfleet/loading:1"));
    for layer in archive.layers() {
        bytes.extend_from_slice(&Archive::header(layer));
        let content = contents
            .iter()
            .find(|content| Digest::of(content) == layer.diff_id);
        bytes.extend_from_slice(content.unwrap());
        bytes.extend_from_slice(&Archive::padding(layer));
    }
    bytes.extend_from_slice(&Archive::end());
    assert_eq!(bytes.len() % 512, 0);
    let mut archive = tar::Archive::new(&bytes[..]);
    let entries = archive.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        (entry.path().unwrap().display().to_string(), content)
    });
    entries.collect()
}

#[test]
fn an_archive_names_every_layer_and_holds_those_that_are_missing_once() {
    let contents: [&[u8]; 4] = [b"base", b"middle", b"top", b"middle"];
    let index = index(&contents);
    let archive = Archive::new(&index, 1);
    let entries = written(&archive, &contents);
    let find = |path: &str| {
        let found = entries.iter().find(|(name, _)| name == path);
        found.unwrap_or_else(|| panic!("{path}")).1.as_slice()
    };
    let json = |path: &str| serde_json::from_slice::<serde_json::Value>(find(path)).unwrap();
    let path = |content: &[u8]| format!("blobs/sha256/{}", Digest::of(content).hex());

    let docker = &json("manifest.json")[0];
    let paths: Vec<String> = contents.iter().map(|content| path(content)).collect();
    assert_eq!(docker["Layers"], serde_json::json!(paths));
    assert_eq!(docker["RepoTags"], serde_json::json!(["tfleet/loading:1"]));
    assert_eq!(
        find(docker["Config"].as_str().unwrap()),
        index.config.as_bytes()
    );

    let descriptor = &json("index.json")["manifests"][0];
    assert_eq!(
        descriptor["annotations"]["io.containerd.image.name"],
        "docker.io/tfleet/loading:1"
    );
    assert_eq!(descriptor["digest"], archive.manifest_digest().to_string());
    let manifest = json(&format!("blobs/sha256/{}", archive.manifest_digest().hex()));
    assert_eq!(
        manifest["config"]["digest"],
        archive.config_digest().to_string()
    );
    assert_eq!(
        manifest["layers"][3]["digest"],
        Digest::of(b"middle").to_string()
    );
    assert_eq!(json("oci-layout")["imageLayoutVersion"], "1.0.0");

    assert_eq!(find(&path(b"middle")), b"middle");
    let held = entries.iter().filter(|(name, _)| *name == path(b"middle"));
    assert_eq!(held.count(), 1);
    assert!(
        entries.iter().all(|(name, _)| *name != path(b"base")),
        "no entry at all: a containerd store takes an empty one for the layer"
    );
    assert_eq!(entries.len(), 7);
}

#[test]
fn an_image_is_the_same_archive_whatever_is_left_out() {
    let index = index(&[b"base", b"top"]);
    let (whole, partial) = (Archive::new(&index, 0), Archive::new(&index, 2));
    assert_eq!(whole.manifest_digest(), partial.manifest_digest());
    assert_eq!(partial.layers().count(), 0);
}

fn engine_image(id: &str, layers: &[&[u8]]) -> EngineImage {
    EngineImage {
        engine_id: id.to_owned(),
        tags: Vec::new(),
        diff_ids: layers.iter().map(|content| Digest::of(content)).collect(),
        size_bytes: 0,
    }
}

#[test]
fn a_layer_counts_as_present_with_all_below_it() {
    let folder = TempDir::new().unwrap();
    let nothing = Loaded::open(&folder.path().join("loaded.json")).unwrap();
    let wanted: Vec<Digest> = [&b"a"[..], b"b", b"c"].map(Digest::of).into();
    let present =
        |images: &[EngineImage]| present_layers(&wanted, images, ImageStore::GraphDriver, &nothing);
    assert_eq!(present(&[]), 0);
    assert_eq!(
        present(&[engine_image("1", &[b"b", b"c"])]),
        0,
        "the same layers on another base"
    );
    assert_eq!(
        present(&[
            engine_image("1", &[b"a"]),
            engine_image("2", &[b"a", b"b", b"x"])
        ]),
        2
    );
    assert_eq!(present(&[engine_image("1", &[b"a", b"b", b"c", b"d"])]), 3);
}

#[test]
fn on_a_containerd_store_only_our_own_images_count() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("loaded.json");
    let mut loaded = Loaded::open(&path).unwrap();
    let images = [
        engine_image("pulled", &[b"a", b"b"]),
        engine_image("ours", &[b"a"]),
    ];
    let wanted: Vec<Digest> = [&b"a"[..], b"b"].map(Digest::of).into();
    let present =
        |loaded: &Loaded| present_layers(&wanted, &images, ImageStore::Containerd, loaded);
    assert_eq!(present(&loaded), 0);
    loaded
        .note("gone", &BTreeSet::from(["gone".to_owned()]))
        .unwrap();
    loaded
        .note(
            "ours",
            &BTreeSet::from(["ours".to_owned(), "pulled".to_owned()]),
        )
        .unwrap();
    assert_eq!(present(&loaded), 1);
    let loaded = Loaded::open(&path).unwrap();
    assert_eq!((present(&loaded), loaded.has("gone")), (1, false));
}

#[test]
fn a_damaged_record_of_loaded_images_is_named() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("loaded.json");
    fs::write(&path, "{").unwrap();
    assert!(
        Loaded::open(&path)
            .unwrap_err()
            .to_string()
            .contains("loaded.json")
    );
}

#[test]
fn the_spool_takes_only_what_the_index_says() {
    let root = TempDir::new().unwrap();
    let spool = Spool::open(root.path(), &Digest::of(b"artifact")).unwrap();
    let wanted = chunk(b"content");
    let refused = |frame: &[u8]| matches!(spool.take(&wanted, frame), Err(RefusedFrame::Corrupted));
    assert!(refused(&frame(b"another")), "other content");
    assert!(refused(&frame(b"content and more")), "more than was said");
    assert!(refused(&frame(&vec![0; 64 << 20])), "a frame that grows");
    assert!(refused(b"no frame"));
    assert!(!spool.has(&wanted));
    assert_eq!(spool.take(&wanted, &frame(b"content")).unwrap(), "content");
    assert!(spool.has(&wanted));
    assert_eq!(spool.read(&wanted).unwrap().unwrap(), "content");
}

#[test]
fn what_a_kill_or_a_power_cut_leaves_in_the_spool_is_not_believed() {
    let root = TempDir::new().unwrap();
    let artifact = Digest::of(b"artifact");
    let (kept, damaged) = (chunk(b"kept"), chunk(b"damaged"));
    let spool = Spool::open(root.path(), &artifact).unwrap();
    spool.take(&kept, &frame(b"kept")).unwrap();
    let folder = root.path().join(artifact.hex());
    fs::write(folder.join(".new-1234"), "half a frame").unwrap();
    fs::write(
        folder.join(damaged.digest.hex()),
        vec![0; frame(b"damaged").len()],
    )
    .unwrap();

    let spool = Spool::open(root.path(), &artifact).unwrap();
    assert_eq!(spool.read(&kept).unwrap().unwrap(), "kept");
    assert!(spool.has(&damaged), "until it is read");
    assert_eq!(spool.read(&damaged).unwrap(), None);
    assert!(!spool.has(&damaged));
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
}

#[test]
fn too_little_room_is_told_with_what_is_needed_and_what_is_free() {
    let folder = TempDir::new().unwrap();
    let check = |content_bytes, spool_bytes| {
        space::check(
            Need {
                content_bytes,
                spool_bytes,
            },
            Some(folder.path()),
            folder.path(),
        )
    };
    check(1, 1).unwrap();
    let error = check(1 << 50, 1 << 50).unwrap_err();
    let SpaceError::Short(short) = &error else {
        panic!("{error}")
    };
    assert_eq!(
        short.needed_bytes,
        3 << 50,
        "the engine writes twice, the spool once, on one disk"
    );
    assert!(error.to_string().contains("3.0 PiB"), "{error}");
    let failure = error.failure();
    assert_eq!(
        (failure.code.as_str(), failure.remedy.is_some()),
        ("disk-full", true)
    );
}
