//! Tells from a stream's first bytes what it is, and undoes its compression.

use std::io::{self, Chain, Cursor, Read};

/// What a file inside an image archive holds.
pub enum Content<R: Read> {
    /// A tar stream, uncompressed by now.
    Tar(Unpacked<R>),
    /// Text that begins like JSON.
    Json(Peeked<R>),
    Other,
}

/// A stream whose first bytes were read and put back.
pub type Peeked<R> = Chain<Cursor<Vec<u8>>, R>;

/// A tar stream out of whatever it was packed in.
pub enum Unpacked<R: Read> {
    Plain(Peeked<R>),
    Gzip(Box<flate2::read::MultiGzDecoder<Peeked<R>>>),
    Zstd(Box<zstd::stream::read::Decoder<'static, io::BufReader<Peeked<R>>>>),
}

const GZIP: &[u8] = &[0x1f, 0x8b];
const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];
const TAR_BLOCK: usize = 512;

/// Looks at the first bytes of `input`.
pub fn sniff<R: Read>(mut input: R) -> io::Result<Content<R>> {
    let mut head = Vec::with_capacity(TAR_BLOCK);
    (&mut input).take(TAR_BLOCK as u64).read_to_end(&mut head)?;
    let is_tar = head.get(257..262) == Some(b"ustar")
        // An empty archive is two blocks of zeros; pre-POSIX headers have no magic but a checksum.
        || (head.len() == TAR_BLOCK && (head.iter().all(|byte| *byte == 0) || has_checksum(&head)));
    let is_json = matches!(head.first(), Some(b'{' | b'['));
    let (gzip, zstd) = (head.starts_with(GZIP), head.starts_with(ZSTD));
    let peeked = Cursor::new(head).chain(input);
    Ok(if is_tar {
        Content::Tar(Unpacked::Plain(peeked))
    } else if gzip {
        Content::Tar(Unpacked::Gzip(Box::new(flate2::read::MultiGzDecoder::new(
            peeked,
        ))))
    } else if zstd {
        Content::Tar(Unpacked::Zstd(Box::new(zstd::stream::read::Decoder::new(
            peeked,
        )?)))
    } else if is_json {
        Content::Json(peeked)
    } else {
        Content::Other
    })
}

fn has_checksum(block: &[u8]) -> bool {
    let mut bytes = [0; TAR_BLOCK];
    bytes.copy_from_slice(block);
    let mut header = tar::Header::from_byte_slice(&bytes).clone();
    let said = header.cksum();
    header.set_cksum();
    said.is_ok_and(|said| header.cksum().is_ok_and(|computed| computed == said))
}

impl<R: Read> Read for Unpacked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(input) => input.read(buffer),
            Self::Gzip(input) => input.read(buffer),
            Self::Zstd(input) => input.read(buffer),
        }
    }
}
