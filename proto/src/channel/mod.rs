//! How a client (an agent, an operator) reaches a coordinator, and an agent another one: TCP, mutual TLS, HTTP/2.
//!
//! Whatever address a coordinator has, its certificate carries the name [`SERVER_NAME`] and was issued by the fleet's
//! own CA. A client knows that CA by its certificate, or, before it has one, by the digest in its token. There is no
//! way to connect without one of the two. A host that serves others carries a name made of its key ([`host_name`]), so
//! that the usual verification of a name is the verification of the key that the coordinator told.

mod error;
mod pinned;

#[cfg(test)]
mod tests;

use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use rustls::client::WebPkiServerVerifier;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::AsyncBufReadExt as _;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::transport::{Channel, Endpoint, Uri};

pub use error::{ConnectError, RefusedBecause};

use crate::model::digest::Digest;

/// The name in every coordinator's certificate.
pub const SERVER_NAME: &str = "coordinator.tfleet.internal";

/// The name in the certificate of a host with this key. A label of a name has at most 63 bytes, so half of the digest's
/// 64 digits must do: 128 bits.
pub fn host_name(key: &Digest) -> String {
    format!("{}.host.tfleet.internal", &key.hex()[..32])
}

/// From the first packet to the coordinator's first word; a silent peer is given up after this.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
const KEEP_ALIVE: Duration = Duration::from_secs(20);
/// For one stream, and for a connection: from a coordinator, and from one of many hosts.
const WINDOWS_BYTES: (u32, u32) = (16 << 20, 32 << 20);
const HOST_WINDOWS_BYTES: (u32, u32) = (1 << 20, 1 << 20);
const FRAME_BYTES: u32 = 1 << 20;

/// Where a coordinator listens: `HOST:PORT`, an IPv6 address in brackets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address(String);

/// How the client knows the other side, and who the client says it is.
#[derive(Debug)]
pub enum Trust {
    /// The coordinator's CA by the SHA-256 of its certificate; the client is nobody yet. The coordinator sends the CA's
    /// certificate in its chain.
    PinnedCa(Digest),
    Identity(ClientIdentity),
    /// Another host of the same fleet, by the SHA-256 of its public key.
    Host {
        identity: ClientIdentity,
        key: Digest,
    },
}

/// A client certificate with its key, and the CA that issued it and the coordinator's.
pub struct ClientIdentity {
    pub ca_certificate: CertificateDer<'static>,
    /// The client's certificate first.
    pub certificate_chain: Vec<CertificateDer<'static>>,
    pub key: PrivateKeyDer<'static>,
}

/// Connects, and reconnects by itself later. The first connection is made before this returns, so that its error has
/// its type.
///
/// A later failure comes as the source of a `tonic::Status`: see [`ConnectError::in_chain`].
pub async fn connect(address: &Address, trust: Trust) -> Result<Channel, ConnectError> {
    let (stream_window_bytes, connection_window_bytes) = match trust {
        Trust::PinnedCa(_) | Trust::Identity(_) => WINDOWS_BYTES,
        Trust::Host { .. } => HOST_WINDOWS_BYTES,
    };
    let dialer = Dialer::new(address.clone(), trust)?;
    let first = dialer.dial().await?;
    let kept = Arc::new(Mutex::new(Some(first)));
    let connector = tower::service_fn(move |_: Uri| {
        let kept = kept.lock().unwrap_or_else(PoisonError::into_inner).take();
        let dialer = dialer.clone();
        async move {
            match kept {
                Some(stream) => Ok(TokioIo::new(stream)),
                None => dialer.dial().await.map(TokioIo::new),
            }
        }
    });
    // The scheme is http because the connector does TLS itself; nothing here can speak plain text.
    Endpoint::from_static("http://coordinator.tfleet.internal")
        .initial_stream_window_size(stream_window_bytes)
        .initial_connection_window_size(connection_window_bytes)
        .max_frame_size(FRAME_BYTES)
        .http2_keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE)
        .keep_alive_while_idle(true)
        .connect_with_connector(connector)
        .await
        .map_err(|source| ConnectError::Http {
            address: address.clone(),
            source,
        })
}

