//! What is read out of a base's files.

use super::*;

#[test]
fn installed_packages_count_and_removed_ones_do_not() {
    let status = "Package: libc6\nStatus: install ok installed\nDescription: C library\n with lines\nVersion: 2.36-9+deb12u13\n\n\
                  Package: gone\nStatus: deinstall ok config-files\nVersion: 1\n\n";
    let packages = installed(status);
    assert_eq!(
        packages,
        [("libc6".to_owned(), "2.36-9+deb12u13".to_owned())].into()
    );
    let survey = Survey {
        packages,
        ..Survey::default()
    };
    assert_eq!(survey.glibc(), (2, 36));
    assert_eq!(Survey::default().glibc(), CAUTIOUS_GLIBC);
}

#[test]
fn only_interpreters_on_the_path_count() {
    assert_eq!(python_of("usr/bin/python3.11").as_deref(), Some("3.11"));
    assert_eq!(
        python_of("usr/local/bin/python3.12").as_deref(),
        Some("3.12")
    );
    for path in [
        "usr/bin/python3",
        "usr/bin/python3.11-config",
        "usr/lib/python3.11",
        "opt/bin/python3.9",
    ] {
        assert_eq!(python_of(path), None, "{path}");
    }
}

#[test]
fn a_bases_own_certificates_are_found_in_its_trust_stores() {
    let folder = tempfile::tempdir().unwrap();
    let store = Artifacts::open(folder.path()).unwrap();
    let certificate = format!(
        "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n",
        "MII".repeat(20)
    );
    let mut builder = tar::Builder::new(Vec::new());
    for (path, content) in [
        ("etc/ssl/certs/ca-certificates.crt", certificate.as_str()),
        ("etc/motd", "hello"),
    ] {
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        builder
            .append_data(&mut header, path, content.as_bytes())
            .unwrap();
    }
    let received = crate::artifact::receive(
        builder.into_inner().unwrap().as_slice(),
        &store,
        crate::artifact::Origin::RootFileSystem {
            architecture: tfleet_compat::Architecture::X86_64,
        },
        &crate::artifact::Secrets::default(),
        &|_| {},
    )
    .unwrap();
    let survey = Survey::of(&store, &received.index).unwrap();
    let expected: CertificateMarks = certificate_marks(certificate.as_bytes()).collect();
    assert_eq!(survey.certificate_marks, expected);
    assert_eq!(expected.len(), 1);
}
