//! Verifies a coordinator of which only the CA's digest is known, as a host does with its token.
//!
//! The digest only chooses the root. What follows is the same verification as with a stored CA: signatures, dates and
//! name.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, Error, OtherError, SignatureScheme};

use crate::model::digest::Digest;

#[derive(Debug)]
pub(super) struct PinnedCa {
    digest: Digest,
    provider: Arc<CryptoProvider>,
}

/// No certificate in the server's chain has the pinned digest.
#[derive(Debug, thiserror::Error)]
#[error("the server did not present the CA certificate with digest {0}")]
pub(super) struct CaNotPresented(Digest);

impl PinnedCa {
    pub(super) fn new(digest: Digest, provider: Arc<CryptoProvider>) -> Self {
        Self { digest, provider }
    }
}

impl ServerCertVerifier for PinnedCa {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let ca = intermediates
            .iter()
            .find(|certificate| Digest::of(certificate) == self.digest)
            .ok_or_else(|| {
                let reason = OtherError(Arc::new(CaNotPresented(self.digest)));
                Error::InvalidCertificate(CertificateError::Other(reason))
            })?;
        super::ca_verifier(ca, &self.provider)
            .map_err(|error| Error::General(error.to_string()))?
            .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
