//! What is looked for in images.

use super::*;
use crate::artifact::Secrets;

/// A certificate of twelve lines that nobody else has.
fn certificate(seed: u8) -> String {
    let mut block = tfleet_proto::model::digest::Digest::of(&[seed]);
    let mut lines = String::from("-----BEGIN CERTIFICATE-----\n");
    for _ in 0..12 {
        lines.push_str(&block.hex());
        lines.push('\n');
        block = tfleet_proto::model::digest::Digest::of(block.as_bytes());
    }
    lines + "-----END CERTIFICATE-----\n"
}

fn bundle(seeds: std::ops::Range<u8>) -> String {
    seeds.map(certificate).collect()
}

fn secrets(bundle: &str, base: &str) -> Secrets {
    let of_base = certificate_marks(base.as_bytes()).collect();
    of_bundle(bundle.as_bytes(), &of_base).into_iter().collect()
}

fn is_found(secrets: &Secrets, text: &str) -> bool {
    secrets.check(text.as_bytes(), "layers").is_err()
}

#[test]
fn a_password_is_looked_for_as_it_is_given_and_as_it_is_meant() {
    let url = "https://robot:p%40ss%2Fword%zz@mirror.example/simple";
    let secrets: Secrets = of_url("an index", url).into_iter().collect();
    for text in [
        "token = p%40ss%2Fword%zz",
        "token = p@ss/word%zz",
        "robot:p@ss/word%zz",
    ] {
        assert!(is_found(&secrets, text), "{text}");
        assert!(!secrets.redact(text).contains("word"), "{text}");
    }
    assert!(!is_found(&secrets, "token = p@ss"));
}

#[test]
fn what_is_no_escape_stays_as_it_is() {
    for (text, expected) in [
        ("a%", "a%"),
        ("a%4", "a%4"),
        ("%4g%41", "%4gA"),
        ("%25%34%30", "%40"),
    ] {
        assert_eq!(percent_decoded(text), expected.as_bytes(), "{text}");
    }
}

#[test]
fn a_sites_own_certificate_is_found_wherever_it_stands() {
    let own = bundle(1..3);
    let secrets = secrets(&own, &bundle(100..240));
    assert!(is_found(&secrets, &certificate(1)));
    assert!(is_found(
        &secrets,
        &format!("{}{}", bundle(50..60), certificate(2))
    ));
    assert!(!is_found(&secrets, &bundle(100..240)));
}

#[test]
fn a_certificate_that_the_base_has_is_no_secret() {
    let secrets = secrets(&bundle(100..102), &bundle(100..240));
    assert!(!is_found(&secrets, &bundle(100..102)));
}

#[test]
fn a_trust_store_is_found_as_a_whole_and_its_public_certificates_are_not() {
    // The base has most of it, and a package brings the others, in an order of its own.
    let store = bundle(100..200) + &certificate(1);
    let secrets = secrets(&store, &bundle(100..180));
    assert!(is_found(&secrets, &format!("before\n{store}after")));
    let package: String = (100..200).rev().map(certificate).collect();
    assert!(!is_found(&secrets, &package));
    assert!(!is_found(&secrets, &bundle(100..180)));
}

#[test]
fn what_holds_no_certificate_has_no_marks() {
    for text in [
        "",
        "-----BEGIN CERTIFICATE-----",
        "-----END CERTIFICATE-----\n-----BEGIN CERTIFICATE-----",
    ] {
        assert_eq!(certificate_marks(text.as_bytes()).count(), 0, "{text}");
    }
}
