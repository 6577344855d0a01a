//! Why a coordinator could not be reached, told apart by what a person has to do.

use std::error::Error;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use rustls::pki_types::UnixTime;
use rustls::{AlertDescription, CertificateError};

use super::{Address, pinned::CaNotPresented};

/// See [`ConnectError::remedy`] for what to do next.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    #[error("the coordinator at {address} cannot be reached")]
    Unreachable { address: Address, source: io::Error },
    #[error("nothing at {address} answered within {} s", limit.as_secs())]
    Silent { address: Address, limit: Duration },
    #[error("{address} closed the connection without a word")]
    Closed { address: Address },
    #[error(
        "the coordinator at {address} belongs to another fleet: its certificate was not issued by the CA we know"
    )]
    WrongCa { address: Address },
    #[error("the certificate of {address} is not a coordinator's")]
    WrongName { address: Address },
    #[error(
        "the coordinator's certificate starts only at {not_before}, and this machine's clock says {now}"
    )]
    NotValidYet {
        address: Address,
        not_before: Timestamp,
        now: Timestamp,
    },
    #[error(
        "the coordinator's certificate ended at {not_after}, and this machine's clock says {now}"
    )]
    Ended {
        address: Address,
        not_after: Timestamp,
        now: Timestamp,
    },
    #[error("the coordinator at {address} refused us: {because}")]
    Refused {
        address: Address,
        because: RefusedBecause,
    },
    #[error("no TLS connection to {address}")]
    Tls { address: Address, source: io::Error },
    #[error("our own certificate or key cannot be used")]
    Identity { source: rustls::Error },
    #[error("no HTTP/2 connection to {address}")]
    Http {
        address: Address,
        source: tonic::transport::Error,
    },
}

/// What the coordinator's TLS said about our certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RefusedBecause {
    #[error("our certificate was revoked")]
    Revoked,
    #[error("our certificate has ended, or one of the two clocks is wrong")]
    Ended,
    #[error("our certificate was issued by another fleet's CA")]
    UnknownCa,
    #[error("it asks for a client certificate and we showed none")]
    NoCertificate,
    #[error("it does not accept our certificate ({0:?})")]
    Other(AlertDescription),
}

impl ConnectError {
    /// What a person can do about it.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Unreachable { .. } | Self::Silent { .. } | Self::Closed { .. } => {
                "check the address, that tfleet-coordinator runs there, and that no firewall is between"
            }
            Self::WrongCa { .. } => {
                "check the address; if it is right, use a token or credentials of that coordinator's fleet"
            }
            Self::WrongName { .. } | Self::Http { .. } | Self::Tls { .. } => {
                "check the address and the port: it must be a tfleet-coordinator's listener"
            }
            Self::NotValidYet { .. } | Self::Ended { .. } => {
                "set this machine's clock, or the coordinator's if that one is wrong"
            }
            Self::Refused {
                because: RefusedBecause::Ended,
                ..
            } => "compare the clocks of both machines; if they agree, get a new certificate",
            Self::Refused { .. } => "get a new certificate from the coordinator's operator",
            Self::Identity { .. } => "get a new certificate; the stored one is damaged",
        }
    }

    /// Finds the reason inside an error of an established channel, which dials again by itself.
    pub fn in_chain<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a Self> {
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(found) = error.downcast_ref() {
                return Some(found);
            }
            next = error.source();
        }
        None
    }

    /// Reads what the TLS layer hid in an I/O error.
    pub(super) fn tls(address: &Address, source: io::Error) -> Self {
        let address = address.clone();
        match source
            .get_ref()
            .and_then(|inner| inner.downcast_ref::<rustls::Error>())
        {
            Some(rustls::Error::InvalidCertificate(error)) => match error {
                CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                    Self::WrongCa { address }
                }
                CertificateError::Other(other) if is_ca_not_presented(&other.0) => {
                    Self::WrongCa { address }
                }
                CertificateError::NotValidForName
                | CertificateError::NotValidForNameContext { .. } => Self::WrongName { address },
                CertificateError::NotValidYetContext { time, not_before } => Self::NotValidYet {
                    address,
                    not_before: timestamp(*not_before),
                    now: timestamp(*time),
                },
                CertificateError::ExpiredContext { time, not_after } => Self::Ended {
                    address,
                    not_after: timestamp(*not_after),
                    now: timestamp(*time),
                },
                _ => Self::Tls { address, source },
            },
            Some(rustls::Error::AlertReceived(alert)) => {
                let because = RefusedBecause::from(*alert);
                Self::Refused { address, because }
            }
            _ => Self::Tls { address, source },
        }
    }
}

impl From<AlertDescription> for RefusedBecause {
    fn from(alert: AlertDescription) -> Self {
        match alert {
            AlertDescription::CertificateRevoked => Self::Revoked,
            AlertDescription::CertificateExpired => Self::Ended,
            // Every fleet's CA may have the same name; then it is the signature that gives the other one away.
            AlertDescription::UnknownCA | AlertDescription::DecryptError => Self::UnknownCa,
            AlertDescription::CertificateRequired => Self::NoCertificate,
            other => Self::Other(other),
        }
    }
}

fn is_ca_not_presented(error: &Arc<dyn Error + Send + Sync>) -> bool {
    error.downcast_ref::<CaNotPresented>().is_some()
}

/// A certificate's date, which may lie outside the years that a timestamp has; the nearest one then.
fn timestamp(time: UnixTime) -> Timestamp {
    i64::try_from(time.as_secs())
        .ok()
        .and_then(|seconds| Timestamp::from_second(seconds).ok())
        .unwrap_or(Timestamp::MAX)
}
