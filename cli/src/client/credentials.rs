//! The operator's credentials: one TOML file with the coordinator's address, the fleet's CA, a certificate and its key.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde::{Deserialize, Serialize};
use tfleet_proto::channel::{Address, ClientIdentity};

use crate::error::Error;

/// Where the coordinator leaves the first operator's credentials.
const ADMIN: &str = "/var/lib/tfleet/admin.toml";

/// Checked credentials, ready to connect with.
#[derive(Debug)]
pub struct Credentials {
    pub name: String,
    pub endpoint: Address,
    pub ca_certificate: CertificateDer<'static>,
    certificate_chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

/// The file as it is written.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CredentialsFile {
    /// The operator's name, as the certificate carries it.
    pub name: String,
    /// "https://10.88.0.1:7444".
    pub endpoint: String,
    pub ca_pem: String,
    pub certificate_pem: String,
    pub key_pem: String,
}

impl Credentials {
    /// The first file of: the explicit one (`--credentials`, `TFLEET_CREDENTIALS`),
    /// `~/.config/tfleet/credentials.toml`, and the coordinator's own on its machine.
    pub fn find(explicit: Option<&Path>) -> Result<Self, Error> {
        if let Some(path) = explicit {
            return Self::read(path);
        }
        let config = std::env::var_os("XDG_CONFIG_HOME")
            .map(PathBuf::from)
            .or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".config")));
        let candidates: Vec<PathBuf> = config
            .map(|config| config.join("tfleet/credentials.toml"))
            .into_iter()
            .chain([PathBuf::from(ADMIN)])
            .collect();
        match candidates.iter().find(|path| path.exists()) {
            Some(path) => Self::read(path),
            None => Err(Error::NoCredentials {
                looked_at: candidates,
            }),
        }
    }

    pub fn read(path: &Path) -> Result<Self, Error> {
        let refuse = |why: String| Error::Credentials {
            path: path.to_owned(),
            why,
        };
        let mut file = File::open(path).map_err(Error::file("open the credentials", path))?;
        let mode = file.metadata().map_err(Error::file("read", path))?.mode() & 0o777;
        if mode & 0o077 != 0 {
            let why = format!(
                "others may read the key (mode {mode:o}); run: chmod 600 {}",
                path.display()
            );
            return Err(refuse(why));
        }
        let mut text = String::new();
        file.read_to_string(&mut text)
            .map_err(Error::file("read", path))?;
        let file: CredentialsFile =
            toml::from_str(&text).map_err(|error| refuse(error.to_string()))?;
        let endpoint = file
            .endpoint
            .strip_prefix("https://")
            .unwrap_or(&file.endpoint);
        let not_pem = |key: &str| refuse(format!("`{key}` is not PEM"));
        let certificate_chain: Vec<_> =
            CertificateDer::pem_slice_iter(file.certificate_pem.as_bytes())
                .collect::<Result<_, _>>()
                .map_err(|_| not_pem("certificate_pem"))?;
        if certificate_chain.is_empty() {
            return Err(not_pem("certificate_pem"));
        }
        Ok(Self {
            endpoint: endpoint
                .parse()
                .map_err(|error| refuse(format!("`endpoint`: {error}")))?,
            ca_certificate: CertificateDer::from_pem_slice(file.ca_pem.as_bytes())
                .map_err(|_| not_pem("ca_pem"))?,
            certificate_chain,
            key: PrivateKeyDer::from_pem_slice(file.key_pem.as_bytes())
                .map_err(|_| not_pem("key_pem"))?,
            name: file.name,
        })
    }

    pub fn into_identity(self) -> ClientIdentity {
        ClientIdentity {
            ca_certificate: self.ca_certificate,
            certificate_chain: self.certificate_chain,
            key: self.key,
        }
    }
}

impl CredentialsFile {
    /// Writes a new file that only its owner can read. An existing file is left alone.
    pub fn write_new(&self, path: &Path) -> Result<(), Error> {
        let text = toml::to_string(self).map_err(|error| Error::Credentials {
            path: path.to_owned(),
            why: error.to_string(),
        })?;
        if let Some(folder) = path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty())
        {
            fs::create_dir_all(folder).map_err(Error::file("make the folder", folder))?;
        }
        write_private(path, text.as_bytes()).map_err(Error::file("write", path))
    }
}

fn write_private(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(content)?;
    file.sync_all()
}

#[cfg(test)]
mod tests;
