//! What may be bound into a container.

use super::*;

#[test]
fn binds_below_a_prefix_are_allowed_and_beside_it_not() {
    let disk = Disk::new();
    for inside in ["allowed", "allowed/set", "allowed/../allowed/set/"] {
        let resolved = disk
            .policy
            .check_spec(&binding(&disk.path(inside)))
            .unwrap();
        assert!(
            resolved.binds[0]
                .source
                .starts_with(disk.path("allowed").to_str().unwrap()),
            "{resolved:?}"
        );
    }
    for outside in ["secret", "allowed-not", "allowed/../secret", ""] {
        assert_eq!(
            refused_by(&disk.policy, &binding(&disk.path(outside))),
            Rule::BindPrefixes,
            "{outside}"
        );
    }
    assert_eq!(
        refused_by(&disk.policy, &binding(Path::new("relative"))),
        Rule::BindPrefixes
    );
}

#[test]
fn a_symbolic_link_does_not_lead_out_of_a_prefix() {
    let disk = Disk::new();
    symlink(disk.path("secret"), disk.path("allowed/link")).unwrap();
    symlink("..", disk.path("allowed/up")).unwrap();
    for escape in ["allowed/link", "allowed/up", "allowed/up/secret"] {
        let refusal = disk
            .policy
            .check_spec(&binding(&disk.path(escape)))
            .unwrap_err();
        assert!(refusal.to_string().contains("which leads to"), "{refusal}");
        let made = Made {
            bind_sources: vec![disk.path(escape)],
            ..Made::default()
        };
        assert!(disk.policy.check_made(&made).is_err(), "{escape}");
    }
}

#[test]
fn the_engine_gets_the_path_that_was_judged() {
    let disk = Disk::new();
    symlink(disk.path("allowed/set"), disk.path("allowed/current")).unwrap();
    let resolved = disk
        .policy
        .check_spec(&binding(&disk.path("allowed/current")))
        .unwrap();
    assert_eq!(
        Path::new(&resolved.binds[0].source),
        disk.path("allowed/set").canonicalize().unwrap()
    );
}

#[test]
fn nothing_is_bound_that_lies_below_what_a_container_may_write() {
    let disk = Disk::new();
    let bind = |name: &str, read_only| BindMount {
        source: disk.path(name).to_str().unwrap().to_owned(),
        target: format!("/{name}"),
        read_only,
    };
    let with = |binds: [BindMount; 2]| ContainerSpec {
        binds: binds.into(),
        ..spec()
    };
    symlink(disk.path("allowed/set"), disk.path("allowed/link")).unwrap();
    for inner in ["allowed/set", "allowed/link"] {
        for binds in [
            [bind("allowed", false), bind(inner, true)],
            [bind(inner, false), bind("allowed", false)],
        ] {
            let refusal = disk.policy.check_spec(&with(binds)).unwrap_err();
            assert_eq!(refusal.failure().code, "policy-refused");
            assert!(refusal.to_string().contains("lies below"), "{refusal}");
        }
    }
    for binds in [
        [bind("allowed", true), bind("allowed/set", false)],
        [bind("allowed", false), bind("allowed", false)],
    ] {
        assert!(disk.policy.check_spec(&with(binds)).is_ok());
    }

    // In two containers, whichever came first.
    let (outer, inner) = ([bind("allowed", false)], [bind("allowed/set", true)]);
    for (ours, theirs) in [(&outer, &inner), (&inner, &outer)] {
        let failure = check_beside(ours, "other", theirs).unwrap_err().failure();
        assert_eq!(failure.code, "bind-nested");
        assert!(failure.message.contains("other"), "{}", failure.message);
    }
    assert!(check_beside(&outer, "other", &outer).is_ok());
    assert!(check_beside(&[bind("allowed", true)], "other", &inner).is_ok());
}

#[test]
fn a_missing_source_is_told_as_missing_only_below_a_prefix() {
    let disk = Disk::new();
    let missing = disk
        .policy
        .check_spec(&binding(&disk.path("allowed/none")))
        .unwrap_err();
    assert_eq!(missing.failure().code, "bind-source-missing");
    assert_eq!(
        refused_by(&disk.policy, &binding(&disk.path("secret/none"))),
        Rule::BindPrefixes
    );
}
