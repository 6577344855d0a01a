//! The patches of one pair of artifacts, while they are made and afterwards.

use std::collections::HashSet;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use tfleet_proto::model::artifact::{ArtifactIndex, Chunk};
use tfleet_proto::model::digest::Digest;
use tokio::sync::watch;

use crate::artifact::{StoreError, free_bytes, spare_bytes};

/// How one chunk is made of others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Patch {
    /// Contents of these chunks, one after the other, are the frame's prefix.
    pub references: Vec<Digest>,
    /// Where the frame is in the file.
    offset: u64,
    length: usize,
}

impl Patch {
    /// Length of its frame.
    pub fn bytes(&self) -> u64 {
        self.length as u64
    }
}

/// A patch that is not written yet.
#[derive(Debug)]
pub(super) struct Made {
    pub references: Vec<Digest>,
    pub frame: Vec<u8>,
}

/// The chunks that one artifact has and another has not, and the patches that make them.
#[derive(Debug)]
pub struct PatchSet {
    folder: PathBuf,
    /// Has no name: it is gone with the process. Making them again costs seconds, reading them back would cost a format.
    file: OnceLock<File>,
    /// Its length.
    bytes: AtomicU64,
    targets: Vec<Target>,
    /// Says that something was settled; closed when nothing more is made.
    settled: Mutex<Option<watch::Sender<()>>>,
    changes: watch::Receiver<()>,
}

/// A chunk that the older artifact does not have.
#[derive(Debug)]
pub(super) struct Target {
    /// Over all layers.
    pub number: u32,
    pub chunk: Chunk,
    /// Unset: nothing is known yet. None: no patch is worth it.
    patch: OnceLock<Option<Patch>>,
}

impl PatchSet {
    /// Nothing is made yet. Frames will be in a file in `folder`.
    pub fn empty(folder: &Path, new: &ArtifactIndex, old: &ArtifactIndex) -> Self {
        let mut there: HashSet<Digest> = old.chunks().map(|chunk| chunk.digest).collect();
        let targets = (0..)
            .zip(new.chunks())
            // Of several that are equal, the first.
            .filter(|(_, chunk)| there.insert(chunk.digest))
            .map(|(number, chunk)| Target {
                number,
                chunk: *chunk,
                patch: OnceLock::new(),
            })
            .collect();
        let (sender, changes) = watch::channel(());
        Self {
            folder: folder.to_owned(),
            file: OnceLock::new(),
            bytes: AtomicU64::new(0),
            targets,
            settled: Mutex::new(Some(sender)),
            changes,
        }
    }

    pub(super) fn targets(&self) -> &[Target] {
        &self.targets
    }

    /// The chunks that may be made, each with its place here and its number over all layers, in order.
    pub fn chunks(&self) -> impl Iterator<Item = (usize, u32, Chunk)> + '_ {
        let targets = self.targets.iter().enumerate();
        targets.map(|(place, target)| (place, target.number, target.chunk))
    }

    /// How the chunk at a place of [`Self::chunks`] is made; waits until that is known. None: it is not.
    pub async fn patch(&self, place: usize) -> Option<Patch> {
        let target = self.targets.get(place)?;
        let mut changes = self.changes.clone();
        loop {
            changes.borrow_and_update();
            if let Some(patch) = target.patch.get() {
                return patch.clone();
            }
            if changes.changed().await.is_err() {
                // The last may have been settled just before.
                return target.patch.get().cloned().flatten();
            }
        }
    }

    /// Waits until nothing more is made.
    pub async fn ended(&self) {
        let mut changes = self.changes.clone();
        while changes.changed().await.is_ok() {}
    }

    /// The frame of a patch. Blocks.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn frame(&self, patch: &Patch) -> Result<Vec<u8>, StoreError> {
        let mut frame = vec![0; patch.length];
        let file = self
            .file
            .get()
            .ok_or_else(|| io::Error::from(io::ErrorKind::NotFound));
        file.and_then(|file| file.read_exact_at(&mut frame, patch.offset))
            .map_err(self.failed("read patches in"))?;
        Ok(frame)
    }

    /// Settles the target at a place, with a patch or with none. One that cannot be written is none.
    /// Blocks.
    pub(super) fn settle(&self, place: usize, patch: Option<Made>) -> Result<(), StoreError> {
        let written = patch.map(|made| self.write(made.references, &made.frame));
        let (patch, outcome) = match written.transpose() {
            Ok(patch) => (patch, Ok(())),
            Err(error) => (None, Err(error)),
        };
        if let Some(target) = self.targets.get(place) {
            // Each is settled once.
            let _ = target.patch.set(patch);
        }
        if let Some(settled) = &*self.sender() {
            settled.send_replace(());
        }
        outcome
    }

    fn write(&self, references: Vec<Digest>, frame: &[u8]) -> Result<Patch, StoreError> {
        let length = frame.len() as u64;
        let (free_bytes, spare_bytes) = (free_bytes(&self.folder)?, spare_bytes(&self.folder)?);
        if free_bytes < spare_bytes + length {
            let path = self.folder.clone();
            return Err(StoreError::Full {
                path,
                free_bytes,
                spare_bytes,
            });
        }
        let file = match self.file.get() {
            Some(file) => file,
            None => {
                let made = tempfile::tempfile_in(&self.folder);
                let made = made.map_err(self.failed("make a file for patches in"))?;
                // Another thread's may be there by now.
                self.file.get_or_init(|| made)
            }
        };
        let offset = self.bytes.fetch_add(length, Ordering::Relaxed);
        file.write_all_at(frame, offset)
            .map_err(self.failed("write patches in"))?;
        Ok(Patch {
            references,
            offset,
            length: frame.len(),
        })
    }

    fn failed(&self, operation: &'static str) -> impl Fn(io::Error) -> StoreError {
        move |source| StoreError::Io {
            operation,
            path: self.folder.clone(),
            source,
        }
    }

    /// Nothing more is made.
    pub(super) fn end(&self) {
        self.sender().take();
    }

    /// Whether more may be made.
    pub(super) fn is_open(&self) -> bool {
        self.sender().is_some()
    }

    /// Whether making ended before everything was settled.
    pub(super) fn was_cut_short(&self) -> bool {
        !self.is_open()
            && self
                .targets
                .iter()
                .any(|target| target.patch.get().is_none())
    }

    fn sender(&self) -> MutexGuard<'_, Option<watch::Sender<()>>> {
        self.settled.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes of all frames that were made.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }
}
