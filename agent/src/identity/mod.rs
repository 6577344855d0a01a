//! The host's key and certificate: made here, certified by the coordinator, renewed in time.
//!
//! The key is made on the host and never leaves it. Everything can be done again after a death: the same key is used, and
//! the coordinator answers a repeated request with a certificate.

mod certificate;
mod enrolment;
mod folder;
mod renewal;
mod token_file;

use std::fmt;

use jiff::Timestamp;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tfleet_proto::channel::{ClientIdentity, ConnectError};
use tfleet_proto::model::digest::Digest;
use tfleet_proto::model::name::HostName;

use crate::durable::FileError;
use crate::ledger::Membership;

pub use certificate::CertificateError;
pub use enrolment::{enrol, obtain};
pub use folder::{Claim, IdentityFolder};
pub use renewal::keep_fresh;

/// Who this host is, and how it proves it.
pub struct Credentials {
    pub host: HostName,
    /// Which ledger is this host's. `None`: it enrolled before memberships were noted.
    pub membership: Option<Membership>,
    ca: CertificateDer<'static>,
    certificate: CertificateDer<'static>,
    key: PrivatePkcs8KeyDer<'static>,
    pub not_before: Timestamp,
    pub not_after: Timestamp,
    /// Whether the certificate is good for serving other hosts.
    pub may_serve: bool,
}

/// What can go wrong between this host and its certificate.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error(
        "an agent runs with this host's identity ({} is locked): stop it first (systemctl stop tfleet-agent), and start \
         it again afterwards",
        path.display()
    )]
    InUse { path: std::path::PathBuf },
    #[error("cannot lock {}", path.display())]
    Lock {
        path: std::path::PathBuf,
        source: std::io::Error,
    },
    #[error("the host's key {} cannot be used; move it away and enrol again with a new token", path.display())]
    Key {
        path: std::path::PathBuf,
        source: rcgen::Error,
    },
    #[error("cannot make a signing request")]
    SigningRequest(#[source] rcgen::Error),
    #[error("the note {} of this host's membership is damaged; enrol again with a new token", path.display())]
    Membership {
        path: std::path::PathBuf,
        source: serde_json::Error,
    },
    #[error("cannot use the certificate that the coordinator gave")]
    Certificate(#[from] CertificateError),
    #[error("cannot reach the coordinator; {}", .0.remedy())]
    Connect(#[from] ConnectError),
    #[error("the coordinator at {address} did not answer the {request} within {seconds} s")]
    Silent {
        address: tfleet_proto::channel::Address,
        request: &'static str,
        seconds: u64,
    },
    #[error("the coordinator refused the {request}: {}", status.message())]
    Refused {
        request: &'static str,
        status: tonic::Status,
    },
    #[error(
        "the coordinator answered for the host `{answered}`, and the token is for `{expected}`"
    )]
    OtherHost {
        answered: String,
        expected: HostName,
    },
    #[error("the coordinator gave another CA than the token names")]
    OtherCa,
    #[error(
        "this host has no certificate and no `token_file` to get one with; make a token with `tfleet token create` and \
         run `tfleet-agent enrol --token TOKEN`"
    )]
    NoToken,
    #[error("the process ended in the middle of it")]
    Ended(#[source] tokio::task::JoinError),
}

impl Credentials {
    /// For [`tfleet_proto::channel::connect`].
    pub fn client_identity(&self) -> ClientIdentity {
        ClientIdentity {
            ca_certificate: self.ca.clone(),
            certificate_chain: vec![self.certificate.clone()],
            key: PrivateKeyDer::Pkcs8(self.key.clone_key()),
        }
    }

    /// The digest of the fleet's CA. It names the fleet where two could meet: on a container's label.
    pub fn fleet(&self) -> Digest {
        Digest::of(&self.ca)
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "Credentials({}, {} to {})",
            self.host, self.not_before, self.not_after
        )
    }
}

impl IdentityError {
    /// Whether trying again can help without anybody doing anything.
    fn may_pass(&self) -> bool {
        match self {
            Self::Connect(_) | Self::Silent { .. } => true,
            Self::Refused { status, .. } => !matches!(
                status.code(),
                tonic::Code::Unauthenticated
                    | tonic::Code::InvalidArgument
                    | tonic::Code::PermissionDenied
            ),
            _ => false,
        }
    }
}

/// Keys and certificates are read, written and signed on blocking threads.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, IdentityError> + Send + 'static,
) -> Result<T, IdentityError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(IdentityError::Ended)?
}

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
