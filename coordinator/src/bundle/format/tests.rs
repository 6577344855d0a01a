//! Bundles that are whole, and every way in which one can be wrong.

use super::*;

fn entry(kind: Kind, content: &[u8]) -> (Header, Vec<u8>) {
    let header = Header {
        kind,
        name: Digest::of(content),
        length: content.len() as u64,
    };
    (header, content.to_vec())
}

fn entries() -> Vec<(Header, Vec<u8>)> {
    let mut entries = vec![
        entry(Kind::Release, b"a release"),
        entry(Kind::Lock, b"a lock"),
        entry(Kind::Index, b"an index"),
        entry(Kind::Chunk, b"one chunk"),
        entry(Kind::Chunk, b"another chunk"),
        entry(Kind::Wheel, &vec![7; 600_000]),
    ];
    entries.sort();
    entries
}

fn bundle(entries: &[(Header, Vec<u8>)]) -> Vec<u8> {
    let mut writer = Writer::begin(Vec::new()).unwrap();
    for (header, content) in entries {
        writer.add(header, &mut content.as_slice()).unwrap();
    }
    writer.finish().unwrap()
}

fn read(bytes: &[u8]) -> Result<Vec<(Header, Vec<u8>)>, FormatError> {
    let mut reader = Reader::begin(bytes)?;
    let mut found = Vec::new();
    while let Some(header) = reader.next_header()? {
        let content = reader.content(&header)?;
        found.push((header, content));
    }
    Ok(found)
}

/// What stands before the entries, and one entry with this header.
fn begun(kind: u8, length: u64) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    bytes.extend(head(kind, &Digest::of(b""), length));
    bytes
}

#[test]
fn what_was_written_is_read_back() {
    let bytes = bundle(&entries());
    assert_eq!(read(&bytes).unwrap(), entries());
    let manifest_bytes =
        bytes.len() as u64 - length(entries().iter().map(|(header, _)| header.length));
    assert!(manifest_bytes < 200, "{manifest_bytes}");
    assert_eq!(read(&bundle(&[])).unwrap(), []);
}

#[test]
fn a_bundle_that_is_cut_off_anywhere_is_refused() {
    let bytes = bundle(&entries());
    let near_ends = [0, 1, 16, 17, 18, 57, 58, 66, 67, 70];
    let near_ends = near_ends.into_iter().chain(bytes.len() - 200..bytes.len());
    for at in near_ends.chain((0..bytes.len()).step_by(9973)) {
        let error = read(&bytes[..at]).unwrap_err();
        let is_cut = matches!(error, FormatError::Cut { .. } | FormatError::NotABundle);
        assert!(is_cut, "{at}: {error:?}");
    }
}

#[test]
fn a_bundle_with_one_altered_byte_is_refused() {
    let bytes = bundle(&entries());
    let places = (0..500).chain(bytes.len() - 250..bytes.len());
    for at in places.chain((0..bytes.len()).step_by(7919)) {
        let mut altered = bytes.clone();
        altered[at] ^= 0x20;
        assert!(read(&altered).is_err(), "byte {at}");
    }
}

#[test]
fn something_after_the_manifest_is_refused() {
    let mut bytes = bundle(&entries());
    bytes.push(0);
    assert!(
        read(&bytes)
            .unwrap_err()
            .to_string()
            .contains("follows the manifest")
    );
}

#[test]
fn another_version_is_told_from_another_file() {
    let mut bytes = bundle(&entries());
    bytes[15] = b'2';
    let error = read(&bytes).unwrap_err().to_string();
    assert!(error.contains("tfleet.bundle.v2"), "{error}");
    let error = read(b"PK\x03\x04 and something more of a zip file").unwrap_err();
    assert!(matches!(error, FormatError::NotABundle), "{error}");
}

#[test]
fn a_length_that_no_entry_can_have_is_refused_before_anything_is_read() {
    for (kind, length) in [
        (b'r', LARGEST_RELEASE_BYTES + 1),
        (b'l', u64::MAX),
        (b'i', LARGEST_INDEX_BYTES + 1),
        (b'c', LARGEST_FRAME_BYTES + 1),
        (b'w', u64::MAX),
        (b'm', LARGEST_MANIFEST_BYTES + 1),
    ] {
        let error = read(&begun(kind, length)).unwrap_err().to_string();
        assert!(error.contains("longer than any"), "{kind}: {error}");
    }
    // A possible length without so much content takes no memory for it.
    let error = read(&begun(b'r', LARGEST_RELEASE_BYTES)).unwrap_err();
    assert!(matches!(error, FormatError::Cut { .. }), "{error}");
    let error = read(&begun(b'?', 0)).unwrap_err().to_string();
    assert!(error.contains("no known kind"), "{error}");
}

#[test]
fn entries_that_are_out_of_order_or_there_twice_are_refused() {
    let in_order = entries();
    for (one, other) in [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5)] {
        let mut swapped = in_order.clone();
        swapped.swap(one, other);
        let error = read(&bundle(&swapped)).unwrap_err().to_string();
        assert!(error.contains("out of order"), "{one}: {error}");
    }
    let mut twice = in_order.clone();
    twice.insert(3, in_order[3].clone());
    let error = read(&bundle(&twice)).unwrap_err().to_string();
    assert!(error.contains("twice"), "{error}");
}

#[test]
fn an_entry_must_be_read_before_the_next() {
    let bytes = bundle(&entries());
    let mut reader = Reader::begin(bytes.as_slice()).unwrap();
    reader.next_header().unwrap();
    assert!(reader.next_header().is_err());
}

#[test]
fn a_source_that_gives_less_than_it_promised_makes_no_bundle() {
    let mut writer = Writer::begin(Vec::new()).unwrap();
    let (mut header, content) = entry(Kind::Wheel, b"a wheel");
    header.length += 1;
    let error = writer.add(&header, &mut content.as_slice()).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
}
