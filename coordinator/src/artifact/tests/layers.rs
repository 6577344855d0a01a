//! Layers in their normal form.

use std::io::Read as _;

use proptest::prelude::*;

use super::super::normalise::{Times, normalise};
use super::*;

fn normal(layer: &[u8]) -> Result<Vec<u8>, super::super::normalise::NormaliseError> {
    with_times(layer, Times::Fixed)
}

fn with_times(
    layer: &[u8],
    times: Times,
) -> Result<Vec<u8>, super::super::normalise::NormaliseError> {
    let mut output = Vec::new();
    normalise(layer, times, &mut output)?;
    Ok(output)
}

fn nodes(layer: &[u8]) -> Vec<(Node, Vec<u8>)> {
    let mut entries = Entries::new(layer);
    let mut nodes = Vec::new();
    while let Some(node) = entries.next_node().unwrap() {
        let mut content = Vec::new();
        entries.content().read_to_end(&mut content).unwrap();
        nodes.push((node, content));
    }
    nodes
}

#[test]
fn equal_content_with_other_times_and_owner_names_is_equal() {
    assert_ne!(layer(1), layer(2));
    assert_eq!(normal(&layer(1)).unwrap(), normal(&layer(2)).unwrap());
}

#[test]
fn the_normal_form_keeps_every_entry_and_is_a_fixed_point() {
    let once = normal(&layer(1)).unwrap();
    let mut wanted = nodes(&layer(1));
    for (node, _) in &mut wanted {
        node.mtime = FIXED_TIME_SECONDS as i64;
    }
    assert_eq!(nodes(&once), wanted);
    assert_eq!(normal(&once).unwrap(), once);

    let kept = with_times(&layer(1), Times::Kept).unwrap();
    assert_eq!(nodes(&kept), nodes(&layer(1)));
    assert_eq!(with_times(&kept, Times::Kept).unwrap(), kept);
}

#[test]
fn any_time_that_a_file_system_has_is_kept_to_the_second() {
    let cases = [
        ("0", 0),
        ("1700000000.999999999", 1_700_000_000),
        ("-1.5", -2),
        ("-1.0", -1),
        ("-0.5", -1),
        ("9999999999999", 9_999_999_999_999),
    ];
    for (said, kept) in cases {
        let mut builder = Builder::new(Vec::new());
        builder
            .append_pax_extensions([("mtime", said.as_bytes())])
            .unwrap();
        file(&mut builder, "a", b"", 1);
        let layer = builder.into_inner().unwrap();
        let once = with_times(&layer, Times::Kept).unwrap();
        assert_eq!(nodes(&once)[0].0.mtime, kept, "{said}");
        assert_eq!(with_times(&once, Times::Kept).unwrap(), once, "{said}");
    }
}

#[test]
fn the_tar_crate_reads_the_normal_form_with_its_fixed_time() {
    let once = normal(&layer(1)).unwrap();
    let mut archive = tar::Archive::new(once.as_slice());
    let mut paths = Vec::new();
    for entry in archive.entries().unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.header().mtime().unwrap(), FIXED_TIME_SECONDS);
        assert_eq!(entry.header().username().unwrap(), Some(""));
        paths.push(entry.path().unwrap().display().to_string());
    }
    assert_eq!(
        paths[..4],
        ["usr/bin/tool", "usr/bin/twin", "bin", "etc/.wh.removed"]
    );
    assert!(paths[4].len() > 200);
}

#[test]
fn a_binary_attribute_with_a_line_end_in_it_passes() {
    let capability = b"\x01\n\x00\x02\n\n\x00";
    let mut builder = Builder::new(Vec::new());
    let attributes = [
        ("SCHILY.xattr.security.capability", capability.as_slice()),
        ("mtime", b"1.5"),
    ];
    builder.append_pax_extensions(attributes).unwrap();
    file(&mut builder, "bin/ping", b"ping", 1);
    let layer = builder.into_inner().unwrap();
    let found = nodes(&normal(&layer).unwrap());
    let expected = [(b"security.capability".to_vec(), capability.to_vec())].into();
    assert_eq!(found[0].0.xattrs, expected);
}

