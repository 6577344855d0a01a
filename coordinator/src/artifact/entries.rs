//! Reads a tar stream entry by entry, strictly.
//!
//! The `tar` crate's reader stops silently when a stream ends between two entries, and splits pax records at newlines,
//! which breaks on binary extended attributes such as `security.capability`. An image passes through here once, on its
//! way to every host, so what is cut short or cannot be told exactly is refused. Header fields are still read by the
//! crate.

use std::collections::BTreeMap;
use std::io::{self, Read};

use tar::{EntryType, Header};

use self::extension::Extension;

mod extension;

const BLOCK: usize = 512;

/// The extended headers and long names of an entry are text of a few hundred bytes; more than this is an attack.
const LARGEST_EXTENSION_BYTES: u64 = 1 << 20;

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    File,
    HardLink,
    Symlink,
    CharacterDevice,
    BlockDevice,
    Directory,
    Fifo,
}

/// One entry: everything of it that an engine keeps, without owner names and what is below a second.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    pub kind: Kind,
    /// Relative, without a leading `./` and a trailing `/`; empty for the root folder.
    pub path: Vec<u8>,
    /// Target of a link; empty for other kinds.
    pub link: Vec<u8>,
    /// Permission bits, set-user-ID, set-group-ID and sticky.
    pub mode: u32,
    pub uid: u64,
    pub gid: u64,
    /// When it was changed last, in seconds since 1970.
    pub mtime: i64,
    /// Bytes of content; zero unless a file.
    pub size: u64,
    /// Major and minor number; zeros unless a device.
    pub device: (u32, u32),
    /// By name, without the `SCHILY.xattr.` prefix.
    pub xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
}

