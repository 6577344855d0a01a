//! The two ways to shake hands. TLS 1.3 only; the one provider is ring.

use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig};

use super::server_certificate::ServerCertificate;
use crate::ca::AuthorityError;

#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("cannot make the server's certificate")]
    Authority(#[source] AuthorityError),
    #[error("cannot set up TLS")]
    Rustls(#[source] rustls::Error),
    #[error("cannot set up the verification of client certificates")]
    Verifier(#[source] rustls::server::VerifierBuilderError),
}

/// Asks for no client certificate.
pub fn enrolment_tls(certificate: Arc<ServerCertificate>) -> Result<Arc<ServerConfig>, TlsError> {
    let config = builder()?
        .with_no_client_auth()
        .with_cert_resolver(certificate);
    Ok(with_http2(config))
}

/// Requires a client certificate of the fleet's CA.
pub fn fleet_tls(
    certificate: Arc<ServerCertificate>,
    authority: &CertificateDer<'static>,
) -> Result<Arc<ServerConfig>, TlsError> {
    let mut roots = RootCertStore::empty();
    roots.add(authority.clone()).map_err(TlsError::Rustls)?;
    let verifier = WebPkiClientVerifier::builder_with_provider(
        Arc::new(roots),
        Arc::new(ring::default_provider()),
    )
    .build()
    .map_err(TlsError::Verifier)?;
    let config = builder()?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(certificate);
    Ok(with_http2(config))
}

fn builder() -> Result<rustls::ConfigBuilder<ServerConfig, rustls::WantsVerifier>, TlsError> {
    ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(TlsError::Rustls)
}

/// A resumed session would take a client's certificate from an earlier handshake, without asking whether it still counts.
/// So there are none, and no memory is kept for peers that left.
fn with_http2(mut config: ServerConfig) -> Arc<ServerConfig> {
    config.alpn_protocols = vec![b"h2".to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Arc::new(config)
}
