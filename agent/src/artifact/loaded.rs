//! Which images this agent loaded: on a containerd store only those can be relied on.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::durable::{self, Access, FileError};

/// A file of engine identifiers. Losing it costs bytes on the wire, nothing else.
#[derive(Debug)]
pub struct Loaded {
    path: PathBuf,
    book: Book,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Book {
    images: BTreeSet<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum LoadedError {
    #[error("the record of loaded images cannot be kept")]
    File(#[from] FileError),
    #[error("the record of loaded images {} is damaged; remove it", path.display())]
    Damaged {
        path: PathBuf,
        #[source]
        source: serde_json::Error,
    },
}

impl Loaded {
    /// Blocks.
    pub fn open(path: &Path) -> Result<Self, LoadedError> {
        let damaged = |source| LoadedError::Damaged {
            path: path.to_path_buf(),
            source,
        };
        let book = match durable::read(path)? {
            Some(text) => serde_json::from_slice(&text).map_err(damaged)?,
            None => Book::default(),
        };
        Ok(Self {
            path: path.to_path_buf(),
            book,
        })
    }

    pub fn has(&self, engine_id: &str) -> bool {
        self.book.images.contains(engine_id)
    }

    /// Notes an image, and forgets those that are not in the engine any more. Blocks until the disk has it.
    pub fn note(
        &mut self,
        engine_id: &str,
        in_engine: &BTreeSet<String>,
    ) -> Result<(), LoadedError> {
        let mut book = self.book.clone();
        book.images.retain(|image| in_engine.contains(image));
        book.images.insert(engine_id.to_owned());
        if book != self.book {
            let damaged = |source| LoadedError::Damaged {
                path: self.path.clone(),
                source,
            };
            durable::write(
                &self.path,
                &serde_json::to_vec(&book).map_err(damaged)?,
                Access::Owner,
            )?;
            self.book = book;
        }
        Ok(())
    }
}
