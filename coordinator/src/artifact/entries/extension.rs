//! What pax and GNU headers say about the entry that follows them, and the entry that comes of it.

use std::collections::BTreeMap;
use std::io;

use tar::{EntryType, Header};

use super::{Kind, Node, TarError, damaged};

/// What pax and GNU headers say about the entry that follows them.
#[derive(Debug, Default)]
pub(super) struct Extension {
    pub path: Option<Vec<u8>>,
    pub link: Option<Vec<u8>>,
    size: Option<u64>,
    uid: Option<u64>,
    gid: Option<u64>,
    mtime: Option<i64>,
    xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Extension {
    /// Records are `LENGTH KEY=VALUE\n`, the length counting all of it. Values may hold any byte.
    pub fn read_pax(&mut self, mut records: &[u8]) -> Result<(), TarError> {
        let broken = || TarError::Damaged {
            what: "an extended header that is not made of pax records".to_owned(),
        };
        while records.first().is_some_and(|byte| *byte != 0) {
            let space = records
                .iter()
                .position(|byte| *byte == b' ')
                .ok_or_else(broken)?;
            let length: usize = std::str::from_utf8(&records[..space])
                .ok()
                .and_then(|text| text.parse().ok())
                .ok_or_else(broken)?;
            let record = records
                .get(space + 1..length)
                .and_then(|r| r.strip_suffix(b"\n"))
                .ok_or_else(broken)?;
            let equals = record
                .iter()
                .position(|byte| *byte == b'=')
                .ok_or_else(broken)?;
            let (key, value) = (&record[..equals], &record[equals + 1..]);
            let number = || {
                std::str::from_utf8(value)
                    .ok()
                    .and_then(|text| text.parse::<u64>().ok())
                    .ok_or_else(broken)
            };
            match key {
                b"path" => self.path = Some(value.to_vec()),
                b"linkpath" => self.link = Some(value.to_vec()),
                b"size" => self.size = Some(number()?),
                b"uid" => self.uid = Some(number()?),
                b"gid" => self.gid = Some(number()?),
                b"mtime" => self.mtime = Some(whole_seconds(value).ok_or_else(broken)?),
                _ if key.starts_with(b"GNU.sparse.") => {
                    return Err(TarError::Damaged {
                        what: "a sparse file, which layers do not have".to_owned(),
                    });
                }
                // Other times, owner names and comments fall away here.
                _ => {
                    if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
                        self.xattrs.insert(name.to_vec(), value.to_vec());
                    }
                }
            }
            records = &records[length..];
        }
        Ok(())
    }

    pub fn into_node(self, header: &Header, header_size: u64) -> Result<Node, TarError> {
        let raw_path = self
            .path
            .unwrap_or_else(|| header.path_bytes().into_owned());
        let shown = String::from_utf8_lossy(&raw_path).into_owned();
        let kind = match header.entry_type() {
            EntryType::Regular | EntryType::Continuous if raw_path.ends_with(b"/") => {
                Kind::Directory
            }
            EntryType::Regular | EntryType::Continuous => Kind::File,
            EntryType::Link => Kind::HardLink,
            EntryType::Symlink => Kind::Symlink,
            EntryType::Char => Kind::CharacterDevice,
            EntryType::Block => Kind::BlockDevice,
            EntryType::Directory => Kind::Directory,
            EntryType::Fifo => Kind::Fifo,
            other => {
                return Err(TarError::Kind {
                    path: shown,
                    kind: format!("type {:?}", char::from(other.as_byte())),
                });
            }
        };
        let link = match kind {
            Kind::HardLink => inside(&self.link.unwrap_or_else(|| link_of(header)), &shown)?,
            Kind::Symlink => self.link.unwrap_or_else(|| link_of(header)),
            _ => Vec::new(),
        };
        let device = match kind {
            Kind::CharacterDevice | Kind::BlockDevice => (
                header.device_major().map_err(damaged)?.unwrap_or_default(),
                header.device_minor().map_err(damaged)?.unwrap_or_default(),
            ),
            _ => (0, 0),
        };
        Ok(Node {
            kind,
            path: inside(&raw_path, &shown)?,
            link,
            mode: number(&header.as_old().mode, || header.mode())? & 0o7777,
            uid: match self.uid {
                Some(uid) => uid,
                None => number(&header.as_old().uid, || header.uid())?,
            },
            gid: match self.gid {
                Some(gid) => gid,
                None => number(&header.as_old().gid, || header.gid())?,
            },
            mtime: match self.mtime {
                Some(mtime) => mtime,
                // The crate gives the bits of a negative number.
                None => number(&header.as_old().mtime, || header.mtime())?.cast_signed(),
            },
            size: if kind == Kind::File {
                self.size.unwrap_or(header_size)
            } else {
                0
            },
            device,
            xattrs: self.xattrs,
        })
    }
}

/// "1700000000.25", without what is beyond the second.
fn whole_seconds(value: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(value).ok()?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let seconds: i64 = whole.parse().ok()?;
    let is_beyond = fraction.bytes().any(|digit| digit != b'0');
    if whole.starts_with('-') && is_beyond {
        seconds.checked_sub(1)
    } else {
        Some(seconds)
    }
}

/// A header's number; writers that have nothing to say leave the field empty.
fn number<T: Default>(field: &[u8], read: impl FnOnce() -> io::Result<T>) -> Result<T, TarError> {
    if field.iter().all(|byte| matches!(byte, 0 | b' ')) {
        return Ok(T::default());
    }
    read().map_err(damaged)
}

/// The path without `./`, doubled, leading and trailing slashes. Some builders write absolute names, which mean the same:
/// every engine puts them below the image's root.
fn inside(path: &[u8], shown: &str) -> Result<Vec<u8>, TarError> {
    let escape = || TarError::Escape {
        path: shown.to_owned(),
    };
    if path.contains(&0) {
        return Err(escape());
    }
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in path.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => return Err(escape()),
            name => parts.push(name),
        }
    }
    Ok(parts.join(&b'/'))
}

fn link_of(header: &Header) -> Vec<u8> {
    header
        .link_name_bytes()
        .map(|name| name.into_owned())
        .unwrap_or_default()
}
