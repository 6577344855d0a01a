//! Writes a layer in the one form that its content has, whoever packed it and whenever.
//!
//! No entry has owner names; records that only tell by which program a file was made fall away. Hard links, whiteouts,
//! devices and extended attributes stay. The order stays as given: engines walk the folders in sorted order already, a
//! hard link must come after its target, and sorting would need a second pass over gigabytes.
//!
//! In what we build, every entry gets the same time: equal content then has an equal diff ID, which is what hosts
//! compare. In what others built, times stay, to the second: Python takes a byte-code file for stale unless its source
//! has the time that stands in it.

use std::io::{self, Read, Write};

use tar::{EntryType, Header};

use super::entries::{Entries, Kind, Node, TarError};

/// 1 January 1980, the earliest time that a zip archive can hold: Python's own tools refuse to pack older files.
pub const FIXED_TIME_SECONDS: u64 = 315_532_800;

/// What becomes of the entries' times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Times {
    /// [`FIXED_TIME_SECONDS`].
    Fixed,
    /// Their own, in whole seconds.
    Kept,
}

const BLOCK: usize = 512;
const LARGEST_USTAR_SIZE: u64 = 0o77_777_777_777;
const LARGEST_USTAR_TIME: u64 = 0o77_777_777_777;
const LARGEST_USTAR_ID: u64 = 0o7_777_777;
const LONGEST_USTAR_NAME: usize = 100;

/// Why a layer could not be written in its normal form.
#[derive(Debug, thiserror::Error)]
pub enum NormaliseError {
    #[error(transparent)]
    Input(#[from] TarError),
    #[error("the layer cannot be written")]
    Output(#[source] io::Error),
}

/// Copies a layer from `input` to `output` in its normal form, and reads `input` to its end.
///
/// # Errors
/// If `input` is not a whole layer, or `output` refuses what is written.
pub fn normalise<R: Read, W: Write>(
    input: R,
    times: Times,
    output: &mut W,
) -> Result<R, NormaliseError> {
    let mut entries = Entries::new(input);
    let mut buffer = vec![0; 256 << 10];
    while let Some(mut node) = entries.next_node()? {
        if times == Times::Fixed {
            node.mtime = FIXED_TIME_SECONDS as i64;
        }
        output
            .write_all(&encode(&node))
            .map_err(NormaliseError::Output)?;
        let mut content = entries.content();
        loop {
            let got = content
                .read(&mut buffer)
                .map_err(|error| match error.kind() {
                    io::ErrorKind::UnexpectedEof => TarError::Truncated {
                        place: "within an entry",
                    },
                    _ => TarError::Read(error),
                })?;
            if got == 0 {
                break;
            }
            output
                .write_all(&buffer[..got])
                .map_err(NormaliseError::Output)?;
        }
        output
            .write_all(padding(node.size))
            .map_err(NormaliseError::Output)?;
    }
    output
        .write_all(&[0; 2 * BLOCK])
        .map_err(NormaliseError::Output)?;
    Ok(entries.drain()?)
}

/// The entry's header blocks: one, or three and more when a pax header must precede it.
pub(super) fn encode(node: &Node) -> Vec<u8> {
    let mut path = node.path.clone();
    if node.kind == Kind::Directory {
        path.extend_from_slice(if path.is_empty() { b"./" } else { b"/" });
    }
    let mut bytes = pax_header(node, &path);
    let mut header = Header::new_ustar();
    set_name(&mut header, &path);
    header.set_entry_type(match node.kind {
        Kind::File => EntryType::Regular,
        Kind::HardLink => EntryType::Link,
        Kind::Symlink => EntryType::Symlink,
        Kind::CharacterDevice => EntryType::Char,
        Kind::BlockDevice => EntryType::Block,
        Kind::Directory => EntryType::Directory,
        Kind::Fifo => EntryType::Fifo,
    });
    header.set_mode(node.mode);
    header.set_uid(node.uid.min(LARGEST_USTAR_ID));
    header.set_gid(node.gid.min(LARGEST_USTAR_ID));
    header.set_size(node.size.min(LARGEST_USTAR_SIZE));
    header.set_mtime(ustar_time(node).unwrap_or_default());
    if let Some(ustar) = header.as_ustar_mut() {
        ustar.set_device_major(node.device.0);
        ustar.set_device_minor(node.device.1);
        let link = &node.link[..node.link.len().min(LONGEST_USTAR_NAME)];
        ustar.linkname[..link.len()].copy_from_slice(link);
    }
    header.set_cksum();
    bytes.extend_from_slice(header.as_bytes());
    bytes
}

/// The entry's time, if the plain header can hold it.
fn ustar_time(node: &Node) -> Option<u64> {
    u64::try_from(node.mtime)
        .ok()
        .filter(|time| *time <= LARGEST_USTAR_TIME)
}

/// What does not fit into the plain header, as pax records in the order of their keys; nothing if all fits.
fn pax_header(node: &Node, path: &[u8]) -> Vec<u8> {
    let mut records = Vec::new();
    for (name, value) in &node.xattrs {
        push_record(
            &mut records,
            &[b"SCHILY.xattr.", name.as_slice()].concat(),
            value,
        );
    }
    if node.gid > LARGEST_USTAR_ID {
        push_record(&mut records, b"gid", node.gid.to_string().as_bytes());
    }
    if node.link.len() > LONGEST_USTAR_NAME || !node.link.is_ascii() {
        push_record(&mut records, b"linkpath", &node.link);
    }
    if ustar_time(node).is_none() {
        push_record(&mut records, b"mtime", node.mtime.to_string().as_bytes());
    }
    if path.len() > LONGEST_USTAR_NAME || !path.is_ascii() {
        push_record(&mut records, b"path", path);
    }
    if node.size > LARGEST_USTAR_SIZE {
        push_record(&mut records, b"size", node.size.to_string().as_bytes());
    }
    if node.uid > LARGEST_USTAR_ID {
        push_record(&mut records, b"uid", node.uid.to_string().as_bytes());
    }
    if records.is_empty() {
        return records;
    }
    let mut header = Header::new_ustar();
    set_name(&mut header, b"pax");
    header.set_entry_type(EntryType::XHeader);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_size(records.len() as u64);
    header.set_mtime(FIXED_TIME_SECONDS);
    header.set_cksum();
    let mut bytes = header.as_bytes().to_vec();
    bytes.extend_from_slice(&records);
    bytes.extend_from_slice(padding(records.len() as u64));
    bytes
}

/// Appends `LENGTH KEY=VALUE\n`; the length counts its own digits too.
fn push_record(records: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    records.extend_from_slice(length.to_string().as_bytes());
    for part in [b" ".as_slice(), key, b"=", value, b"\n"] {
        records.extend_from_slice(part);
    }
}

fn set_name(header: &mut Header, name: &[u8]) {
    let name = &name[..name.len().min(LONGEST_USTAR_NAME)];
    header.as_old_mut().name[..name.len()].copy_from_slice(name);
}

fn padding(size: u64) -> &'static [u8] {
    const ZEROS: [u8; BLOCK] = [0; BLOCK];
    let beyond = usize::try_from(size % BLOCK as u64).unwrap_or_default();
    if beyond == 0 { &[] } else { &ZEROS[beyond..] }
}
