use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::pki_types::{ServerName, UnixTime};

use super::*;

fn authority(folder: &Path) -> Authority {
    Authority::open(folder, "test").unwrap()
}

fn request(key: &KeyPair) -> Vec<u8> {
    let params = CertificateParams::new(vec!["whoever.example".to_owned()]).unwrap();
    params.serialize_request(key).unwrap().der().to_vec()
}

#[test]
fn an_authority_is_the_same_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(
        authority(folder.path()).digest(),
        authority(folder.path()).digest()
    );
}

#[test]
fn a_first_start_that_died_after_the_key_begins_again() {
    let folder = tempfile::tempdir().unwrap();
    write_private(&folder.path().join("ca.key"), b"half a start").unwrap();
    authority(folder.path());
}

#[test]
fn a_certificate_without_its_key_stops_the_coordinator() {
    let folder = tempfile::tempdir().unwrap();
    authority(folder.path());
    std::fs::remove_file(folder.path().join("ca.key")).unwrap();
    assert!(Authority::open(folder.path(), "test").is_err());
}

#[test]
fn a_certificate_names_who_it_was_issued_for_and_not_whom_the_request_names() {
    let folder = tempfile::tempdir().unwrap();
    let authority = authority(folder.path());
    let key = KeyPair::generate().unwrap();
    let issued = authority
        .issue(Role::Host, "t4", &request(&key), Duration::hours(1))
        .unwrap();
    let read = Certified::read(&issued.der).unwrap();
    assert_eq!((read.role, read.name.as_str()), (Role::Host, "t4"));
    assert_eq!(read.key, request_key(&request(&key)).unwrap());
    assert!(Certified::is_signed_by(
        &issued.der,
        authority.certificate()
    ));
}

#[test]
fn a_host_may_serve_others_under_a_name_of_its_key_and_an_operator_may_not() {
    let folder = tempfile::tempdir().unwrap();
    let authority = authority(folder.path());
    let key = KeyPair::generate().unwrap();
    let issued = |role| {
        let life = Duration::hours(1);
        authority.issue(role, "x", &request(&key), life).unwrap()
    };
    let mut roots = rustls::RootCertStore::empty();
    roots.add(authority.certificate().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
        .build()
        .unwrap();
    let serves = |issued: &Issued, name: &str| {
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let verdict = verifier.verify_server_cert(&issued.der, &[], &name, &[], UnixTime::now());
        verdict.is_ok()
    };
    let (host, operator) = (issued(Role::Host), issued(Role::Operator));
    let name = channel::host_name(&host.key);
    assert!(serves(&host, &name));
    for name in [SERVER_NAME, "localhost"] {
        assert!(!serves(&host, name));
    }
    assert!(!serves(&operator, &name));
}

#[test]
fn another_fleets_certificate_is_not_ours() {
    let (ours, theirs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let key = KeyPair::generate().unwrap();
    let foreign = authority(theirs.path())
        .issue(Role::Operator, "eve", &request(&key), Duration::hours(1))
        .unwrap();
    assert!(!Certified::is_signed_by(
        &foreign.der,
        authority(ours.path()).certificate()
    ));
}

#[test]
fn a_request_signed_by_another_key_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut request = request(&KeyPair::generate().unwrap());
    let last = request.len() - 1;
    request[last] ^= 1;
    assert!(request_key(&request).is_err());
    assert!(
        authority(folder.path())
            .issue(Role::Host, "t4", &request, Duration::hours(1))
            .is_err()
    );
}

#[test]
fn keys_are_for_their_owner_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    authority(folder.path());
    let mode = std::fs::metadata(folder.path().join("ca.key"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
}
