//! Real TLS over loopback against a bare server: each way of being wrong has its own error.

use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use super::*;

/// HTTP/2's empty SETTINGS frame: the first word of a server that accepts us.
const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];

struct Authority(CertifiedIssuer<'static, KeyPair>);

struct Leaf {
    certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        let key = KeyPair::generate().expect("key");
        Self(CertifiedIssuer::self_signed(params, key).expect("CA"))
    }

    fn der(&self) -> CertificateDer<'static> {
        self.0.der().clone()
    }

    fn digest(&self) -> Digest {
        Digest::of(&self.der())
    }

    fn issue(&self, name: &str, adjust: impl FnOnce(&mut CertificateParams)) -> Leaf {
        let mut params = CertificateParams::new([name.to_owned()]).expect("name");
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        adjust(&mut params);
        let key = KeyPair::generate().expect("key");
        let certificate = params
            .signed_by(&key, &*self.0)
            .expect("certificate")
            .der()
            .clone();
        Leaf {
            certificate,
            key: PrivateKeyDer::Pkcs8(key.serialize_der().into()),
        }
    }

    fn identity(&self) -> ClientIdentity {
        let leaf = self.issue("someone", |_| {});
        ClientIdentity {
            ca_certificate: self.der(),
            certificate_chain: vec![leaf.certificate],
            key: leaf.key,
        }
    }
}

/// A server that ends TLS, says its first word and waits; the task lives as long as the test's runtime.
async fn serve(
    ca: &Authority,
    leaf: Leaf,
    clients_of: Option<&Authority>,
) -> (Address, JoinHandle<()>) {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .expect("versions");
    let builder = match clients_of {
        None => builder.with_no_client_auth(),
        Some(authority) => {
            let mut roots = RootCertStore::empty();
            roots.add(authority.der()).expect("root");
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                .build()
                .expect("verifier");
            builder.with_client_cert_verifier(verifier)
        }
    };
    let config = builder
        .with_single_cert(vec![leaf.certificate, ca.der()], leaf.key)
        .expect("config");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("listener");
    let address = listener
        .local_addr()
        .expect("address")
        .to_string()
        .parse()
        .expect("address");
    #[expect(
        clippy::disallowed_methods,
        reason = "the test returns the task's handle to its owner"
    )]
    let task = tokio::spawn(async move {
        let mut open = Vec::new();
        while let Ok((tcp, _)) = listener.accept().await {
            if let Ok(mut tls) = acceptor.accept(tcp).await {
                let _ = tls.write_all(&SETTINGS).await;
                open.push(tls);
            }
        }
    });
    (address, task)
}

async fn dial(address: &Address, trust: Trust) -> Result<(), ConnectError> {
    Dialer::new(address.clone(), trust)?.dial().await.map(drop)
}

#[tokio::test]
async fn a_pinned_ca_that_the_coordinator_presents_is_accepted() {
    let ca = Authority::new();
    let (address, _task) = serve(&ca, ca.issue(SERVER_NAME, |_| {}), None).await;
    dial(&address, Trust::PinnedCa(ca.digest()))
        .await
        .expect("connection");
}

#[tokio::test]
async fn a_pinned_ca_of_another_fleet_is_told_as_such() {
    let ca = Authority::new();
    let (address, _task) = serve(&ca, ca.issue(SERVER_NAME, |_| {}), None).await;
    let error = dial(&address, Trust::PinnedCa(Authority::new().digest()))
        .await
        .expect_err("other CA");
    assert!(matches!(error, ConnectError::WrongCa { .. }), "{error:?}");
}

#[tokio::test]
async fn presenting_the_pinned_ca_without_being_issued_by_it_is_refused() {
    let (ca, impostor) = (Authority::new(), Authority::new());
    let (address, _task) = serve(&ca, impostor.issue(SERVER_NAME, |_| {}), None).await;
    let error = dial(&address, Trust::PinnedCa(ca.digest()))
        .await
        .expect_err("impostor");
    assert!(matches!(error, ConnectError::WrongCa { .. }), "{error:?}");
}

#[tokio::test]
async fn a_hosts_certificate_does_not_make_a_coordinator() {
    let ca = Authority::new();
    let (address, _task) = serve(&ca, ca.issue("node-1", |_| {}), None).await;
    let error = dial(&address, Trust::PinnedCa(ca.digest()))
        .await
        .expect_err("name");
    assert!(matches!(error, ConnectError::WrongName { .. }), "{error:?}");
}

#[tokio::test]
async fn dates_outside_of_the_clock_are_named_with_the_clock() {
    let ca = Authority::new();
    let future = ca.issue(SERVER_NAME, |params| {
        params.not_before = rcgen::date_time_ymd(2090, 1, 1);
        params.not_after = rcgen::date_time_ymd(2091, 1, 1);
    });
    let (address, _task) = serve(&ca, future, None).await;
    let error = dial(&address, Trust::PinnedCa(ca.digest()))
        .await
        .expect_err("future");
    assert!(
        matches!(error, ConnectError::NotValidYet { .. }),
        "{error:?}"
    );
    assert!(
        error.to_string().contains("2090-01-01T00:00:00Z"),
        "{error}"
    );
    assert!(error.remedy().contains("clock"));

    let past = ca.issue(SERVER_NAME, |params| {
        params.not_before = rcgen::date_time_ymd(2001, 1, 1);
        params.not_after = rcgen::date_time_ymd(2002, 1, 1);
    });
    let (address, _task) = serve(&ca, past, None).await;
    let error = dial(&address, Trust::PinnedCa(ca.digest()))
        .await
        .expect_err("past");
    assert!(matches!(error, ConnectError::Ended { .. }), "{error:?}");
}

#[tokio::test]
async fn a_client_of_another_fleet_is_refused_by_name_and_ours_is_not() {
    let (ca, other) = (Authority::new(), Authority::new());
    let (address, _task) = serve(&ca, ca.issue(SERVER_NAME, |_| {}), Some(&ca)).await;
    dial(&address, Trust::Identity(ca.identity()))
        .await
        .expect("our own");

    let foreign = ClientIdentity {
        ca_certificate: ca.der(),
        ..other.identity()
    };
    let error = dial(&address, Trust::Identity(foreign))
        .await
        .expect_err("foreign client");
    assert!(
        matches!(
            error,
            ConnectError::Refused {
                because: RefusedBecause::UnknownCa,
                ..
            }
        ),
        "{error:?}"
    );

    let error = dial(&address, Trust::PinnedCa(ca.digest()))
        .await
        .expect_err("no certificate");
    assert!(
        matches!(
            error,
            ConnectError::Refused {
                because: RefusedBecause::NoCertificate,
                ..
            }
        ),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_closed_port_is_unreachable() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("listener");
    let address: Address = listener
        .local_addr()
        .expect("address")
        .to_string()
        .parse()
        .expect("address");
    drop(listener);
    let error = dial(&address, Trust::PinnedCa(Digest::of(b"")))
        .await
        .expect_err("closed");
    assert!(
        matches!(error, ConnectError::Unreachable { .. }),
        "{error:?}"
    );
}

#[test]
fn an_address_needs_a_host_and_a_port() {
    for good in ["10.88.0.1:7444", "coordinator:1", "[fd00::1]:7443"] {
        assert_eq!(good.parse::<Address>().expect(good).to_string(), good);
    }
    for bad in [
        "",
        "host",
        ":1",
        "host:0",
        "host:70000",
        "fd00::1:7443",
        "https://host:1",
    ] {
        assert!(bad.parse::<Address>().is_err(), "{bad}");
    }
}
