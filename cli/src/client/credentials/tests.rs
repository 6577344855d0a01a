//! The credentials file: private, whole, and without a key that is not known.

use std::os::unix::fs::PermissionsExt as _;

use tempfile::TempDir;

use super::*;

fn valid() -> CredentialsFile {
    let key = rcgen::KeyPair::generate().expect("key");
    let params = rcgen::CertificateParams::new(["alice".to_owned()]).expect("name");
    let certificate = params.self_signed(&key).expect("certificate").pem();
    CredentialsFile {
        name: "alice".to_owned(),
        endpoint: "https://10.88.0.1:7444".to_owned(),
        ca_pem: certificate.clone(),
        certificate_pem: certificate,
        key_pem: key.serialize_pem(),
    }
}

fn why(path: &Path) -> String {
    match Credentials::read(path).expect_err("refused") {
        Error::Credentials { why, .. } => why,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_written_can_be_read_again_and_by_nobody_else() {
    let folder = TempDir::new().expect("folder");
    let path = folder.path().join("new/alice.toml");
    valid().write_new(&path).expect("written");
    assert_eq!(fs::metadata(&path).expect("file").mode() & 0o777, 0o600);
    let read = Credentials::read(&path).expect("credentials");
    assert_eq!(
        (read.name.as_str(), read.endpoint.as_str()),
        ("alice", "10.88.0.1:7444")
    );
    assert!(
        valid().write_new(&path).is_err(),
        "an existing file is left alone"
    );
}

#[test]
fn a_file_that_others_may_read_is_refused_with_the_remedy() {
    let folder = TempDir::new().expect("folder");
    let path = folder.path().join("alice.toml");
    valid().write_new(&path).expect("written");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("mode");
    assert!(why(&path).contains("mode 640"), "{}", why(&path));
    assert!(why(&path).contains("chmod 600"));
}

#[test]
fn damage_is_named() {
    type Damage = fn(&mut CredentialsFile);
    let cases: [(Damage, &str); 4] = [
        (
            |file| file.endpoint = "https://here".to_owned(),
            "`endpoint`: `here` is not an address",
        ),
        (|file| file.ca_pem.clear(), "`ca_pem` is not PEM"),
        (
            |file| file.certificate_pem = "x".to_owned(),
            "`certificate_pem` is not PEM",
        ),
        (|file| file.key_pem.truncate(40), "`key_pem` is not PEM"),
    ];
    for (damage, expected) in cases {
        let folder = TempDir::new().expect("folder");
        let path = folder.path().join("alice.toml");
        let mut file = valid();
        damage(&mut file);
        file.write_new(&path).expect("written");
        assert!(
            why(&path).starts_with(expected),
            "{}\nexpected {expected}",
            why(&path)
        );
    }
}

#[test]
fn an_unknown_key_is_an_error() {
    let folder = TempDir::new().expect("folder");
    let path = folder.path().join("alice.toml");
    valid().write_new(&path).expect("written");
    let mut text = fs::read_to_string(&path).expect("text");
    text.insert_str(0, "endpiont = \"x\"\n");
    fs::write(&path, text).expect("written");
    assert!(
        why(&path).contains("unknown field `endpiont`"),
        "{}",
        why(&path)
    );
}
