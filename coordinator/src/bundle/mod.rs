//! Bundles: releases with all that belongs to them, as one file for a site that no network reaches.
//!
//! A bundle holds the records of releases, their locks, the indexes of their images, and those chunks that the other site
//! lacks by its own list ([`Have`]). With wheels it also holds what the images can be built from again: bases, wheels and
//! the installer. Nothing of a bundle counts before its last byte was read and is right.

mod document;
mod error;
mod export;
mod format;
mod have;
mod import;

pub use document::Document;
pub use error::BundleError;
pub use export::{Contents, gather};
pub use have::{Have, have};
pub use import::{Arrived, receive};

#[cfg(test)]
mod tests;
