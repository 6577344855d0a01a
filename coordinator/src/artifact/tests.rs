//! The store and what goes in and out of it.

use std::io::{Cursor, Read as _, Write as _};

use serde_json::json;
use tar::{Builder, EntryType, Header};
use tfleet_proto::model::digest::Digest;

use super::*;

mod archives;
mod intakes;
mod layers;
mod stored;

/// A file of a layer, with the times and owners of whoever packed it.
fn file(builder: &mut Builder<Vec<u8>>, path: &str, content: &[u8], made_by: u64) {
    let mut header = header(EntryType::Regular, content.len() as u64, made_by);
    builder.append_data(&mut header, path, content).unwrap();
}

fn header(kind: EntryType, size: u64, made_by: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_size(size);
    header.set_mtime(1_700_000_000 + made_by);
    header.set_username(&format!("user{made_by}")).unwrap();
    header
}

/// A layer with every kind of entry that layers have.
fn layer(made_by: u64) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    file(&mut builder, "usr/bin/tool", b"a program", made_by);
    builder
        .append_link(
            &mut header(EntryType::Link, 0, made_by),
            "usr/bin/twin",
            "usr/bin/tool",
        )
        .unwrap();
    builder
        .append_link(
            &mut header(EntryType::Symlink, 0, made_by),
            "bin",
            "/usr/bin",
        )
        .unwrap();
    file(&mut builder, "etc/.wh.removed", b"", made_by);
    let long = format!("opt/{}/{}", "long".repeat(30), "name".repeat(40));
    file(&mut builder, &long, b"deep", made_by);
    builder.into_inner().unwrap()
}

fn config(diff_ids: &[Digest], made_by: u64) -> Vec<u8> {
    json!({
        "architecture": "amd64", "os": "linux", "created": format!("2026-01-01T00:00:0{made_by}Z"),
        "config": { "Env": ["PATH=/bin"], "Image": format!("sha256:{made_by}"), "Cmd": null },
        "container": made_by, "docker_version": "20.10",
        "history": [{ "created_by": "RUN true", "created": format!("2026-01-01T00:00:0{made_by}Z") }],
        "rootfs": { "type": "layers", "diff_ids": diff_ids },
    })
    .to_string()
    .into_bytes()
}

/// What an old engine saves: a folder per layer, a link where a layer comes twice, the manifest last.
fn docker_archive(layers: &[Vec<u8>], twice: bool, made_by: u64) -> Vec<u8> {
    let mut diff_ids: Vec<_> = layers.iter().map(|layer| Digest::of(layer)).collect();
    let mut paths: Vec<_> = (0..layers.len())
        .map(|number| format!("{}/layer.tar", id(number)))
        .collect();
    let mut builder = Builder::new(Vec::new());
    for (path, layer) in paths.iter().zip(layers) {
        file(&mut builder, path, layer, made_by);
    }
    if twice {
        let path = format!("{}/layer.tar", id(90));
        let target = format!("../{}", paths[0]);
        let mut header = header(EntryType::Symlink, 0, made_by);
        builder.append_link(&mut header, &path, target).unwrap();
        diff_ids.push(diff_ids[0]);
        paths.push(path);
    }
    let name = format!("{}.json", id(99));
    file(&mut builder, &name, &config(&diff_ids, made_by), made_by);
    let manifest = json!([{ "Config": name, "RepoTags": ["a:b"], "Layers": paths }]).to_string();
    file(&mut builder, "manifest.json", manifest.as_bytes(), made_by);
    builder.into_inner().unwrap()
}

/// What a newer engine saves: an OCI layout, here without `manifest.json`, its layers packed by `pack`.
fn oci_archive(layers: &[Vec<u8>], pack: impl Fn(&[u8]) -> Vec<u8>, made_by: u64) -> Vec<u8> {
    let diff_ids: Vec<_> = layers.iter().map(|layer| Digest::of(layer)).collect();
    let mut builder = Builder::new(Vec::new());
    let mut blob = |content: &[u8]| {
        let digest = Digest::of(content);
        file(
            &mut builder,
            &format!("blobs/sha256/{}", digest.hex()),
            content,
            made_by,
        );
        json!({ "digest": digest, "size": content.len() })
    };
    let layers: Vec<_> = layers.iter().map(|layer| blob(&pack(layer))).collect();
    let config = blob(&config(&diff_ids, made_by));
    let manifest = blob(
        json!({ "config": config, "layers": layers })
            .to_string()
            .as_bytes(),
    );
    let index = json!({ "manifests": [manifest] }).to_string();
    file(&mut builder, "index.json", index.as_bytes(), made_by);
    builder.into_inner().unwrap()
}

fn id(number: usize) -> String {
    Digest::of(&number.to_le_bytes()).hex()
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

fn open() -> (tempfile::TempDir, Artifacts) {
    let folder = tempfile::tempdir().unwrap();
    let store = Artifacts::open(folder.path()).unwrap();
    (folder, store)
}

fn take(store: &Artifacts, archive: &[u8]) -> Result<Received, ArchiveError> {
    take_from(Origin::Foreign, store, archive)
}

fn take_from(origin: Origin, store: &Artifacts, archive: &[u8]) -> Result<Received, ArchiveError> {
    receive(
        Cursor::new(archive),
        store,
        origin,
        &Secrets::default(),
        &|_| {},
    )
}

/// The bytes of an image's layer in the store.
fn stored_layer(store: &Artifacts, received: &Received, number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    LayerContent::new(store, &received.index.layers[number])
        .read_to_end(&mut bytes)
        .unwrap();
    bytes
}

fn count(folder: &std::path::Path) -> usize {
    fs::read_dir(folder).unwrap().count()
}
