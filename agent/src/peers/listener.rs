//! Where other hosts connect: mutual TLS, the host's own certificate, HTTP/2.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::server::{
    ClientHello, NoServerSessionStorage, ResolvesServerCert, WebPkiClientVerifier,
};
use rustls::sign::CertifiedKey;
use rustls::{RootCertStore, ServerConfig};
use tfleet_proto::model::digest::Digest;
use tfleet_proto::wire::peers_server::PeersServer;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tonic::service::Routes;
use tower::Service as _;
use tracing::{debug, warn};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::Peers;
use super::serving::PeersService;
use crate::identity::Credentials;

/// Hosts that may be connected at once; an agent has 16 neighbours, and they have it.
const CONNECTIONS: usize = 256;
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(10);
const OUT_OF_FILES_PAUSE: Duration = Duration::from_millis(200);
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// A neighbour opens one stream per artifact.
const STREAMS: u32 = 8;
const WINDOW_BYTES: u32 = 1 << 16;
const SEND_BUFFER_BYTES: usize = 512 << 10;

/// The digest of a caller's key, put beside every request of its connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asker(pub Digest);

/// A socket that others may connect to, and does not serve yet.
pub struct Listener {
    socket: TcpListener,
    tls: Arc<ServerConfig>,
}

/// Why there is no listener for other hosts.
#[derive(Debug, thiserror::Error)]
pub enum ListenerError {
    #[error("cannot listen on {address} for other hosts (`peers` in agent.toml)")]
    Listen {
        address: SocketAddr,
        source: std::io::Error,
    },
    #[error("cannot set up TLS for other hosts")]
    Tls(#[source] rustls::Error),
    #[error("cannot set up the verification of other hosts' certificates")]
    Verifier(#[source] rustls::server::VerifierBuilderError),
}

/// The newest certificate of this host.
struct OwnCertificate(watch::Receiver<Arc<Credentials>>);

impl Listener {
    /// Listens; a port of zero is chosen by the system.
    pub fn bind(
        address: SocketAddr,
        credentials: watch::Receiver<Arc<Credentials>>,
    ) -> Result<Self, ListenerError> {
        let failed = |source| ListenerError::Listen { address, source };
        let socket = std::net::TcpListener::bind(address).map_err(failed)?;
        socket.set_nonblocking(true).map_err(failed)?;
        Ok(Self {
            socket: TcpListener::from_std(socket).map_err(failed)?,
            tls: server_config(credentials)?,
        })
    }

    /// Where it is reached.
    pub fn port(&self) -> u16 {
        self.socket.local_addr().map_or(0, |address| address.port())
    }

    /// Serves until it is dropped.
    pub async fn run(self, peers: Peers) -> std::convert::Infallible {
        let routes = Routes::new(PeersServer::new(PeersService::new(peers))).prepare();
        let room = Arc::new(Semaphore::new(CONNECTIONS));
        let mut connections = JoinSet::new();
        loop {
            while connections.try_join_next().is_some() {}
            // Closed never.
            let place = room.clone().acquire_owned().await;
            let (Ok(place), accepted) = (place, self.socket.accept().await) else {
                continue;
            };
            match accepted {
                Ok((stream, address)) => {
                    let (tls, routes) = (self.tls.clone(), routes.clone());
                    connections.spawn(async move {
                        if let Err(error) = serve(stream, tls, routes, place).await {
                            debug!(%address, error, "another host's connection ended");
                        }
                    });
                }
                Err(error) => {
                    warn!(%error, "cannot accept other hosts' connections; trying again");
                    tokio::time::sleep(OUT_OF_FILES_PAUSE).await;
                }
            }
        }
    }
}

async fn serve(
    stream: TcpStream,
    tls: Arc<ServerConfig>,
    routes: Routes,
    _place: OwnedSemaphorePermit,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    stream.set_nodelay(true)?;
    let stream = timeout(HANDSHAKE_WITHIN, TlsAcceptor::from(tls).accept(stream)).await??;
    let chain = stream.get_ref().1.peer_certificates();
    let asker = Asker(key_of(chain.and_then(<[_]>::first))?);
    let service = hyper::service::service_fn(move |mut request: http::Request<_>| {
        request.extensions_mut().insert(asker);
        let mut routes = routes.clone();
        async move { routes.call(request).await }
    });
    hyper::server::conn::http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE)
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES)
        .max_send_buf_size(SEND_BUFFER_BYTES)
        .max_concurrent_streams(STREAMS)
        .serve_connection(TokioIo::new(stream), service)
        .await?;
    Ok(())
}

/// The verifier took the certificate, so there is one and it can be read.
fn key_of(
    certificate: Option<&CertificateDer<'_>>,
) -> Result<Digest, Box<dyn std::error::Error + Send + Sync>> {
    let certificate = certificate.ok_or("a caller without a certificate")?;
    let (_, certificate) = X509Certificate::from_der(certificate)?;
    Ok(Digest::of(certificate.public_key().raw))
}

/// As the coordinator's: TLS 1.3, no session that outlives its handshake.
fn server_config(
    credentials: watch::Receiver<Arc<Credentials>>,
) -> Result<Arc<ServerConfig>, ListenerError> {
    let provider = Arc::new(ring::default_provider());
    let mut roots = RootCertStore::empty();
    let ca = credentials.borrow().client_identity().ca_certificate;
    roots.add(ca).map_err(ListenerError::Tls)?;
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
            .build()
            .map_err(ListenerError::Verifier)?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(ListenerError::Tls)?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(Arc::new(OwnCertificate(credentials)));
    config.alpn_protocols = vec![b"h2".to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

impl ResolvesServerCert for OwnCertificate {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let identity = self.0.borrow().client_identity();
        let signer = ring::sign::any_supported_type(&identity.key).ok()?;
        Some(Arc::new(CertifiedKey::new(
            identity.certificate_chain,
            signer,
        )))
    }
}

impl fmt::Debug for OwnCertificate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("OwnCertificate")
    }
}
