//! Who is on the other end, by its certificate and by nothing else.

use std::fmt;
use std::net::SocketAddr;

use jiff::Timestamp;
use rustls::pki_types::CertificateDer;
use tfleet_proto::model::digest::Digest;
use tfleet_proto::model::name::HostName;
use tonic::{Request, Status};

use crate::ca::{AuthorityError, Certified, Role};

/// The holder of a connection's client certificate.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Peer {
    /// On the enrolment listener.
    Anonymous,
    Host {
        name: HostName,
        key: Digest,
    },
    Operator {
        name: String,
        key: Digest,
    },
    /// Once certified by this fleet, and no longer.
    Revoked(String),
}

/// A request's origin, put beside every request by the listener.
#[derive(Debug, Clone)]
pub struct Caller {
    pub peer: Peer,
    pub address: SocketAddr,
}

/// Decides, for each new connection, whether a certificate of this fleet still counts.
#[tonic::async_trait]
pub trait Admission: Send + Sync {
    async fn admits(&self, peer: &Peer) -> bool;
}

impl Peer {
    /// Who it is, and until when the certificate says so.
    pub(super) fn of(
        certificate: Option<&CertificateDer<'_>>,
    ) -> Result<(Self, Option<Timestamp>), AuthorityError> {
        let Some(certificate) = certificate else {
            return Ok((Self::Anonymous, None));
        };
        let certified = Certified::read(certificate)?;
        let peer = match certified.role {
            Role::Host => Self::Host {
                name: certified
                    .name
                    .parse()
                    .map_err(|error| AuthorityError::Request(format!("{error}")))?,
                key: certified.key,
            },
            Role::Operator => Self::Operator {
                name: certified.name,
                key: certified.key,
            },
        };
        Ok((peer, Some(certified.ends_at)))
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anonymous => formatter.write_str("an unknown peer"),
            Self::Host { name, .. } => write!(formatter, "host {name}"),
            Self::Operator { name, .. } => write!(formatter, "operator {name}"),
            Self::Revoked(who) => formatter.write_str(who),
        }
    }
}

/// For services that hosts call. No handler of theirs runs without it.
pub fn require_host(request: Request<()>) -> Result<Request<()>, Status> {
    match peer(&request)? {
        Peer::Host { .. } => Ok(request),
        other => Err(Status::permission_denied(format!(
            "{other} is not a host of this fleet"
        ))),
    }
}

/// For services that operators call.
pub fn require_operator(request: Request<()>) -> Result<Request<()>, Status> {
    match peer(&request)? {
        Peer::Operator { .. } => Ok(request),
        other => Err(Status::permission_denied(format!(
            "{other} is not an operator of this fleet"
        ))),
    }
}

/// For services that every member of the fleet may call.
pub fn require_member(request: Request<()>) -> Result<Request<()>, Status> {
    match peer(&request)? {
        Peer::Host { .. } | Peer::Operator { .. } => Ok(request),
        other => Err(Status::permission_denied(format!(
            "{other} is not a member of this fleet"
        ))),
    }
}

fn peer(request: &Request<()>) -> Result<&Peer, Status> {
    match request
        .extensions()
        .get::<Caller>()
        .map(|caller| &caller.peer)
    {
        None => Err(Status::internal("a request came past the listener")),
        Some(Peer::Revoked(who)) => Err(Status::permission_denied(format!(
            "{who} was removed from this fleet; enrol again with a new token"
        ))),
        Some(peer) => Ok(peer),
    }
}
