//! Archives of every form, good and bad.

use super::*;

#[test]
fn both_forms_of_an_archive_give_one_artifact_whoever_made_them_and_whenever() {
    let zstd = |content: &[u8]| zstd::bulk::compress(content, 1).unwrap();
    let (_folder, store) = open();
    let build = || Origin::Build { base: Vec::new() };
    let take = |archive: &[u8]| take_from(build(), &store, archive).unwrap();
    let old = take(&docker_archive(&[layer(1), layer(1)], false, 1));
    let plain = <[u8]>::to_vec;
    let new = take(&oci_archive(&[layer(2), layer(2)], plain, 2));
    let packed = take(&oci_archive(&[layer(3), layer(3)], gzip, 3));
    let other = take(&oci_archive(&[layer(4), layer(4)], zstd, 4));
    assert_eq!(old, new);
    assert_eq!(old, packed);
    assert_eq!(old, other);
    assert_eq!(store.index(&old.artifact).unwrap().unwrap(), old.index);
}

#[test]
fn an_image_of_others_is_one_artifact_in_both_forms_whoever_saved_it() {
    let (_folder, store) = open();
    let layers = [layer(1), layer(1)];
    let old = take(&store, &docker_archive(&layers, false, 1)).unwrap();
    let new = take(&store, &oci_archive(&layers, <[u8]>::to_vec, 2)).unwrap();
    let packed = take(&store, &oci_archive(&layers, gzip, 3)).unwrap();
    assert_eq!(old, new);
    assert_eq!(old, packed);
    let later = take(&store, &docker_archive(&[layer(2), layer(2)], false, 1)).unwrap();
    assert_ne!(old.artifact, later.artifact, "its files have other times");
}

/// A module and its byte-code, as Python leaves them: the source's time stands in the byte-code's header.
fn python_layer(seconds: u32) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    let mut append = |path: &str, content: &[u8]| {
        let mut header = header(EntryType::Regular, content.len() as u64, 0);
        header.set_mtime(seconds.into());
        let fraction = format!("{seconds}.25");
        builder
            .append_pax_extensions([("mtime", fraction.as_bytes())])
            .unwrap();
        builder.append_data(&mut header, path, content).unwrap();
    };
    append("lib/module.py", b"pass");
    let stamp = [
        b"\xcb\r\r\n\0\0\0\0".as_slice(),
        &seconds.to_le_bytes(),
        &4_u32.to_le_bytes(),
    ];
    append("lib/__pycache__/module.cpython-312.pyc", &stamp.concat());
    builder.into_inner().unwrap()
}

/// Whether Python would take the byte-code for that of its source.
fn byte_code_is_fresh(layer: &[u8]) -> bool {
    let mut entries = Entries::new(layer);
    let source = entries.next_node().unwrap().unwrap();
    entries.next_node().unwrap().unwrap();
    let mut stamp = [0; 16];
    entries.content().read_exact(&mut stamp).unwrap();
    stamp[8..12] == (source.mtime as u32).to_le_bytes()
}

#[test]
fn byte_code_in_an_image_of_others_stays_that_of_its_source() {
    let (_folder, store) = open();
    let layer = python_layer(1_700_000_123);
    assert!(byte_code_is_fresh(&layer));
    let architecture = tfleet_compat::Architecture::X86_64;
    let image = docker_archive(std::slice::from_ref(&layer), false, 1);
    for (origin, archive) in [
        (Origin::Foreign, image.clone()),
        (Origin::Engine, image),
        (Origin::RootFileSystem { architecture }, layer.clone()),
    ] {
        let received = take_from(origin.clone(), &store, &archive).unwrap();
        let stored = stored_layer(&store, &received, 0);
        assert!(byte_code_is_fresh(&stored), "{origin:?}");
    }
    let origin = Origin::Bootstrap { architecture };
    let received = take_from(origin, &store, &layer).unwrap();
    assert_eq!(
        Entries::new(stored_layer(&store, &received, 0).as_slice())
            .next_node()
            .unwrap()
            .unwrap()
            .mtime,
        FIXED_TIME_SECONDS as i64
    );
}

#[test]
fn a_build_keeps_the_layers_of_its_base_and_fixes_the_times_of_its_own() {
    let (_folder, store) = open();
    let base = python_layer(1_700_000_123);
    let base = take(&store, &docker_archive(&[base], false, 1)).unwrap();
    // As an engine saves what it was given.
    let below = stored_layer(&store, &base, 0);
    let build = |archive: &[u8]| {
        let base = base.index.layers.clone();
        take_from(Origin::Build { base }, &store, archive).unwrap()
    };
    let old = build(&docker_archive(&[below.clone(), layer(1)], false, 1));
    let new = build(&oci_archive(&[below, layer(2)], <[u8]>::to_vec, 2));
    assert_eq!(old, new);
    assert_eq!(old.index.layers[0], base.index.layers[0]);
    assert!(byte_code_is_fresh(&stored_layer(&store, &old, 0)));
}

