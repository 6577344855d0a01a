//! Chunks that were proven whole a short while ago.
//!
//! A chunk goes to many hosts one after the other, and proving it takes as long as encrypting it. What a disk damages in
//! between is found by the host, which verifies the content itself, and soon here.

use std::collections::HashMap;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tfleet_proto::model::digest::Digest;

/// A proof is good for so long, if nobody has written to the file.
const GOOD_FOR: Duration = Duration::from_secs(600);

/// With more, those that are no longer good are forgotten.
const MANY: usize = 20_000;

#[derive(Debug, Default)]
pub struct Recent {
    proven: Mutex<HashMap<Digest, Proof>>,
}

#[derive(Debug, Clone, Copy)]
struct Proof {
    file: FileState,
    at: Instant,
}

/// Changes with whatever is written to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileState {
    inode: u64,
    length: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Recent {
    pub fn is_proven(&self, chunk: &Digest, file: FileState) -> bool {
        let proven = self.proven.lock().unwrap_or_else(PoisonError::into_inner);
        let proof = proven.get(chunk);
        proof.is_some_and(|proof| proof.file == file && proof.is_good())
    }

    /// `file` is from before the proof.
    pub fn note(&self, chunk: Digest, file: FileState) {
        let mut proven = self.proven.lock().unwrap_or_else(PoisonError::into_inner);
        if proven.len() >= MANY {
            proven.retain(|_, proof| proof.is_good());
        }
        let at = Instant::now();
        proven.insert(chunk, Proof { file, at });
    }
}

impl Proof {
    fn is_good(&self) -> bool {
        self.at.elapsed() < GOOD_FOR
    }
}

impl From<&Metadata> for FileState {
    fn from(metadata: &Metadata) -> Self {
        Self {
            inode: metadata.ino(),
            length: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_file_that_was_written_to_is_not_proven_any_more() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("chunk");
        let state = || FileState::from(&fs::metadata(&path).unwrap());
        fs::write(&path, "content").unwrap();
        let (recent, chunk) = (Recent::default(), Digest::of(b"content"));
        assert!(!recent.is_proven(&chunk, state()));
        recent.note(chunk, state());
        assert!(recent.is_proven(&chunk, state()));
        // The kernel's clock for files ticks some hundred times a second.
        std::thread::sleep(Duration::from_millis(20));
        fs::write(&path, "damaged").unwrap();
        assert!(!recent.is_proven(&chunk, state()));
    }
}
