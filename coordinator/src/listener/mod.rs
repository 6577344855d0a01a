//! The coordinator's doors. Each connection is accepted, shaken hands with and served by our own loop.
//!
//! tonic's loop was not used: with the file descriptors used up by silent sockets it spins and says nothing. Here a peer
//! that says nothing is given up after [`HANDSHAKE_WITHIN`], or earlier if others need the room, and a lack of descriptors
//! is waited out and logged. A connection ends with the certificate that it was opened with.

mod allowance;
mod connections;
mod peer;
mod server_certificate;
mod strangers;
mod tls;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use jiff::Timestamp;
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::service::Routes;
use tower::Service as _;
use tracing::{debug, info, warn};

use strangers::{Stranger, Strangers};

pub use allowance::Allowance;
pub use connections::Connections;
pub use peer::{Admission, Caller, Peer, require_host, require_member, require_operator};
pub use server_certificate::ServerCertificate;
pub use tls::{TlsError, enrolment_tls, fleet_tls};

/// From the first packet to the end of the TLS handshake.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(10);
/// How long a lack of file descriptors is waited out before the next accept.
const OUT_OF_FILES_PAUSE: Duration = Duration::from_millis(200);
/// How long the streams of a revoked certificate have to end by themselves.
const LAST_WORD: Duration = Duration::from_millis(250);
/// How long the streams of a certificate that ended have. Nothing new begins in that time.
const AFTER_THE_END: Duration = Duration::from_secs(3);
/// The clock is looked at this often: it may be set, and the machine may sleep.
const LOOK_AT_CLOCK: Duration = Duration::from_secs(60);
const KEEP_ALIVE: Duration = Duration::from_secs(20);
/// One such warning tells as much as a thousand.
const BETWEEN_WARNINGS: Duration = Duration::from_secs(10);

/// One door: where it is, how it shakes hands, what it serves, whom it lets in.
pub struct Listener {
    pub name: &'static str,
    pub socket: TcpListener,
    pub tls: Arc<ServerConfig>,
    pub routes: Routes,
    pub admission: Arc<dyn Admission>,
    pub connections: Connections,
    pub allowance: Allowance,
}

/// A listener that serves, and who is at it.
struct Door {
    listener: Listener,
    handshakes: Strangers,
    anonymous: Strangers,
}

/// A peer that is through the handshake.
struct Arrival {
    stream: TlsStream<TcpStream>,
    peer: Peer,
    /// When its certificate does.
    ends_at: Option<Timestamp>,
    address: SocketAddr,
}

impl Listener {
    /// Serves until `stop`; then what is being served may finish, until `cut`.
    pub async fn serve(self, stop: CancellationToken, cut: CancellationToken) {
        let tracker = TaskTracker::new();
        let door = Arc::new(Door {
            listener: self,
            handshakes: Strangers::shaking_hands(),
            anonymous: Strangers::without_certificate(),
        });
        let name = door.listener.name;
        let mut warned: Option<Instant> = None;
        loop {
            // Cancel-safe: an accept that is dropped has taken no connection.
            let accepted = tokio::select! {
                () = stop.cancelled() => break,
                accepted = door.listener.socket.accept() => accepted,
            };
            let (stream, address) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    let dropped = door.handshakes.make_room() + door.anonymous.make_room();
                    if warned.is_none_or(|at| at.elapsed() > BETWEEN_WARNINGS) {
                        warned = Some(Instant::now());
                        warn!(listener = name, %error, dropped, "cannot accept connections; dropped silent ones and trying again");
                    }
                    tokio::time::sleep(OUT_OF_FILES_PAUSE).await;
                    continue;
                }
            };
            let handshake = door.handshakes.enter();
            let (door, stop, cut) = (door.clone(), stop.clone(), cut.clone());
            tracker.spawn(async move {
                // Whichever ends first, dropping the others closes the connection and nothing more.
                tokio::select! {
                    () = door.receive(stream, address, handshake, stop) => {}
                    () = cut.cancelled() => {}
                    () = outstayed(door.listener.allowance.longest) => {}
                }
            });
        }
        tracker.close();
        tracker.wait().await;
    }
}