#[test]
fn a_whole_archive_may_be_compressed() {
    let (_folder, store) = open();
    let archive = docker_archive(&[layer(1)], false, 1);
    assert_eq!(
        take(&store, &gzip(&archive)).unwrap(),
        take(&store, &archive).unwrap()
    );
}

#[test]
fn a_layer_that_comes_twice_is_linked_and_stored_once() {
    let (folder, store) = open();
    let received = take(&store, &docker_archive(&[layer(1)], true, 1)).unwrap();
    let diff_ids: Vec<_> = received.index.diff_ids().collect();
    assert_eq!(diff_ids.len(), 2);
    assert_eq!(diff_ids[0], diff_ids[1]);
    assert_eq!(count(&folder.path().join("chunks")), 1);
}

#[test]
fn what_only_tells_when_and_where_an_image_was_made_falls_away_and_the_rest_stays() {
    let (_folder, store) = open();
    let received = take(&store, &docker_archive(&[layer(1)], false, 1)).unwrap();
    let config: serde_json::Value = serde_json::from_str(&received.index.config).unwrap();
    assert_eq!(config["config"], json!({ "Env": ["PATH=/bin"] }));
    assert_eq!(config["created"], "1980-01-01T00:00:00Z");
    assert_eq!(config["history"][0]["created_by"], "RUN true");
    assert_eq!(config.get("docker_version"), None);
    assert_eq!(
        config["rootfs"]["diff_ids"][0],
        received.index.layers[0].diff_id.to_string()
    );
}

#[test]
fn an_archive_cut_at_any_block_is_refused_and_leaves_no_artifact() {
    let (folder, store) = open();
    let archive = docker_archive(&[layer(1)], false, 1);
    // The end mark itself is two blocks of zeros, of which one is enough.
    let end = archive.len() - 1024;
    for length in (0..=end).step_by(512) {
        let refusal = take(&store, &archive[..length]);
        assert!(
            refusal.is_err(),
            "cut at {length} of {} was taken",
            archive.len()
        );
    }
    assert_eq!(count(&folder.path().join("indexes")), 0);
    take(&store, &archive).unwrap();
}

#[test]
fn a_layer_that_is_not_what_the_image_says_is_refused() {
    let (_folder, store) = open();
    let mut archive = docker_archive(&[layer(1)], false, 1);
    let place = archive
        .windows(9)
        .position(|window| window == b"a program")
        .unwrap();
    archive[place] = b'A';
    assert!(matches!(
        take(&store, &archive),
        Err(ArchiveError::DiffId { number: 0, .. })
    ));
}

#[test]
fn two_images_in_one_archive_are_refused() {
    let (_folder, store) = open();
    let mut builder = Builder::new(Vec::new());
    let one = json!({ "Config": "c.json", "Layers": [] });
    file(
        &mut builder,
        "manifest.json",
        json!([one, one]).to_string().as_bytes(),
        1,
    );
    let archive = builder.into_inner().unwrap();
    assert!(matches!(
        take(&store, &archive),
        Err(ArchiveError::Several { count: 2 })
    ));
}

#[test]
fn what_is_no_image_is_refused_in_words() {
    let (_folder, store) = open();
    let message = |bytes: &[u8]| take(&store, bytes).unwrap_err().to_string();
    assert_eq!(
        message(b"hello"),
        "it is not an image archive: it is neither a tar file nor a compressed one"
    );
    assert_eq!(
        message(&layer(1)),
        "it is not an image archive: it has no manifest.json"
    );
    assert_eq!(
        message(&[0; 1024]),
        "it is not an image archive: it is empty"
    );
}

#[test]
fn a_link_to_outside_of_the_archive_is_refused() {
    let (_folder, store) = open();
    let mut builder = Builder::new(Vec::new());
    let mut link = header(EntryType::Symlink, 0, 1);
    builder
        .append_link(&mut link, "a/layer.tar", "../../../etc/passwd")
        .unwrap();
    let archive = builder.into_inner().unwrap();
    assert!(matches!(
        take(&store, &archive),
        Err(ArchiveError::Tar(TarError::Escape { .. }))
    ));
}

