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
