//! The fleet's certificate authority: made on the first start, and the only issuer that hosts and operators know.

mod certified;
mod files;

use std::path::Path;

use jiff::Timestamp;
use rand::RngExt as _;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType, SerialNumber,
};
use rustls::pki_types::{CertificateDer, CertificateSigningRequestDer};
use tfleet_proto::channel::{self, SERVER_NAME};
use tfleet_proto::model::digest::Digest;
use time::{Duration, OffsetDateTime};

pub use certified::{Certified, Role, request_key};
pub use files::{FileError, write_private};

/// A certificate counts from a little before its making, since clocks differ.
const BACKDATED: Duration = Duration::minutes(10);
const CA_LIFE: Duration = Duration::days(20 * 365);
/// The server's certificate is made anew at half its life, without a restart.
pub const SERVER_LIFE: Duration = Duration::days(7);

pub struct Authority {
    certificate: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate that was just issued.
#[derive(Debug, Clone)]
pub struct Issued {
    pub der: CertificateDer<'static>,
    pub serial: String,
    pub ends_at: Timestamp,
    /// SHA-256 of the subject's public key (SubjectPublicKeyInfo, DER).
    pub key: Digest,
}

#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error("cannot {operation}")]
    Certificate {
        operation: &'static str,
        source: rcgen::Error,
    },
    #[error("the signing request cannot be used: {0}")]
    Request(String),
}

fn failed(operation: &'static str) -> impl FnOnce(rcgen::Error) -> AuthorityError {
    move |source| AuthorityError::Certificate { operation, source }
}

impl Authority {
    /// The authority in `folder`; made there if there is none.
    ///
    /// The key is written before the certificate. A key without a certificate is a first start that died, and begins
    /// again; a certificate without a key is damage, and stops the coordinator.
    pub fn open(folder: &Path, fleet: &str) -> Result<Self, AuthorityError> {
        let (key_file, certificate_file) = (folder.join("ca.key"), folder.join("ca.crt"));
        if !certificate_file.exists() {
            let key = KeyPair::generate().map_err(failed("make the CA's key"))?;
            let certificate = ca_params(fleet)
                .and_then(|params| params.self_signed(&key))
                .map_err(failed("sign the CA's certificate"))?;
            write_private(&key_file, key.serialize_pem().as_bytes())?;
            write_private(&certificate_file, certificate.pem().as_bytes())?;
        }
        let key =
            KeyPair::from_pem(&files::read(&key_file)?).map_err(failed("read the CA's key"))?;
        let certificate = files::read_certificate(&certificate_file)?;
        let issuer = Issuer::from_ca_cert_der(&certificate, key)
            .map_err(failed("read the CA's certificate"))?;
        Ok(Self {
            certificate,
            issuer,
        })
    }

    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// What tokens carry.
    pub fn digest(&self) -> Digest {
        Digest::of(&self.certificate)
    }

    /// A certificate for a host or an operator, for the key of a signing request. The request's subject is ignored:
    /// who asks is known in another way.
    pub fn issue(
        &self,
        role: Role,
        name: &str,
        request: &[u8],
        life: Duration,
    ) -> Result<Issued, AuthorityError> {
        let key = request_key(request)?;
        let request =
            CertificateSigningRequestParams::from_der(&CertificateSigningRequestDer::from(request))
                .map_err(|error| AuthorityError::Request(error.to_string()))?;
        let mut params = leaf_params(life);
        params.distinguished_name.push(DnType::CommonName, name);
        params
            .distinguished_name
            .push(DnType::OrganizationalUnitName, role.as_str());
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        if role == Role::Host {
            // For serving other hosts, under a name that no coordinator has.
            let name = channel::host_name(&key);
            let name = name.try_into().map_err(failed("name the host"))?;
            params.subject_alt_names.push(SanType::DnsName(name));
            params
                .extended_key_usages
                .push(ExtendedKeyUsagePurpose::ServerAuth);
        }
        let certificate = params
            .signed_by(&request.public_key, &self.issuer)
            .map_err(failed("sign a certificate"))?;
        certified::issued(certificate.der())
    }

    /// A certificate and key for this coordinator's own listeners.
    pub fn issue_server(
        &self,
        advertise: &str,
    ) -> Result<(CertificateDer<'static>, KeyPair), AuthorityError> {
        let key = KeyPair::generate().map_err(failed("make the server's key"))?;
        let names = [SERVER_NAME, "localhost", advertise].map(str::to_owned);
        let mut params =
            CertificateParams::new(names.to_vec()).map_err(failed("name the server"))?;
        let shape = leaf_params(SERVER_LIFE);
        params.not_before = shape.not_before;
        params.not_after = shape.not_after;
        params.serial_number = shape.serial_number;
        params
            .distinguished_name
            .push(DnType::CommonName, SERVER_NAME);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let certificate = params
            .signed_by(&key, &self.issuer)
            .map_err(failed("sign the server's certificate"))?;
        Ok((certificate.der().clone(), key))
    }
}

fn ca_params(fleet: &str) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.not_before = OffsetDateTime::now_utc() - BACKDATED;
    params.not_after = OffsetDateTime::now_utc() + CA_LIFE;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
        .distinguished_name
        .push(DnType::CommonName, format!("tfleet CA of {fleet}"));
    Ok(params)
}

fn leaf_params(life: Duration) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.not_before = OffsetDateTime::now_utc() - BACKDATED;
    params.not_after = OffsetDateTime::now_utc() + life;
    params.serial_number = Some(SerialNumber::from_slice(&rand::rng().random::<[u8; 16]>()));
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.distinguished_name = rcgen::DistinguishedName::new();
    params
}

#[cfg(test)]
mod tests;
