//! What a specification may ask.

use super::*;

fn refused(change: impl FnOnce(&mut wire::ReleaseSpec)) -> String {
    let mut spec = wire::ReleaseSpec {
        name: "lab".to_owned(),
        tensorflow: ">=2.15".to_owned(),
        ..Default::default()
    };
    change(&mut spec);
    read(Some(spec)).unwrap_err().to_string()
}

#[test]
fn flavours_keys_and_a_dockerfile_come_back_as_they_were_asked() {
    let spec = wire::ReleaseSpec {
        name: "lab".to_owned(),
        tensorflow: ">=2.15".to_owned(),
        flavours: vec!["jupyter".to_owned(), "ssh".to_owned()],
        authorized_keys: "# ours\nssh-ed25519 AAAA me\n".to_owned(),
        dockerfile: "ARG TFLEET_BASE\nFROM $TFLEET_BASE\n".to_owned(),
        policy: Some(wire::Policy {
            preference: "2.15.1".to_owned(),
            forward_compatibility: true,
            serves_some_gpus: true,
            ..Default::default()
        }),
        spans_majors: true,
        ..Default::default()
    };
    assert_eq!(wire(&read(Some(spec.clone())).unwrap()), spec);
}

#[test]
fn what_cannot_be_built_is_refused_by_its_field() {
    let unknown = refused(|spec| spec.flavours = vec!["notebook".to_owned()]);
    assert!(
        unknown.contains("flavours[0]") && unknown.contains("jupyter"),
        "{unknown}"
    );
    let local = refused(|spec| {
        spec.dockerfile = "ARG TFLEET_BASE\nFROM $TFLEET_BASE\nCOPY . /\n".to_owned();
    });
    assert!(
        local.contains("dockerfile") && local.contains("line 3"),
        "{local}"
    );
    for (keys, why) in [
        ("-----BEGIN OPENSSH PRIVATE KEY-----\n", "private"),
        ("hello\n", "not a public key"),
        ("\n# none\n", "no key"),
    ] {
        let refusal = refused(|spec| spec.authorized_keys = keys.to_owned());
        assert!(
            refusal.contains("authorized_keys") && refusal.contains(why),
            "{refusal}"
        );
    }
}
