//! The file form of a bundle: `tfleet.bundle.v1`.
//!
//! ```text
//! bundle   := "tfleet.bundle.v1\n" entry* manifest
//! entry    := kind (1 byte) name (32 bytes) length (8 bytes, big-endian) content (length bytes)
//! kind     := 'r' a release (JSON)        name: SHA-256 of the content
//!           | 'l' a lock (JSON)           name: SHA-256 of the content, which names the build
//!           | 'i' an artifact's index     name: SHA-256 of the content, the artifact's digest
//!           | 'c' a chunk, a zstd frame   name: SHA-256 of what the frame holds
//!           | 'w' a wheel                 name: SHA-256 of the content
//! manifest := 'm' name length content     name: SHA-256 of the content, which is JSON:
//!             {"entries": how many came before, "sha256": of every byte of the bundle before this 'm'}
//! ```
//!
//! Entries come in the order of the kinds above, and within a kind by ascending name, each name once: so a reader knows
//! from the indexes which chunks it will be sent, and holds no more than the largest small entry. Nothing follows the
//! manifest. A bundle is a file for one reading from front to back; what is cut off has no manifest.
//!
//! The digests find damage. They do not say who made the bundle: importing one takes an operator's certificate.

use std::io::{self, Read, Write};

use serde::{Deserialize, Serialize};
use tfleet_proto::model::artifact::LARGEST_FRAME_BYTES;
use tfleet_proto::model::digest::{Digest, Hasher};

const MAGIC: &[u8; 17] = b"tfleet.bundle.v1\n";
/// What the first bytes of every version have.
const MAGIC_OF_ANY_VERSION: &[u8] = b"tfleet.bundle.";

const HEADER_BYTES: usize = 1 + 32 + 8;
/// The plan of a release for a hundred thousand hosts.
const LARGEST_RELEASE_BYTES: u64 = 128 << 20;
/// The index of an image of 100 GB.
const LARGEST_INDEX_BYTES: u64 = 16 << 20;
const LARGEST_LOCK_BYTES: u64 = 16 << 20;
const LARGEST_WHEEL_BYTES: u64 = 64 << 30;
const LARGEST_MANIFEST_BYTES: u64 = 4 << 10;

/// What an entry is. In the order in which they come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    Release,
    Lock,
    Index,
    Chunk,
    Wheel,
}

/// What is known of an entry before its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Header {
    pub kind: Kind,
    pub name: Digest,
    pub length: u64,
}