/// Makes one TLS connection at a time.
#[derive(Clone)]
struct Dialer {
    address: Address,
    tls: TlsConnector,
    server_name: ServerName<'static>,
}

impl Dialer {
    fn new(address: Address, trust: Trust) -> Result<Self, ConnectError> {
        let name = match &trust {
            Trust::PinnedCa(_) | Trust::Identity(_) => SERVER_NAME.to_owned(),
            Trust::Host { key, .. } => host_name(key),
        };
        let mut config = client_config(trust)?;
        config.alpn_protocols = vec![b"h2".to_vec()];
        #[expect(
            clippy::expect_used,
            reason = "both forms are DNS names; tests connect with them"
        )]
        let server_name = ServerName::try_from(name).expect("a DNS name");
        Ok(Self {
            address,
            tls: TlsConnector::from(Arc::new(config)),
            server_name,
        })
    }

    async fn dial(&self) -> Result<TlsStream<TcpStream>, ConnectError> {
        let address = &self.address;
        tokio::time::timeout(CONNECT_TIMEOUT, self.dial_without_limit())
            .await
            .unwrap_or_else(|_| {
                Err(ConnectError::Silent {
                    address: address.clone(),
                    limit: CONNECT_TIMEOUT,
                })
            })
    }

    async fn dial_without_limit(&self) -> Result<TlsStream<TcpStream>, ConnectError> {
        let unreachable = |source| ConnectError::Unreachable {
            address: self.address.clone(),
            source,
        };
        let tcp = TcpStream::connect(self.address.as_str())
            .await
            .map_err(unreachable)?;
        tcp.set_nodelay(true).map_err(unreachable)?;
        let tls_failed = |source| ConnectError::tls(&self.address, source);
        let mut stream = self
            .tls
            .connect(self.server_name.clone(), tcp)
            .await
            .map_err(tls_failed)?;
        // In TLS 1.3 the server judges the client's certificate after the client's part of the handshake is over. Its
        // first word is either that it refuses, or HTTP/2's settings, which stay in the buffer.
        let first = stream.fill_buf().await.map_err(tls_failed)?;
        if first.is_empty() {
            return Err(ConnectError::Closed {
                address: self.address.clone(),
            });
        }
        Ok(stream)
    }
}

fn client_config(trust: Trust) -> Result<ClientConfig, ConnectError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|source| ConnectError::Identity { source })?
        .dangerous();
    match trust {
        Trust::PinnedCa(digest) => Ok(builder
            .with_custom_certificate_verifier(Arc::new(pinned::PinnedCa::new(digest, provider)))
            .with_no_client_auth()),
        Trust::Identity(identity) | Trust::Host { identity, .. } => builder
            .with_custom_certificate_verifier(ca_verifier(&identity.ca_certificate, &provider)?)
            .with_client_auth_cert(identity.certificate_chain, identity.key)
            .map_err(|source| ConnectError::Identity { source }),
    }
}

/// The usual verification, with this one CA as the only root.
fn ca_verifier(
    ca_certificate: &CertificateDer<'_>,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<WebPkiServerVerifier>, ConnectError> {
    let mut roots = RootCertStore::empty();
    roots
        .add(ca_certificate.clone().into_owned())
        .map_err(|source| ConnectError::Identity { source })?;
    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
        .build()
        .map_err(|error| ConnectError::Identity {
            source: rustls::Error::General(error.to_string()),
        })
}

impl Address {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(&self.0)
    }
}

/// Why a text is not an address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an address: write HOST:PORT, such as 10.88.0.1:7444")]
pub struct AddressError(String);

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let refusal = || AddressError(text.to_owned());
        let (host, port) = text.rsplit_once(':').ok_or_else(refusal)?;
        let bracketed = host.starts_with('[') && host.ends_with(']');
        let port_is_one = port.parse::<u16>().is_ok_and(|port| port > 0);
        if host.is_empty()
            || (host.contains(':') && !bracketed)
            || host.contains('/')
            || !port_is_one
        {
            return Err(refusal());
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Debug for ClientIdentity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("ClientIdentity(…)")
    }
}
