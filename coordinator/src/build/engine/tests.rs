//! What is known of an engine and its images before it is asked.

use super::*;

#[test]
fn a_reference_is_a_name_and_a_digest_or_a_tag() {
    let digest = format!("sha256:{}", "ab".repeat(32));
    for (reference, expected) in [
        ("python", ("python", "latest")),
        ("python:3.11-slim", ("python", "3.11-slim")),
        ("host:5000/team/python", ("host:5000/team/python", "latest")),
        ("host:5000/team/python:3", ("host:5000/team/python", "3")),
    ] {
        assert_eq!(split_reference(reference), expected);
    }
    for name in [
        "python",
        "python:3.11",
        "host:5000/python",
        "host:5000/python:3",
    ] {
        let reference = format!("{name}@{digest}");
        let (found, version) = split_reference(&reference);
        assert_eq!(found, name.trim_end_matches(":3.11").trim_end_matches(":3"));
        assert_eq!(version, digest);
    }
}

#[tokio::test]
async fn the_disk_of_an_engine_behind_a_port_is_not_this_machines() {
    let engine = BuilderEngine::new("tcp://127.0.0.1:9", Architecture::X86_64).unwrap();
    assert_eq!(
        engine.data_root().await.unwrap(),
        None,
        "and it is not asked"
    );
}

#[test]
fn a_folder_that_another_engine_keeps_its_data_in_is_not_this_ones() {
    let root = tempfile::tempdir().unwrap();
    assert!(!belongs_to_another(root.path(), "one"), "an old engine's");
    std::fs::write(root.path().join("engine-id"), "one\n").unwrap();
    assert!(!belongs_to_another(root.path(), "one"));
    assert!(belongs_to_another(root.path(), "other"));
}
