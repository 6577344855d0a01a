//! One kind of row, ordered by its key; a later row with the same key replaces an earlier one.

use std::collections::BTreeMap;

/// A fact with a key of its own.
pub trait Row {
    /// What makes two rows the same row.
    type Key: Ord + Clone + std::fmt::Debug;

    /// The row's key.
    fn key(&self) -> Self::Key;
}

/// Rows of one kind.
#[derive(Debug, Clone)]
pub struct Table<R: Row> {
    rows: BTreeMap<R::Key, R>,
}

impl<R: Row> Default for Table<R> {
    fn default() -> Self {
        Self {
            rows: BTreeMap::new(),
        }
    }
}

impl<R: Row> Table<R> {
    /// Adds rows, or replaces those with the same key.
    pub(super) fn merge(&mut self, rows: Vec<R>) {
        self.rows
            .extend(rows.into_iter().map(|row| (row.key(), row)));
    }

    /// The row with this key.
    pub(crate) fn get(&self, key: &R::Key) -> Option<&R> {
        self.rows.get(key)
    }

    /// The rows, smallest key first.
    pub(crate) fn rows(&self) -> impl DoubleEndedIterator<Item = &R> {
        self.rows.values()
    }
}