#[test]
fn devices_large_owners_and_paths_beyond_ascii_pass() {
    let node = |kind, path: &str| Node {
        kind,
        path: path.as_bytes().to_vec(),
        link: Vec::new(),
        mode: 0o4755,
        uid: 4_000_000_000,
        gid: 7,
        mtime: FIXED_TIME_SECONDS as i64,
        size: 0,
        device: if kind == Kind::CharacterDevice {
            (10, 200)
        } else {
            (0, 0)
        },
        xattrs: Default::default(),
    };
    let mut layer = Vec::new();
    let wanted = [
        node(Kind::CharacterDevice, "dev/tun"),
        node(Kind::Directory, "srv/Größe"),
    ];
    for node in &wanted {
        layer.extend(super::super::normalise::encode(node));
    }
    layer.extend([0; 1024]);
    let found: Vec<_> = nodes(&normal(&layer).unwrap())
        .into_iter()
        .map(|(node, _)| node)
        .collect();
    assert_eq!(found, wanted);
}

#[test]
fn a_path_that_leads_outside_is_refused() {
    for path in ["../etc/passwd", "a/../../b", "/../etc/passwd"] {
        let mut header = header(EntryType::Regular, 0, 1);
        header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
        header.set_cksum();
        let mut layer = header.as_bytes().to_vec();
        layer.extend([0; 1024]);
        let refusal = normal(&layer).unwrap_err().to_string();
        assert_eq!(
            refusal,
            format!("the archive's entry `{path}` is outside of its root")
        );
    }
}

/// kaniko writes an entry for the root, and absolute names.
#[test]
fn absolute_names_are_those_below_the_root() {
    let named = |kind, path: &[u8], link: &[u8]| {
        let mut header = header(kind, 0, 1);
        header.as_old_mut().name[..path.len()].copy_from_slice(path);
        header.as_old_mut().linkname[..link.len()].copy_from_slice(link);
        header.set_cksum();
        header.as_bytes().to_vec()
    };
    let layer = [
        named(EntryType::Directory, b"/", b""),
        named(EntryType::Regular, b"/usr/bin/tool", b""),
        named(EntryType::Link, b"usr/bin/twin", b"/usr/bin/tool"),
        named(EntryType::Symlink, b"bin", b"/usr/bin"),
        vec![0; 1024],
    ]
    .concat();
    let found: Vec<_> = nodes(&normal(&layer).unwrap())
        .into_iter()
        .map(|(node, _)| {
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
            (node.kind, text(&node.path), text(&node.link))
        })
        .collect();
    let wanted = [
        (Kind::Directory, "", ""),
        (Kind::File, "usr/bin/tool", ""),
        (Kind::HardLink, "usr/bin/twin", "usr/bin/tool"),
        // A symbolic link is resolved inside the container: its target stays as it is.
        (Kind::Symlink, "bin", "/usr/bin"),
    ]
    .map(|(kind, path, link)| (kind, path.to_owned(), link.to_owned()));
    assert_eq!(found, wanted);
}

#[test]
fn a_hard_link_that_leads_outside_is_refused() {
    for target in ["../../etc/shadow", "/../etc/shadow"] {
        let mut builder = Builder::new(Vec::new());
        let mut link = header(EntryType::Link, 0, 1);
        link.set_path("a").unwrap();
        link.set_link_name_literal(target).unwrap();
        link.set_cksum();
        builder.append(&link, [].as_slice()).unwrap();
        let layer = builder.into_inner().unwrap();
        assert!(normal(&layer).is_err(), "{target}");
    }
}

/// A header that says that so many bytes of its kind follow, in the way for large numbers, and nothing else.
fn announcing(kind: EntryType, size: u64) -> Vec<u8> {
    let mut header = header(kind, 0, 1);
    header.as_old_mut().size[0] = 0x80;
    header.as_old_mut().size[4..].copy_from_slice(&size.to_be_bytes());
    header.set_cksum();
    header.as_bytes().to_vec()
}

