use std::io::{Read, Write};

use futures::FutureExt as _;
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{
    ClientConfig, ClientConnection, Connection, HandshakeKind, RootCertStore, ServerConnection,
};
use tfleet_proto::channel::SERVER_NAME;
use tfleet_proto::model::digest::Digest;

use super::*;
use crate::ca::{Authority, Role};

fn is_sent_away(stranger: &Stranger) -> bool {
    stranger.sent_away().now_or_never().is_some()
}

#[test]
fn the_stranger_that_came_first_makes_room() {
    let strangers = Strangers::at_most(2);
    let (first, second) = (strangers.enter(), strangers.enter());
    assert!(!is_sent_away(&first));
    let third = strangers.enter();
    assert!(is_sent_away(&first) && !is_sent_away(&second) && !is_sent_away(&third));
}

#[test]
fn a_stranger_that_left_takes_no_room() {
    let strangers = Strangers::at_most(2);
    let first = strangers.enter();
    drop(strangers.enter());
    let third = strangers.enter();
    assert!(!is_sent_away(&first) && !is_sent_away(&third));
}

#[test]
fn without_descriptors_the_older_half_leaves() {
    let strangers = Strangers::at_most(8);
    let present: Vec<Stranger> = (0..3).map(|_| strangers.enter()).collect();
    assert_eq!(strangers.make_room(), 2);
    let gone: Vec<bool> = present.iter().map(is_sent_away).collect();
    assert_eq!(gone, [true, true, false]);
    assert_eq!(strangers.make_room(), 1);
    assert_eq!(strangers.make_room(), 0);
}

fn operator(name: &str) -> Peer {
    Peer::Operator {
        name: name.to_owned(),
        key: Digest::of(name.as_bytes()),
    }
}

#[test]
fn a_revocation_ends_every_connection_of_its_peer_and_no_other() {
    let connections = Connections::default();
    let (ann, again) = (
        connections.register(&operator("ann")),
        connections.register(&operator("ann")),
    );
    let bob = connections.register(&operator("bob"));
    connections.end(|peer| *peer == operator("ann"));
    assert!(ann.is_cancelled() && again.is_cancelled() && !bob.is_cancelled());
    // One that comes later is for the admission to refuse.
    assert!(!connections.register(&operator("ann")).is_cancelled());
}

#[tokio::test]
async fn a_certificate_without_an_end_and_one_that_ended_are_told_apart() {
    assert!(end_of(None).now_or_never().is_none());
    let past = Timestamp::now() - jiff::SignedDuration::from_secs(1);
    assert!(end_of(Some(past)).now_or_never().is_some());
    let future = Timestamp::now() + jiff::SignedDuration::from_hours(1);
    assert!(end_of(Some(future)).now_or_never().is_none());
}

#[test]
fn no_session_is_resumed_so_that_every_connection_shows_a_certificate_that_counts() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::open(folder.path(), "test").unwrap();
    let certificate = ServerCertificate::issue(&authority, "127.0.0.1").unwrap();
    let fleet = fleet_tls(certificate.clone(), authority.certificate()).unwrap();
    let client = client(&authority);
    for _ in 0..2 {
        assert_eq!(handshake(&client, &fleet), HandshakeKind::Full);
    }
    let enrolment = enrolment_tls(certificate).unwrap();
    for _ in 0..2 {
        assert_eq!(handshake(&client, &enrolment), HandshakeKind::Full);
    }
}

/// A host that would resume if it could.
fn client(authority: &Authority) -> Arc<ClientConfig> {
    let key = KeyPair::generate().unwrap();
    let request = CertificateParams::new(Vec::new())
        .and_then(|params| params.serialize_request(&key))
        .unwrap();
    let issued = authority
        .issue(Role::Host, "t4", request.der(), time::Duration::hours(1))
        .unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(authority.certificate().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(
            vec![issued.der],
            PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())),
        )
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    Arc::new(config)
}

/// A handshake in memory, with a byte after it, so that the client has read whatever tickets there are.
fn handshake(client: &Arc<ClientConfig>, server: &Arc<ServerConfig>) -> HandshakeKind {
    let name = ServerName::try_from(SERVER_NAME).unwrap();
    let mut client = Connection::from(ClientConnection::new(client.clone(), name).unwrap());
    let mut server = Connection::from(ServerConnection::new(server.clone()).unwrap());
    while client.wants_write() || server.wants_write() {
        pass(&mut client, &mut server);
        pass(&mut server, &mut client);
    }
    server.writer().write_all(b"!").unwrap();
    pass(&mut server, &mut client);
    let mut heard = [0];
    client.reader().read_exact(&mut heard).unwrap();
    server.handshake_kind().unwrap()
}

fn pass(from: &mut Connection, to: &mut Connection) {
    let mut wire = Vec::new();
    while from.wants_write() {
        from.write_tls(&mut wire).unwrap();
    }
    let mut unread = wire.as_slice();
    while !unread.is_empty() {
        to.read_tls(&mut unread).unwrap();
        to.process_new_packets().unwrap();
    }
}
