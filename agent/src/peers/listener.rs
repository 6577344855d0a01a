//! Where other hosts connect: mutual TLS, the host's own certificate, HTTP/2.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
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

/// Connections that may be open at once; an agent has 16 neighbours, and they have it.
const CONNECTIONS: usize = 256;
/// Callers that may be shaking hands at once; more are turned away.
const HANDSHAKES: usize = 64;
/// Connections of one host: one for each artifact, and one that is not yet known to be dead.
const CONNECTIONS_OF_ONE: usize = 4;
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(10);
const OUT_OF_FILES_PAUSE: Duration = Duration::from_millis(200);
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// A neighbour opens one stream per artifact.
const STREAMS: u32 = 8;
const LARGEST_REQUEST_BYTES: usize = 4 << 10;
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

/// Connections by the keys of their hosts.
#[derive(Default)]
struct Callers {
    open: Mutex<BTreeMap<Digest, usize>>,
}

/// One of them, until it is dropped.
struct Place {
    callers: Arc<Callers>,
    key: Digest,
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
        let service = PeersServer::new(PeersService::new(peers));
        let service = service.max_decoding_message_size(LARGEST_REQUEST_BYTES);
        let routes = Routes::new(service).prepare();
        let handshakes = Arc::new(Semaphore::new(HANDSHAKES));
        let callers = Arc::new(Callers::default());
        let mut connections = JoinSet::new();
        loop {
            while connections.try_join_next().is_some() {}
            match self.socket.accept().await {
                Ok((stream, address)) => {
                    let Ok(handshake) = handshakes.clone().try_acquire_owned() else {
                        debug!(%address, "too many callers at once; this one is turned away");
                        continue;
                    };
                    let (tls, routes) = (self.tls.clone(), routes.clone());
                    let callers = callers.clone();
                    connections.spawn(async move {
                        let served = serve(stream, tls, routes, handshake, callers);
                        if let Err(error) = served.await {
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
    handshake: OwnedSemaphorePermit,
    callers: Arc<Callers>,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    stream.set_nodelay(true)?;
    let stream = timeout(HANDSHAKE_WITHIN, TlsAcceptor::from(tls).accept(stream)).await??;
    let chain = stream.get_ref().1.peer_certificates();
    let asker = Asker(key_of(chain.and_then(<[_]>::first))?);
    drop(handshake);
    let _place = Callers::enter(callers, asker.0).ok_or("it has too many connections")?;
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

impl Callers {
    /// None: there is no room for this host, or for anybody.
    fn enter(callers: Arc<Self>, key: Digest) -> Option<Place> {
        {
            let mut open = callers.open();
            let of_one = open.get(&key).copied().unwrap_or(0);
            if open.values().sum::<usize>() >= CONNECTIONS || of_one >= CONNECTIONS_OF_ONE {
                return None;
            }
            open.insert(key, of_one + 1);
        }
        Some(Place { callers, key })
    }

    fn open(&self) -> MutexGuard<'_, BTreeMap<Digest, usize>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.callers.open();
        if let Some(of_one) = open.get_mut(&self.key) {
            *of_one -= 1;
            if *of_one == 0 {
                open.remove(&self.key);
            }
        }
    }
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