#[test]
fn a_size_that_no_disk_holds_is_refused() {
    for size in [u64::MAX, u64::MAX - 510] {
        for kind in [EntryType::Regular, EntryType::XGlobalHeader] {
            let refusal = normal(&announcing(kind, size)).unwrap_err().to_string();
            assert!(refusal.contains("the archive is damaged"), "{refusal}");
        }
        let mut builder = Builder::new(Vec::new());
        let size = size.to_string();
        builder
            .append_pax_extensions([("size", size.as_bytes())])
            .unwrap();
        file(&mut builder, "a", b"", 1);
        let refusal = normal(&builder.into_inner().unwrap()).unwrap_err();
        assert!(refusal.to_string().contains(&size), "{refusal}");
    }
}

#[test]
fn extended_headers_of_one_entry_are_bounded_together() {
    let long = "x".repeat(700 << 10);
    for kinds in [
        [EntryType::XGlobalHeader, EntryType::XGlobalHeader],
        [EntryType::GNULongName, EntryType::GNULongLink],
        [EntryType::XHeader, EntryType::XHeader],
    ] {
        let mut builder = Builder::new(Vec::new());
        for kind in kinds {
            let record = format!("{} comment={long}\n", long.len() + 16);
            let text = if kind.is_gnu_longname() || kind.is_gnu_longlink() {
                &long
            } else {
                &record
            };
            let mut header = header(kind, text.len() as u64, 1);
            header.set_cksum();
            builder.append(&header, text.as_bytes()).unwrap();
        }
        file(&mut builder, "a", b"", 1);
        let refusal = normal(&builder.into_inner().unwrap()).unwrap_err();
        assert!(
            refusal.to_string().contains("extended headers"),
            "{refusal}"
        );
    }
}

#[test]
fn a_damaged_header_is_refused() {
    let mut layer = layer(1);
    layer[0] ^= 1;
    assert!(
        normal(&layer)
            .unwrap_err()
            .to_string()
            .contains("does not have its checksum")
    );
}

/// Where the headers of a layer begin, those of long names among them.
fn header_places(layer: &[u8]) -> Vec<usize> {
    let mut archive = tar::Archive::new(layer);
    let entries = archive.entries().unwrap().raw(true);
    entries
        .map(|entry| entry.unwrap().raw_header_position() as usize)
        .collect()
}

proptest! {
    /// Whatever bytes come, reading ends, with entries or with an error.
    #[test]
    fn no_bytes_make_the_reader_panic(noise in proptest::collection::vec(any::<u8>(), 0..2048), at in 0_usize..4096) {
        let mut bytes = layer(1);
        let at = at.min(bytes.len());
        let end = (at + noise.len()).min(bytes.len());
        bytes[at..end].copy_from_slice(&noise[..end - at]);
        let _ = normal(&bytes);
        let _ = normal(&noise);
    }

    /// A header with its checksum right may say anything in any field, sizes beyond all bounds too.
    #[test]
    fn no_header_makes_the_reader_panic(
        noise in prop_oneof![
            proptest::collection::vec(any::<u8>(), 1..24),
            proptest::collection::vec(Just(0xff_u8), 1..24),
        ],
        at in prop_oneof![0_usize..512, Just(124)],
        chosen in any::<prop::sample::Index>(),
    ) {
        let mut bytes = layer(1);
        let headers = header_places(&bytes);
        let block = headers[chosen.index(headers.len())];
        let end = (at + noise.len()).min(512);
        bytes[block + at..block + end].copy_from_slice(&noise[..end - at]);
        let mut header = Header::from_byte_slice(bytes[block..block + 512].try_into().unwrap()).clone();
        header.set_cksum();
        bytes[block..block + 512].copy_from_slice(header.as_bytes());
        let _ = normal(&bytes);
    }

    /// Any file, whatever its size relative to blocks, comes out as it went in.
    #[test]
    fn any_file_passes_unchanged(content in proptest::collection::vec(any::<u8>(), 0..3000), path in "[a-zé]{1,150}(/[a-z]{1,60}){0,3}") {
        let mut builder = Builder::new(Vec::new());
        file(&mut builder, &path, &content, 1);
        let found = nodes(&normal(&builder.into_inner().unwrap()).unwrap());
        prop_assert_eq!(&found[0].1, &content);
        prop_assert_eq!(&found[0].0.path, path.as_bytes());
    }
}