#[test]
fn a_root_file_system_becomes_an_image_and_an_image_archive_stays_one() {
    let (_folder, store) = open();
    let origin = Origin::RootFileSystem {
        architecture: tfleet_compat::Architecture::X86_64,
    };
    let take = |archive: &[u8]| take_from(origin.clone(), &store, archive).unwrap();
    let plain = take(&layer(1));
    assert_eq!(plain.index.layers.len(), 1);
    assert!(
        plain
            .index
            .config
            .contains(&plain.index.layers[0].diff_id.to_string())
    );
    assert_eq!(
        take(&docker_archive(&[layer(2), layer(3)], false, 1))
            .index
            .layers
            .len(),
        2
    );
}

#[test]
fn a_root_file_system_has_the_architecture_of_its_programs() {
    let (_folder, store) = open();
    // Of an ELF header no more than where its machine stands: EM_386 is 3, EM_AARCH64 is 183.
    let program = |machine: u8| {
        let mut head = b"\x7fELF\x02\x01\x01".to_vec();
        head.resize(18, 0);
        head.extend([machine, 0]);
        head
    };
    let architecture = |files: &[Vec<u8>]| {
        let mut builder = tar::Builder::new(Vec::new());
        for (number, content) in files.iter().enumerate() {
            let mut header = tar::Header::new_ustar();
            header.set_size(content.len() as u64);
            header.set_mode(0o755);
            let name = format!("bin/{number}");
            builder
                .append_data(&mut header, name, content.as_slice())
                .unwrap();
        }
        let origin = Origin::RootFileSystem {
            architecture: tfleet_compat::Architecture::X86_64,
        };
        let received = take_from(origin, &store, &builder.into_inner().unwrap()).unwrap();
        let config: serde_json::Value = serde_json::from_str(&received.index.config).unwrap();
        config["architecture"].as_str().unwrap().to_owned()
    };
    let script = b"#!/bin/sh\nexec something-longer-than-a-header\n".to_vec();
    assert_eq!(architecture(std::slice::from_ref(&script)), "amd64");
    assert_eq!(architecture(&[script, program(3), program(183)]), "arm64");
}

#[test]
fn a_secret_in_a_layer_or_in_the_history_refuses_the_image() {
    let (folder, store) = open();
    let secrets: Secrets = Secret::new("the password of the proxy", "hunter2-hunter2")
        .into_iter()
        .collect();
    let take = |archive: &[u8]| {
        receive(
            Cursor::new(archive),
            &store,
            Origin::Engine,
            &secrets,
            &|_| {},
        )
        .unwrap_err()
        .to_string()
    };
    let mut builder = Builder::new(Vec::new());
    // Across the border of two reads, which are at most 256 KiB.
    let mut content = vec![b'.'; (256 << 10) - 5];
    content.extend_from_slice(b"hunter2-hunter2");
    file(&mut builder, "etc/pip.conf", &content, 1);
    let leaky = builder.into_inner().unwrap();
    assert_eq!(
        take(&docker_archive(&[leaky], false, 1)),
        "the password of the proxy is in the image's layers"
    );

    let mut builder = Builder::new(Vec::new());
    let good = layer(1);
    file(&mut builder, "a/layer.tar", &good, 1);
    let config = String::from_utf8(config(&[Digest::of(&good)], 1)).unwrap();
    file(
        &mut builder,
        "c.json",
        config
            .replace("RUN true", "RUN curl hunter2-hunter2")
            .as_bytes(),
        1,
    );
    let manifest = json!([{ "Config": "c.json", "Layers": ["a/layer.tar"] }]).to_string();
    file(&mut builder, "manifest.json", manifest.as_bytes(), 1);
    assert_eq!(
        take(&builder.into_inner().unwrap()),
        "the password of the proxy is in the image's configuration or history"
    );
    assert_eq!(count(&folder.path().join("indexes")), 0);
}

/// Gzip packs zeros a thousand to one, so that a small file could fill the memory.
#[test]
fn an_archive_that_begins_with_headers_without_end_is_refused() {
    let (_folder, store) = open();
    let mut header = header(EntryType::XGlobalHeader, 0, 1);
    header.set_cksum();
    let archive = header.as_bytes().repeat(10_000);
    let refusal = take(&store, &gzip(&archive)).unwrap_err();
    let why = std::error::Error::source(&refusal).map(ToString::to_string);
    assert!(why.unwrap().contains("before its first entry"), "{refusal}");
}

#[test]
fn an_archive_of_names_without_end_is_refused() {
    let (_folder, store) = open();
    let mut builder = Builder::new(Vec::new());
    let target = "x".repeat(900 << 10);
    for number in 0..40 {
        let mut link = header(EntryType::Symlink, 0, 1);
        builder
            .append_link(&mut link, format!("{number}/layer.tar"), &target)
            .unwrap();
    }
    let refusal = take(&store, &builder.into_inner().unwrap()).unwrap_err();
    assert!(refusal.to_string().contains("more names"), "{refusal}");
}
