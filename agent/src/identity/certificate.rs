//! Reading a certificate that the coordinator gave, and checking that it is for us.

use jiff::Timestamp;
use tfleet_proto::channel;
use tfleet_proto::model::digest::Digest;
use tfleet_proto::model::name::{HostName, NameError};
use x509_parser::certificate::X509Certificate;
use x509_parser::error::X509Error;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

/// What of a certificate matters to its holder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reading {
    pub host: HostName,
    pub not_before: Timestamp,
    pub not_after: Timestamp,
    /// Whether it carries the name under which other hosts know this one.
    pub may_serve: bool,
}

/// Why a certificate is not this host's.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    #[error("it is not an X.509 certificate")]
    Form(#[source] x509_parser::nom::Err<X509Error>),
    #[error("its subject has no common name")]
    NoName,
    #[error("its common name is not a host's")]
    Name(#[source] NameError),
    #[error("its dates are beyond what a clock can show")]
    Dates(#[source] jiff::Error),
    #[error("it was not issued by the fleet's CA")]
    Issuer(#[source] X509Error),
    #[error("it is for another key than this host's")]
    Key,
}

/// Reads `certificate` (DER) and checks that `ca` (DER) issued it for the key with the public half `public_key` (DER of
/// SubjectPublicKeyInfo).
pub(super) fn read(
    certificate: &[u8],
    ca: &[u8],
    public_key: &[u8],
) -> Result<Reading, CertificateError> {
    let (_, certificate) =
        X509Certificate::from_der(certificate).map_err(CertificateError::Form)?;
    let (_, ca) = X509Certificate::from_der(ca).map_err(CertificateError::Form)?;
    certificate
        .verify_signature(Some(ca.public_key()))
        .map_err(CertificateError::Issuer)?;
    if certificate.public_key().raw != public_key {
        return Err(CertificateError::Key);
    }
    let name = certificate.subject().iter_common_name().next();
    let name = name
        .and_then(|name| name.as_str().ok())
        .ok_or(CertificateError::NoName)?;
    let validity = certificate.validity();
    let time = |at: x509_parser::time::ASN1Time| {
        Timestamp::from_second(at.timestamp()).map_err(CertificateError::Dates)
    };
    let own_name = channel::host_name(&Digest::of(public_key));
    let names = certificate.subject_alternative_name().ok().flatten();
    let may_serve = names.is_some_and(|names| {
        let mut names = names.value.general_names.iter();
        names.any(|name| matches!(name, GeneralName::DNSName(name) if *name == own_name))
    });
    Ok(Reading {
        may_serve,
        host: name.parse().map_err(CertificateError::Name)?,
        not_before: time(validity.not_before)?,
        not_after: time(validity.not_after)?,
    })
}
