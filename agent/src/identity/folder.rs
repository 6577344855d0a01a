//! Where key, certificate and CA are kept. A certificate that does not fit the other two is none.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PublicKeyData};
use rustls_pki_types::CertificateDer;

use super::{Credentials, IdentityError, certificate};
use crate::durable::{self, Access};
use crate::ledger::Membership;

/// The lock on an identity. The kernel takes it back however the process ends.
#[derive(Debug)]
pub struct Claim {
    _file: File,
}

/// The folder `identity` of the agent's data. Cheap to clone; everything in here blocks.
#[derive(Debug, Clone)]
pub struct IdentityFolder {
    folder: PathBuf,
}

impl IdentityFolder {
    pub fn open(folder: &Path) -> Result<Self, IdentityError> {
        durable::make_folder(folder)?;
        Ok(Self {
            folder: folder.to_path_buf(),
        })
    }

    /// Takes the identity for this process alone. A new membership that an agent does not know of, because it goes on with
    /// the one that it began with, would cost it its containers.
    pub fn claim(&self) -> Result<Claim, IdentityError> {
        let path = self.folder.join("lock");
        let failed = |source| IdentityError::Lock {
            path: path.clone(),
            source,
        };
        let file = File::create(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(Claim { _file: file }),
            Err(TryLockError::WouldBlock) => Err(IdentityError::InUse { path }),
            Err(TryLockError::Error(source)) => Err(failed(source)),
        }
    }

    /// What a finished enrolment left here. An unfinished one (a death between the two files, or another key) left
    /// nothing that can be used, which the log says.
    pub fn credentials(&self) -> Result<Option<Credentials>, IdentityError> {
        let (Some(ca), Some(certificate)) = (
            durable::read(&self.ca_file())?,
            durable::read(&self.certificate_file())?,
        ) else {
            return Ok(None);
        };
        match self.fit(ca, certificate, self.membership()?) {
            Err(IdentityError::Certificate(error)) => {
                let error: &dyn std::error::Error = &error;
                tracing::warn!(error, "the stored certificate is not used");
                Ok(None)
            }
            result => result.map(Some),
        }
    }

    /// Keeps what an enrolment gave. The membership is noted before the certificate: from then on the ledger of an earlier
    /// one is disowned, also if we die here and nobody enrols this host again.
    pub(super) fn keep_enrolment(
        &self,
        membership: Membership,
        ca: Vec<u8>,
        certificate: Vec<u8>,
    ) -> Result<Credentials, IdentityError> {
        // The note of before is not read: a damaged one is what this mends.
        let credentials = self.fit(ca, certificate, Some(membership))?;
        #[expect(clippy::expect_used, reason = "a digest is a JSON string")]
        let note = serde_json::to_vec(&membership).expect("a digest is valid JSON");
        durable::write(&self.membership_file(), &note, Access::Everybody)?;
        self.write(&credentials)?;
        Ok(credentials)
    }

    /// Keeps what a renewal gave, once it is known to be for this host.
    pub(super) fn keep(
        &self,
        ca: Vec<u8>,
        certificate: Vec<u8>,
    ) -> Result<Credentials, IdentityError> {
        let credentials = self.fit(ca, certificate, self.membership()?)?;
        self.write(&credentials)?;
        Ok(credentials)
    }

    /// The CA first: the certificate is what completes an enrolment.
    fn write(&self, credentials: &Credentials) -> Result<(), IdentityError> {
        durable::write(&self.ca_file(), &credentials.ca, Access::Everybody)?;
        durable::write(
            &self.certificate_file(),
            &credentials.certificate,
            Access::Everybody,
        )?;
        Ok(())
    }

    /// A signing request (PKCS #10, DER) for the host's key. Its subject is empty: the coordinator knows our name.
    pub(super) fn signing_request(&self) -> Result<Vec<u8>, IdentityError> {
        let key = self.key()?;
        let request = CertificateParams::default()
            .serialize_request(&key)
            .map_err(IdentityError::SigningRequest)?;
        Ok(request.der().to_vec())
    }

    fn fit(
        &self,
        ca: Vec<u8>,
        certificate: Vec<u8>,
        membership: Option<Membership>,
    ) -> Result<Credentials, IdentityError> {
        let key = self.key()?;
        let reading = certificate::read(&certificate, &ca, &key.subject_public_key_info())?;
        Ok(Credentials {
            host: reading.host,
            membership,
            ca: CertificateDer::from(ca),
            certificate: CertificateDer::from(certificate),
            key: key.serialize_der().into(),
            not_before: reading.not_before,
            not_after: reading.not_after,
            may_serve: reading.may_serve,
        })
    }

    /// The host's key, made at its first use. A damaged one is an error: a new one would be another host to the
    /// coordinator, and the certificate in hand worthless.
    fn key(&self) -> Result<KeyPair, IdentityError> {
        let path = self.folder.join("host.key");
        let unusable = |source| IdentityError::Key {
            path: path.clone(),
            source,
        };
        if let Some(content) = durable::read(&path)? {
            return KeyPair::from_pem(&String::from_utf8_lossy(&content)).map_err(unusable);
        }
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(unusable)?;
        durable::write(&path, key.serialize_pem().as_bytes(), Access::Owner)?;
        Ok(key)
    }

    fn membership(&self) -> Result<Option<Membership>, IdentityError> {
        let path = self.membership_file();
        durable::read(&path)?
            .map(|note| serde_json::from_slice(&note))
            .transpose()
            .map_err(|source| IdentityError::Membership { path, source })
    }

    fn membership_file(&self) -> PathBuf {
        self.folder.join("membership.json")
    }

    fn ca_file(&self) -> PathBuf {
        self.folder.join("ca.der")
    }

    fn certificate_file(&self) -> PathBuf {
        self.folder.join("certificate.der")
    }
}