impl Door {
    async fn receive(
        &self,
        stream: TcpStream,
        address: SocketAddr,
        handshake: Stranger,
        stop: CancellationToken,
    ) {
        // A handshake that is dropped is a connection that is closed.
        let arrived = tokio::select! {
            arrived = self.shake_hands(stream, address) => arrived,
            () = handshake.sent_away() => Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "the peer said nothing, and others needed the room",
            )),
            () = stop.cancelled() => return,
        };
        let name = self.listener.name;
        match arrived {
            Ok(arrival) if arrival.peer == Peer::Anonymous => {
                // Anybody gets this far, and may go on saying nothing: it still makes room for others.
                let stranger = self.anonymous.enter();
                drop(handshake);
                tokio::select! {
                    () = self.serve_connection(arrival, stop) => {}
                    () = stranger.sent_away() => debug!(listener = name, %address, "others needed the room"),
                }
            }
            Ok(arrival) => {
                drop(handshake);
                self.serve_connection(arrival, stop).await;
            }
            Err(error) => debug!(listener = name, %address, %error, "a handshake failed"),
        }
    }

    async fn shake_hands(&self, stream: TcpStream, address: SocketAddr) -> io::Result<Arrival> {
        stream.set_nodelay(true)?;
        let acceptor = TlsAcceptor::from(self.listener.tls.clone());
        let stream = timeout(HANDSHAKE_WITHIN, acceptor.accept(stream))
            .await
            .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "the peer said nothing"))??;
        let certificate = stream
            .get_ref()
            .1
            .peer_certificates()
            .and_then(<[_]>::first);
        let (peer, ends_at) = Peer::of(certificate)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        Ok(Arrival {
            stream,
            peer,
            ends_at,
            address,
        })
    }

    async fn serve_connection(&self, arrival: Arrival, stop: CancellationToken) {
        let Arrival {
            stream,
            peer,
            ends_at,
            address,
        } = arrival;
        // First registered, then asked for: a revocation in between ends it.
        let revocation = self.listener.connections.register(&peer);
        let peer = if self.listener.admission.admits(&peer).await {
            peer
        } else {
            // TLS is done, so that a removed host can be told why: every call is refused by the role checks.
            Peer::Revoked(peer.to_string())
        };
        let caller = Caller { peer, address };
        let routes = self.listener.routes.clone();
        let service = hyper::service::service_fn({
            let caller = caller.clone();
            move |mut request: http::Request<hyper::body::Incoming>| {
                request.extensions_mut().insert(caller.clone());
                let mut routes = routes.clone();
                async move { routes.call(request).await }
            }
        });
        let allowance = self.listener.allowance;
        let mut server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        server
            .timer(TokioTimer::new())
            .keep_alive_interval(KEEP_ALIVE)
            .keep_alive_timeout(KEEP_ALIVE)
            .initial_stream_window_size(allowance.stream_window_bytes)
            .initial_connection_window_size(allowance.connection_window_bytes)
            .max_frame_size(allowance.frame_bytes)
            .max_send_buf_size(allowance.send_buffer_bytes)
            .max_concurrent_streams(allowance.streams);
        let connection = server.serve_connection(TokioIo::new(stream), service);
        tokio::pin!(connection);
        let end = end_of(ends_at);
        tokio::pin!(end);
        let cut_off = tokio::time::sleep(LAST_WORD);
        tokio::pin!(cut_off);
        let (mut stopping, mut ended, mut revoked) = (false, false, false);
        loop {
            // Cancel-safe: what is not only a token is pinned outside.
            tokio::select! {
                done = &mut connection => {
                    if let Err(error) = done {
                        debug!(listener = self.listener.name, address = %caller.address, %error, "a connection ended");
                    }
                    return;
                }
                // Revoked: whoever holds a stream has a moment to say so, then all end.
                () = revocation.cancelled(), if !revoked => {
                    revoked = true;
                    connection.as_mut().graceful_shutdown();
                    cut_off.as_mut().reset(Instant::now() + LAST_WORD);
                }
                // The handshake asked whether the certificate counts; it does not ask again.
                () = &mut end, if !ended && !revoked => {
                    ended = true;
                    info!(listener = self.listener.name, peer = %caller.peer, "a certificate ended, and its connection with it");
                    connection.as_mut().graceful_shutdown();
                    cut_off.as_mut().reset(Instant::now() + AFTER_THE_END);
                }
                () = &mut cut_off, if revoked || ended => return,
                () = stop.cancelled(), if !stopping => {
                    stopping = true;
                    connection.as_mut().graceful_shutdown();
                }
            }
        }
    }
}

/// Returns when a certificate that ends has ended.
async fn end_of(ends_at: Option<Timestamp>) {
    let Some(ends_at) = ends_at else {
        return std::future::pending().await;
    };
    while let Ok(left) = Duration::try_from(ends_at.duration_since(Timestamp::now()))
        && !left.is_zero()
    {
        tokio::time::sleep(left.min(LOOK_AT_CLOCK)).await;
    }
}

async fn outstayed(longest: Option<Duration>) {
    match longest {
        Some(longest) => tokio::time::sleep(longest).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
