//! The coordinator's own certificate, made anew before it ends without a restart.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::tls::TlsError;
use crate::ca::Authority;

/// Shared by both listeners.
pub struct ServerCertificate {
    current: RwLock<Arc<CertifiedKey>>,
}

impl ServerCertificate {
    pub fn issue(authority: &Authority, advertise: &str) -> Result<Arc<Self>, TlsError> {
        Ok(Arc::new(Self {
            current: RwLock::new(Arc::new(certified_key(authority, advertise)?)),
        }))
    }

    /// Connections made from now on see a new certificate.
    pub fn renew(&self, authority: &Authority, advertise: &str) -> Result<(), TlsError> {
        let fresh = Arc::new(certified_key(authority, advertise)?);
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = fresh;
        Ok(())
    }
}

impl ResolvesServerCert for ServerCertificate {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(
            self.current
                .read()
                .unwrap_or_else(PoisonError::into_inner)
                .clone(),
        )
    }
}

impl fmt::Debug for ServerCertificate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("ServerCertificate")
    }
}

/// The chain carries the CA's certificate too: an enrolling host knows it by its digest only.
fn certified_key(authority: &Authority, advertise: &str) -> Result<CertifiedKey, TlsError> {
    let (certificate, key) = authority
        .issue_server(advertise)
        .map_err(TlsError::Authority)?;
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let signer = any_supported_type(&key).map_err(TlsError::Rustls)?;
    Ok(CertifiedKey::new(
        vec![certificate, authority.certificate().clone()],
        signer,
    ))
}
