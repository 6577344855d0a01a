//! A fleet's authority, for tests.

use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, CertifiedIssuer, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyPair, PublicKeyData as _, SanType,
};
use rustls_pki_types::CertificateSigningRequestDer;
use tfleet_proto::channel;
use tfleet_proto::model::digest::Digest;

use super::{Credentials, IdentityFolder};

pub struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub fn ca(&self) -> Vec<u8> {
        self.0.der().to_vec()
    }

    /// As the coordinator does it.
    pub fn certify(&self, request: Vec<u8>, host: &str) -> Vec<u8> {
        let request = CertificateSigningRequestDer::from(request);
        let mut request = CertificateSigningRequestParams::from_der(&request).unwrap();
        let key = Digest::of(&request.public_key.subject_public_key_info());
        let params = &mut request.params;
        params.distinguished_name.push(DnType::CommonName, host);
        let name = channel::host_name(&key).try_into().unwrap();
        params.subject_alt_names.push(SanType::DnsName(name));
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ClientAuth,
            ExtendedKeyUsagePurpose::ServerAuth,
        ];
        request.signed_by(&self.0).unwrap().der().to_vec()
    }

    /// A host of this fleet, and the digest of its key.
    pub fn host(&self, name: &str) -> (Credentials, Digest) {
        let disk = tempfile::tempdir().unwrap();
        let folder = IdentityFolder::open(disk.path()).unwrap();
        let request = folder.signing_request().unwrap();
        let parsed = CertificateSigningRequestParams::from_der(&request.as_slice().into()).unwrap();
        let key = Digest::of(&parsed.public_key.subject_public_key_info());
        let certificate = self.certify(request, name);
        (folder.keep(self.ca(), certificate).unwrap(), key)
    }
}