/// Why some bytes are not a whole bundle.
#[derive(Debug, thiserror::Error)]
pub enum FormatError {
    #[error("the bundle cannot be read on")]
    Read(#[source] io::Error),
    #[error("it is not a bundle")]
    NotABundle,
    #[error("the bundle has a form that this version does not know: {found}")]
    Version { found: String },
    #[error("the bundle ends early, after {bytes} bytes")]
    Cut { bytes: u64 },
    #[error("the bundle is damaged at byte {at}: {what}")]
    Damaged { at: u64, what: &'static str },
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    entries: u64,
    sha256: Digest,
}

impl Kind {
    const ALL: [(Self, u8, u64); 5] = [
        (Self::Release, b'r', LARGEST_RELEASE_BYTES),
        (Self::Lock, b'l', LARGEST_LOCK_BYTES),
        (Self::Index, b'i', LARGEST_INDEX_BYTES),
        (Self::Chunk, b'c', LARGEST_FRAME_BYTES),
        (Self::Wheel, b'w', LARGEST_WHEEL_BYTES),
    ];

    fn byte(self) -> u8 {
        let known = Self::ALL.iter().find(|(kind, ..)| *kind == self);
        known.map_or(b'?', |(_, byte, _)| *byte)
    }
}

/// Writes a bundle. Without [`Writer::finish`] it is none.
#[derive(Debug)]
pub struct Writer<W> {
    output: W,
    hasher: Hasher,
    entries: u64,
}

impl<W: Write> Writer<W> {
    pub fn begin(output: W) -> io::Result<Self> {
        let mut writer = Self {
            output,
            hasher: Hasher::new(),
            entries: 0,
        };
        writer.write(MAGIC)?;
        Ok(writer)
    }

    /// Adds an entry, whose content is copied from `content` and must have the length that `header` says. The caller gives
    /// entries in their order.
    pub fn add(&mut self, header: &Header, content: &mut dyn Read) -> io::Result<()> {
        self.write(&head(header.kind.byte(), &header.name, header.length))?;
        let mut buffer = vec![0; 256 << 10];
        let mut content = content.take(header.length);
        let mut written = 0;
        loop {
            let got = content.read(&mut buffer)?;
            if got == 0 {
                break;
            }
            self.write(&buffer[..got])?;
            written += got as u64;
        }
        self.entries += 1;
        if written == header.length {
            Ok(())
        } else {
            Err(io::ErrorKind::UnexpectedEof.into())
        }
    }

    /// Writes the manifest and gives the output back.
    pub fn finish(mut self) -> io::Result<W> {
        let manifest = Manifest {
            entries: self.entries,
            sha256: self.hasher.finish(),
        };
        let text = serde_json::to_vec(&manifest)?;
        self.output
            .write_all(&head(b'm', &Digest::of(&text), text.len() as u64))?;
        self.output.write_all(&text)?;
        self.output.flush()?;
        Ok(self.output)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.hasher.update(bytes);
        self.output.write_all(bytes)
    }
}

/// Bytes of a bundle with these entries, but for the manifest.
pub fn length(headers: impl IntoIterator<Item = u64>) -> u64 {
    let entries = headers
        .into_iter()
        .map(|length| HEADER_BYTES as u64 + length);
    MAGIC.len() as u64 + entries.sum::<u64>()
}

/// Reads a bundle from front to back. Entries count only when [`Reader::next_header`] has given none: then the manifest was
/// read, and all is as it was written.
#[derive(Debug)]
pub struct Reader<R> {
    input: R,
    hasher: Hasher,
    position: u64,
    entries: u64,
    last: Option<(Kind, Digest)>,
    /// Of the current entry's content.
    unread: u64,
}

impl<R: Read> Reader<R> {
    /// Reads the first bytes, which say what the file is.
    pub fn begin(input: R) -> Result<Self, FormatError> {
        let mut reader = Self {
            input,
            hasher: Hasher::new(),
            position: 0,
            entries: 0,
            last: None,
            unread: 0,
        };
        let mut magic = [0; MAGIC.len()];
        reader.fill(&mut magic).map_err(|error| match error {
            FormatError::Cut { .. } => FormatError::NotABundle,
            other => other,
        })?;
        if &magic == MAGIC {
            Ok(reader)
        } else if magic.starts_with(MAGIC_OF_ANY_VERSION) {
            let found = String::from_utf8_lossy(&magic)
                .trim_end()
                .escape_debug()
                .to_string();
            Err(FormatError::Version { found })
        } else {
            Err(FormatError::NotABundle)
        }
    }

    /// The next entry, or none once the manifest proved the whole bundle. The content of the one before must be read.
    pub fn next_header(&mut self) -> Result<Option<Header>, FormatError> {
        if self.unread > 0 {
            return Err(self.damaged("an entry was not read to its end"));
        }
        let so_far = self.hasher.clone();
        let mut head = [0; HEADER_BYTES];
        self.fill(&mut head)?;
        let mut name = [0; 32];
        name.copy_from_slice(&head[1..33]);
        let name = Digest::from_bytes(name);
        let mut length = [0; 8];
        length.copy_from_slice(&head[33..]);
        let length = u64::from_be_bytes(length);
        if head[0] == b'm' {
            let sha256 = so_far.finish();
            self.manifest(&name, length, sha256)?;
            return Ok(None);
        }
        let known = Kind::ALL.iter().find(|(_, byte, _)| *byte == head[0]);
        let Some((kind, _, largest)) = known else {
            return Err(self.damaged("an entry is of no known kind"));
        };
        if length > *largest {
            return Err(self.damaged("an entry says that it is longer than any can be"));
        }
        let place = Some((*kind, name));
        if self.last >= place {
            return Err(self.damaged("an entry is there twice, or out of order"));
        }
        self.last = place;
        self.unread = length;
        self.entries += 1;
        Ok(Some(Header {
            kind: *kind,
            name,
            length,
        }))
    }

    /// The whole content of the current entry, proved to have the entry's name for a digest where it is no chunk.
    pub fn content(&mut self, header: &Header) -> Result<Vec<u8>, FormatError> {
        let mut content = Vec::new();
        let at = self.position;
        let read = Read::take(&mut *self, header.length).read_to_end(&mut content);
        read.map_err(FormatError::from_read)?;
        if content.len() as u64 != header.length {
            return Err(FormatError::Cut {
                bytes: self.position,
            });
        }
        // A chunk's name is the digest of what its frame holds.
        if header.kind != Kind::Chunk && Digest::of(&content) != header.name {
            return Err(FormatError::Damaged {
                at,
                what: "an entry's content is not what its name says",
            });
        }
        Ok(content)
    }

    /// Where the reader is, for an error.
    pub fn damaged(&self, what: &'static str) -> FormatError {
        FormatError::Damaged {
            at: self.position,
            what,
        }
    }

    fn manifest(&mut self, name: &Digest, length: u64, sha256: Digest) -> Result<(), FormatError> {
        if length > LARGEST_MANIFEST_BYTES {
            return Err(self.damaged("the manifest says that it is longer than any can be"));
        }
        let mut text = vec![0; usize::try_from(length).unwrap_or_default()];
        self.fill(&mut text)?;
        let manifest = serde_json::from_slice::<Manifest>(&text);
        let is_right = manifest
            .is_ok_and(|manifest| manifest.entries == self.entries && manifest.sha256 == sha256);
        if Digest::of(&text) != *name || !is_right {
            return Err(self.damaged("it is not what its manifest says"));
        }
        match self.input.read(&mut [0]) {
            Ok(0) => Ok(()),
            Ok(_) => Err(self.damaged("something follows the manifest")),
            Err(error) => Err(FormatError::from_read(error)),
        }
    }

    fn fill(&mut self, buffer: &mut [u8]) -> Result<(), FormatError> {
        match self.input.read_exact(buffer) {
            Ok(()) => {
                self.hasher.update(&*buffer);
                self.position += buffer.len() as u64;
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(FormatError::Cut {
                bytes: self.position,
            }),
            Err(error) => Err(FormatError::Read(error)),
        }
    }
}

/// The content of the current entry. A bundle that ends within it is an error and no end.
impl<R: Read> Read for Reader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = usize::try_from(self.unread)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        if wanted == 0 {
            return Ok(0);
        }
        let got = self.input.read(&mut buffer[..wanted])?;
        if got == 0 {
            let cut = FormatError::Cut {
                bytes: self.position,
            };
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, cut));
        }
        self.hasher.update(&buffer[..got]);
        self.position += got as u64;
        self.unread -= got as u64;
        Ok(got)
    }
}

impl FormatError {
    /// The error that passed through [`io::Error`].
    pub fn from_read(error: io::Error) -> Self {
        match error.downcast::<Self>() {
            Ok(error) => error,
            Err(error) => Self::Read(error),
        }
    }
}

fn head(kind: u8, name: &Digest, length: u64) -> Vec<u8> {
    let mut head = vec![kind];
    head.extend_from_slice(name.as_bytes());
    head.extend_from_slice(&length.to_be_bytes());
    head
}

#[cfg(test)]
mod tests;
