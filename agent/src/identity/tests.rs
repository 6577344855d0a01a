use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use tfleet_proto::model::token::{Token, TokenSecret};

use super::testing::Authority;
use super::*;

fn open(path: &Path) -> IdentityFolder {
    IdentityFolder::open(path).unwrap()
}

#[test]
fn an_enrolment_that_finished_is_there_after_a_restart() {
    let disk = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let folder = open(disk.path());
    assert!(folder.credentials().unwrap().is_none());
    let certificate = authority.certify(folder.signing_request().unwrap(), "node-1");
    folder.keep(authority.ca(), certificate).unwrap();
    let credentials = open(disk.path()).credentials().unwrap().unwrap();
    assert_eq!(credentials.host.as_str(), "node-1");
    assert_eq!(credentials.fleet(), Digest::of(&authority.ca()));
}

#[test]
fn a_renewal_goes_on_with_the_membership_and_another_token_begins_one() {
    let disk = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let folder = open(disk.path());
    let membership = |number| {
        Membership::begun_with(&Token {
            host: "node-1".parse().unwrap(),
            secret: TokenSecret::from_bytes([number; 32]),
            ca: Digest::of(b"ca"),
        })
    };
    let certificate = || authority.certify(folder.signing_request().unwrap(), "node-1");
    let kept = || open(disk.path()).credentials().unwrap().unwrap().membership;
    // As an agent from before memberships left it.
    folder.keep(authority.ca(), certificate()).unwrap();
    assert_eq!(kept(), None);
    for number in [1, 2] {
        let begun = folder.keep_enrolment(membership(number), authority.ca(), certificate());
        assert_eq!(begun.unwrap().membership, Some(membership(number)));
        folder.keep(authority.ca(), certificate()).unwrap();
        assert_eq!(kept(), Some(membership(number)));
    }
    // An answer that cannot be used begins nothing.
    let foreign = Authority::new().certify(folder.signing_request().unwrap(), "node-1");
    let refused = folder.keep_enrolment(membership(3), authority.ca(), foreign);
    assert!(refused.is_err());
    assert_eq!(kept(), Some(membership(2)));
    // A damaged note is an error until a new enrolment mends it.
    fs::write(disk.path().join("membership.json"), "garbage").unwrap();
    let error = open(disk.path()).credentials().unwrap_err();
    assert!(error.to_string().contains("membership.json"), "{error}");
    let mended = folder.keep_enrolment(membership(4), authority.ca(), certificate());
    assert_eq!(mended.unwrap().membership, Some(membership(4)));
    assert_eq!(kept(), Some(membership(4)));
}

#[test]
fn the_key_is_made_once_and_only_its_owner_reads_it() {
    let disk = tempfile::tempdir().unwrap();
    open(disk.path()).signing_request().unwrap();
    let key = disk.path().join("host.key");
    let first = fs::read(&key).unwrap();
    assert_eq!(
        fs::metadata(&key).unwrap().permissions().mode() & 0o777,
        0o600
    );
    open(disk.path()).signing_request().unwrap();
    assert_eq!(fs::read(&key).unwrap(), first);
}

#[test]
fn a_death_between_ca_and_certificate_leaves_nothing_that_is_used() {
    let disk = tempfile::tempdir().unwrap();
    let (old, new) = (Authority::new(), Authority::new());
    let folder = open(disk.path());
    let certificate = old.certify(folder.signing_request().unwrap(), "node-1");
    folder.keep(old.ca(), certificate).unwrap();
    fs::write(disk.path().join("ca.der"), new.ca()).unwrap();
    assert!(folder.credentials().unwrap().is_none());
}

#[test]
fn a_certificate_for_another_key_is_refused() {
    let (disk, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let authority = Authority::new();
    let certificate = authority.certify(open(other.path()).signing_request().unwrap(), "node-1");
    let error = open(disk.path())
        .keep(authority.ca(), certificate)
        .unwrap_err();
    assert!(
        matches!(error, IdentityError::Certificate(CertificateError::Key)),
        "{error:?}"
    );
    assert!(open(disk.path()).credentials().unwrap().is_none());
}

#[test]
fn a_damaged_key_is_an_error_and_not_a_new_key() {
    let disk = tempfile::tempdir().unwrap();
    fs::write(disk.path().join("host.key"), "garbage").unwrap();
    let error = open(disk.path()).signing_request().unwrap_err();
    assert!(error.to_string().contains("host.key"), "{error}");
}

#[tokio::test]
async fn without_certificate_and_token_file_the_way_on_is_told() {
    let disk = tempfile::tempdir().unwrap();
    let nobody = "127.0.0.1:1".parse().unwrap();
    let error = obtain(&open(disk.path()), &nobody, None).await.unwrap_err();
    assert!(error.to_string().contains("tfleet token create"), "{error}");
}

#[tokio::test]
async fn a_certificate_serves_although_the_token_beside_it_is_of_no_use() {
    let disk = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let folder = open(disk.path());
    let certificate = authority.certify(folder.signing_request().unwrap(), "node-1");
    folder.keep(authority.ca(), certificate).unwrap();
    let token = disk.path().join("token");
    fs::write(&token, "not a token").unwrap();
    let nobody = "127.0.0.1:1".parse().unwrap();
    let credentials = obtain(&folder, &nobody, Some(&token)).await.unwrap();
    assert_eq!(credentials.host.as_str(), "node-1");
}
