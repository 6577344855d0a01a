//! Readers and writers that look at the bytes that pass through them.

use std::io::{self, Read, Write};

use tfleet_proto::model::digest::Hasher;

use super::LayerWriter;

/// Hashes what is read.
pub struct Hashed<R> {
    pub input: R,
    pub hasher: Hasher,
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let got = self.input.read(buffer)?;
        self.hasher.update(&buffer[..got]);
        Ok(got)
    }
}

/// What stands before the content of an archive's first entry; more than this is an attack.
const LARGEST_RECORD_BYTES: usize = 4 << 20;

/// Keeps what is read, to read it again.
pub struct Recorded<R> {
    pub input: R,
    pub record: Vec<u8>,
}

impl<R: Read> Read for Recorded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let got = self.input.read(buffer)?;
        if self.record.len() + got > LARGEST_RECORD_BYTES {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("more than {LARGEST_RECORD_BYTES} bytes of headers before its first entry"),
            ));
        }
        self.record.extend_from_slice(&buffer[..got]);
        Ok(got)
    }
}

/// Tells how many bytes were written, over all layers.
pub struct Counted<'a, 'pool> {
    pub output: LayerWriter<'pool>,
    pub stored_bytes: &'a mut u64,
    pub progress: &'a (dyn Fn(u64) + Sync),
}

impl Write for Counted<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.output.write(bytes)?;
        *self.stored_bytes += written as u64;
        (self.progress)(*self.stored_bytes);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.output.flush()
    }
}
