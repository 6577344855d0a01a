//! Who a certificate says its holder is.

use jiff::Timestamp;
use rustls::pki_types::CertificateDer;
use tfleet_proto::model::digest::Digest;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::{AuthorityError, Issued};

/// What a certificate's holder may be. Stands in the certificate as the organizational unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    Host,
    Operator,
}

/// What a certificate says. Whether this fleet issued it is for the verifier to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certified {
    pub role: Role,
    pub name: String,
    pub key: Digest,
    pub ends_at: Timestamp,
}

impl Role {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Operator => "operator",
        }
    }
}

impl Certified {
    pub fn read(certificate: &CertificateDer<'_>) -> Result<Self, AuthorityError> {
        let parsed = parse(certificate)?;
        let subject = parsed.subject();
        let text = |attribute: Option<&x509_parser::x509::AttributeTypeAndValue<'_>>| {
            attribute
                .and_then(|attribute| attribute.as_str().ok())
                .map(str::to_owned)
        };
        let role = match text(subject.iter_organizational_unit().next()).as_deref() {
            Some("host") => Role::Host,
            Some("operator") => Role::Operator,
            _ => return Err(unreadable("its subject names no role")),
        };
        let name = text(subject.iter_common_name().next())
            .ok_or_else(|| unreadable("its subject has no name"))?;
        Ok(Self {
            role,
            name,
            key: key_of(&parsed),
            ends_at: end_of(&parsed)?,
        })
    }

    /// Whether `authority` signed it, whenever it ends. For renewal, where an ended certificate still proves who had
    /// the key.
    pub fn is_signed_by(certificate: &CertificateDer<'_>, authority: &CertificateDer<'_>) -> bool {
        let (Ok(certificate), Ok(authority)) = (parse(certificate), parse(authority)) else {
            return false;
        };
        certificate
            .verify_signature(Some(authority.public_key()))
            .is_ok()
    }
}

/// The digest of the key that a signing request is for.
pub fn request_key(request: &[u8]) -> Result<Digest, AuthorityError> {
    let (_, request) =
        x509_parser::certification_request::X509CertificationRequest::from_der(request)
            .map_err(|error| AuthorityError::Request(error.to_string()))?;
    request
        .verify_signature()
        .map_err(|error| AuthorityError::Request(error.to_string()))?;
    Ok(Digest::of(
        request.certification_request_info.subject_pki.raw,
    ))
}

pub(super) fn issued(der: &CertificateDer<'static>) -> Result<Issued, AuthorityError> {
    let parsed = parse(der)?;
    Ok(Issued {
        serial: hex::encode(parsed.raw_serial()),
        ends_at: end_of(&parsed)?,
        key: key_of(&parsed),
        der: der.clone(),
    })
}

fn parse<'a>(certificate: &'a CertificateDer<'_>) -> Result<X509Certificate<'a>, AuthorityError> {
    X509Certificate::from_der(certificate)
        .map(|(_, parsed)| parsed)
        .map_err(|error| unreadable(&error.to_string()))
}

fn key_of(certificate: &X509Certificate<'_>) -> Digest {
    Digest::of(certificate.public_key().raw)
}

fn end_of(certificate: &X509Certificate<'_>) -> Result<Timestamp, AuthorityError> {
    Timestamp::from_second(certificate.validity().not_after.timestamp())
        .map_err(|error| unreadable(&error.to_string()))
}

fn unreadable(why: &str) -> AuthorityError {
    AuthorityError::Request(format!("the certificate cannot be read: {why}"))
}
