//! How the fetching of wheels is shared out, and what the vault already has.

use std::io::Cursor;

use tfleet_proto::model::digest::Digest;

use super::*;

fn wheel(name: &str, version: &str, size_bytes: u64) -> LockedWheel {
    LockedWheel {
        name: name.to_owned(),
        version: version.to_owned(),
        file: format!("{name}-{version}-py3-none-any.whl"),
        sha256: Digest::of(format!("{name} {version}").as_bytes()),
        size_bytes,
        url: None,
    }
}

#[test]
fn the_largest_wheels_are_fetched_beside_each_other() {
    let wheels = [500, 400, 300, 200, 1, 2, 3, 4]
        .map(|megabytes| wheel(&format!("w{megabytes}"), "1", megabytes << 20));
    let shares = shares(wheels.to_vec());
    assert_eq!(shares.len(), FETCHES_AT_ONCE);
    for (share, first) in shares.iter().zip(["w500", "w400", "w300", "w200"]) {
        assert_eq!(share[0].name, first);
    }
    assert_eq!(shares[3].len(), 5, "the small ones are with the lightest");
}

#[test]
fn two_versions_of_a_package_are_never_in_one_share() {
    let wheels: Vec<_> = (0..7)
        .map(|version| wheel("six", &version.to_string(), 1))
        .collect();
    let shares = shares(wheels);
    assert_eq!(shares.len(), 7);
}

#[test]
fn an_index_without_tls_is_trusted_by_its_host_alone() {
    assert_eq!(
        plain_host("http://u:p@mirror.example:8080/simple"),
        Some("mirror.example")
    );
    assert_eq!(plain_host("http://[::1]:8080/simple"), Some("[::1]"));
    assert_eq!(plain_host("https://mirror.example/simple"), None);
}

#[tokio::test]
async fn what_the_vault_has_is_not_missing_and_what_passes_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let vault = Vault::open(folder.path()).unwrap();
    let wheels = Wheels::kept(vault.clone());
    let (here, other) = (wheel("here", "1", 6), wheel("other", "1", 7));
    let both = || vec![here.clone(), other.clone(), here.clone()];
    vault
        .keep(Kind::Wheel, &mut Cursor::new(b"here 1"))
        .unwrap();
    assert_eq!(
        wheels.missing(both()).await.unwrap(),
        std::slice::from_ref(&other)
    );

    let passing = wheels.passing().unwrap();
    assert_eq!(
        passing.missing(both()).await.unwrap(),
        std::slice::from_ref(&other)
    );
    passing
        .target_vault()
        .keep(Kind::Wheel, &mut Cursor::new(b"other 1"))
        .unwrap();
    assert_eq!(passing.missing(both()).await.unwrap(), []);
    assert_eq!(passing.provided(&other).unwrap().1, 7);
    drop(passing);
    assert_eq!(wheels.missing(both()).await.unwrap(), [other]);
    assert_eq!(
        fs::read_dir(folder.path().join("wheels")).unwrap().count(),
        1
    );
}

#[tokio::test]
async fn a_damaged_wheel_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let vault = Vault::open(folder.path()).unwrap();
    let here = wheel("here", "1", 6);
    vault
        .keep(Kind::Wheel, &mut Cursor::new(b"here 1"))
        .unwrap();
    fs::write(vault.path(Kind::Wheel, &here.sha256), b"h\0re 1").unwrap();
    let missing = Wheels::kept(vault).missing(vec![here.clone()]).await;
    assert_eq!(missing.unwrap(), [here]);
}