/// Why a tar stream is refused.
#[derive(Debug, thiserror::Error)]
pub enum TarError {
    #[error("the archive cannot be read")]
    Read(#[source] io::Error),
    #[error("the archive is cut short {place}")]
    Truncated { place: &'static str },
    #[error("the archive is damaged: {what}")]
    Damaged { what: String },
    #[error("the archive's entry `{path}` is outside of its root")]
    Escape { path: String },
    #[error("the archive's entry `{path}` is of a kind that images do not have ({kind})")]
    Kind { path: String, kind: String },
}

/// The entries of a tar stream, in order.
#[derive(Debug)]
pub struct Entries<R> {
    input: R,
    /// Content of the current entry that was not read yet, and the zeros after it.
    content_left: u64,
    padding_left: u64,
}

impl<R: Read> Entries<R> {
    pub fn new(input: R) -> Self {
        Self {
            input,
            content_left: 0,
            padding_left: 0,
        }
    }

    /// The next entry, or none after the archive's end mark. What was not read of the current one is skipped.
    ///
    /// # Errors
    /// If the stream cannot be read, is cut short, or has an entry that no image may have.
    pub fn next_node(&mut self) -> Result<Option<Node>, TarError> {
        let mut extension = Extension::default();
        let mut extension_bytes = 0;
        loop {
            self.skip_rest()?;
            let Some(header) = self.header()? else {
                return Ok(None);
            };
            let header_size = header.entry_size().map_err(damaged)?;
            let is_extension = matches!(
                header.entry_type(),
                EntryType::XHeader
                    | EntryType::XGlobalHeader
                    | EntryType::GNULongName
                    | EntryType::GNULongLink
            );
            if is_extension {
                extension_bytes = header_size.saturating_add(extension_bytes);
                if extension_bytes > LARGEST_EXTENSION_BYTES {
                    return Err(TarError::Damaged {
                        what: format!("extended headers of {extension_bytes} bytes for one entry"),
                    });
                }
            }
            match header.entry_type() {
                EntryType::XHeader => {
                    let records = self.extension_bytes(header_size)?;
                    extension.read_pax(&records)?;
                }
                EntryType::XGlobalHeader => self.expect_content(header_size)?,
                EntryType::GNULongName => {
                    extension.path = Some(until_nul(self.extension_bytes(header_size)?))
                }
                EntryType::GNULongLink => {
                    extension.link = Some(until_nul(self.extension_bytes(header_size)?))
                }
                _ => {
                    let node = extension.into_node(&header, header_size)?;
                    self.expect_content(node.size)?;
                    return Ok(Some(node));
                }
            }
        }
    }

    /// The current entry's content. Reads fewer bytes than its size only with an error.
    pub fn content(&mut self) -> Content<'_, R> {
        Content(self)
    }

    /// Reads what follows the end mark, so that hashes and checksums over the whole stream are complete.
    ///
    /// # Errors
    /// If the stream cannot be read.
    pub fn drain(mut self) -> Result<R, TarError> {
        io::copy(&mut self.input, &mut io::sink()).map_err(TarError::Read)?;
        Ok(self.input)
    }

    fn header(&mut self) -> Result<Option<Header>, TarError> {
        let mut block = [0; BLOCK];
        self.read_exact(&mut block, "between two entries")?;
        if block.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        let header = Header::from_byte_slice(&block).clone();
        let sum: u32 = block[..148]
            .iter()
            .chain(&block[156..])
            .map(|byte| u32::from(*byte))
            .sum();
        let expected = header.cksum().map_err(damaged)?;
        if sum + 8 * u32::from(b' ') != expected {
            return Err(TarError::Damaged {
                what: "an entry's header does not have its checksum".to_owned(),
            });
        }
        Ok(Some(header))
    }

    fn expect_content(&mut self, size: u64) -> Result<(), TarError> {
        let whole =
            size.checked_next_multiple_of(BLOCK as u64)
                .ok_or_else(|| TarError::Damaged {
                    what: format!("an entry of {size} bytes"),
                })?;
        self.content_left = size;
        self.padding_left = whole - size;
        Ok(())
    }

    /// Call only with a size that was found small enough.
    fn extension_bytes(&mut self, size: u64) -> Result<Vec<u8>, TarError> {
        self.expect_content(size)?;
        let mut bytes = Vec::new();
        self.content().read_to_end(&mut bytes).map_err(from_read)?;
        Ok(bytes)
    }

    fn skip_rest(&mut self) -> Result<(), TarError> {
        if self.content_left > 0 {
            io::copy(&mut self.content(), &mut io::sink()).map_err(from_read)?;
        }
        let padding = usize::try_from(self.padding_left).unwrap_or(BLOCK);
        self.padding_left = 0;
        self.read_exact(&mut [0; BLOCK][..padding], "after an entry")
    }

    fn read_exact(&mut self, buffer: &mut [u8], place: &'static str) -> Result<(), TarError> {
        self.input
            .read_exact(buffer)
            .map_err(|error| match error.kind() {
                io::ErrorKind::UnexpectedEof => TarError::Truncated { place },
                _ => TarError::Read(error),
            })
    }
}

/// The content of the entry that [`Entries::next_node`] gave.
#[derive(Debug)]
pub struct Content<'a, R>(&'a mut Entries<R>);

impl<R: Read> Read for Content<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = usize::try_from(self.0.content_left)
            .map_or(buffer.len(), |left| left.min(buffer.len()));
        if wanted == 0 {
            return Ok(0);
        }
        let got = self.0.input.read(&mut buffer[..wanted])?;
        if got == 0 {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the archive is cut short within an entry",
            ));
        }
        self.0.content_left -= got as u64;
        Ok(got)
    }
}

fn until_nul(mut bytes: Vec<u8>) -> Vec<u8> {
    if let Some(end) = bytes.iter().position(|byte| *byte == 0) {
        bytes.truncate(end);
    }
    bytes
}

fn damaged(error: io::Error) -> TarError {
    TarError::Damaged {
        what: error.to_string(),
    }
}

fn from_read(error: io::Error) -> TarError {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => TarError::Truncated {
            place: "within an entry",
        },
        _ => TarError::Read(error),
    }
}
