//! Keys and certificates on disk: readable by their owner alone, whole or not there.

use std::fs::{self, File, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use tempfile::NamedTempFile;

#[derive(Debug, thiserror::Error)]
#[error("cannot {operation} {path}")]
pub struct FileError {
    pub operation: &'static str,
    pub path: PathBuf,
    pub source: io::Error,
}

fn at(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> FileError {
    move |source| FileError {
        operation,
        path: path.to_owned(),
        source,
    }
}

/// Writes a file of mode 0600 that after a crash is there whole, or as it was.
pub fn write_private(path: &Path, content: &[u8]) -> Result<(), FileError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(at("make", folder))?;
    let mut file = NamedTempFile::new_in(folder).map_err(at("write", path))?;
    file.as_file()
        .set_permissions(Permissions::from_mode(0o600))
        .map_err(at("protect", path))?;
    file.write_all(content).map_err(at("write", path))?;
    file.as_file().sync_all().map_err(at("sync", path))?;
    file.persist(path)
        .map_err(|error| at("rename to", path)(error.error))?;
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(at("sync", folder))
}

pub(super) fn read(path: &Path) -> Result<String, FileError> {
    fs::read_to_string(path).map_err(at("read", path))
}

pub(super) fn read_certificate(path: &Path) -> Result<CertificateDer<'static>, FileError> {
    let text = read(path)?;
    CertificateDer::from_pem_slice(text.as_bytes()).map_err(|error| {
        at("read the certificate in", path)(io::Error::new(
            io::ErrorKind::InvalidData,
            error.to_string(),
        ))
    })
}
