//! Why the vault could not do what it was asked.

use std::io;
use std::path::{Path, PathBuf};

use tfleet_proto::model::digest::Digest;

#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    #[error("cannot {operation} {path}")]
    Io {
        operation: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("what came has the digest {found}, wanted was {wanted}")]
    Other { wanted: Digest, found: Digest },
}

impl VaultError {
    pub(super) fn io(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io {
            operation,
            path: path.to_owned(),
            source,
        }
    }
}
