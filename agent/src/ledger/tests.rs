use std::fs;
use std::sync::Arc;

use tfleet_proto::model::desired::DesiredState;
use tfleet_proto::model::digest::Digest;
use tfleet_proto::model::token::{Token, TokenSecret};

use super::*;

fn state(incarnation: u64, generation: u64) -> DesiredState {
    DesiredState {
        incarnation,
        generation,
        ..DesiredState::default()
    }
}

fn deed(id: Option<&str>) -> ContainerDeed {
    ContainerDeed {
        spec: Digest::of(b"spec"),
        id: id.map(str::to_owned),
        artifact: Digest::of(b"artifact"),
        stop_grace_seconds: 0,
        gpu_mode: None,
        binds: Vec::new(),
        started: false,
        starting: None,
        stopping: false,
        restart_serial: 0,
        start_serial: 0,
    }
}

#[test]
fn the_first_state_is_accepted_whatever_its_number() {
    let folder = tempfile::tempdir().unwrap();
    let accepted = Accepted::open(folder.path(), None).unwrap();
    assert_eq!(accepted.judge(&state(0, 0)), Ok(Acceptance::Newer));
}

#[tokio::test]
async fn numbers_are_compared_incarnation_first() {
    let folder = tempfile::tempdir().unwrap();
    let mut accepted = Accepted::open(folder.path(), None).unwrap();
    accepted.keep(Arc::new(state(2, 10))).await.unwrap();
    assert_eq!(accepted.judge(&state(2, 11)), Ok(Acceptance::Newer));
    assert_eq!(accepted.judge(&state(3, 1)), Ok(Acceptance::Newer));
    assert_eq!(accepted.judge(&state(2, 10)), Ok(Acceptance::Same));
    for (incarnation, generation) in [(2, 9), (1, 99)] {
        let offered = (incarnation, generation);
        assert_eq!(
            accepted.judge(&state(incarnation, generation)),
            Err(Unacceptable::Older {
                offered,
                accepted: (2, 10)
            })
        );
    }
}

#[tokio::test]
async fn an_equal_number_with_other_content_is_a_conflict() {
    let folder = tempfile::tempdir().unwrap();
    let mut accepted = Accepted::open(folder.path(), None).unwrap();
    accepted.keep(Arc::new(state(1, 1))).await.unwrap();
    let other = DesiredState {
        images: vec![image()],
        ..state(1, 1)
    };
    let refusal = accepted.judge(&other).unwrap_err();
    assert!(matches!(
        refusal,
        Unacceptable::Conflict { pair: (1, 1), .. }
    ));
    assert_eq!(refusal.failure().code, "desired-state-conflict");
}

#[tokio::test]
async fn what_was_accepted_is_there_after_a_death() {
    let folder = tempfile::tempdir().unwrap();
    Accepted::open(folder.path(), None)
        .unwrap()
        .keep(Arc::new(state(1, 7)))
        .await
        .unwrap();
    // A death in the middle of writing the next one leaves this behind.
    fs::write(
        folder.path().join("accepted.json.new"),
        b"{\"incarnation\":1,\"gener",
    )
    .unwrap();
    let accepted = Accepted::open(folder.path(), None).unwrap();
    assert_eq!(*accepted.state().unwrap(), state(1, 7));
    assert!(accepted.judge(&state(1, 6)).is_err());
}

#[tokio::test]
async fn deeds_are_there_after_a_death_also_intentions() {
    let folder = tempfile::tempdir().unwrap();
    let mut deeds = Deeds::open(folder.path(), None).unwrap();
    deeds.note_container("train", deed(None)).await.unwrap();
    drop(deeds);
    let mut deeds = Deeds::open(folder.path(), None).unwrap();
    assert_eq!(deeds.containers()["train"], deed(None));
    deeds
        .amend_container("train", |deed| deed.id = Some("c1".to_owned()))
        .await
        .unwrap();
    drop(deeds);
    let mut deeds = Deeds::open(folder.path(), None).unwrap();
    assert_eq!(deeds.containers()["train"], deed(Some("c1")));
    deeds.forget_container("train").await.unwrap();
    assert!(
        Deeds::open(folder.path(), None)
            .unwrap()
            .containers()
            .is_empty()
    );
}

#[tokio::test]
async fn memory_does_not_run_ahead_of_a_disk_that_refuses() {
    let folder = tempfile::tempdir().unwrap();
    let mut deeds = Deeds::open(&folder.path().join("ledger"), None).unwrap();
    fs::remove_dir_all(folder.path().join("ledger")).unwrap();
    assert!(deeds.note_container("train", deed(None)).await.is_err());
    assert!(deeds.containers().is_empty());
}

/// Of the token with this number.
fn membership(number: u8) -> Option<Membership> {
    Some(Membership::begun_with(&Token {
        host: "t4".parse().unwrap(),
        secret: TokenSecret::from_bytes([number; 32]),
        ca: Digest::of(b"ca"),
    }))
}

#[tokio::test]
async fn a_ledger_that_was_kept_over_a_new_enrolment_claims_nothing_that_runs() {
    let folder = tempfile::tempdir().unwrap();
    let mut accepted = Accepted::open(folder.path(), membership(1)).unwrap();
    accepted.keep(Arc::new(state(3, 9))).await.unwrap();
    let mut deeds = Deeds::open(folder.path(), membership(1)).unwrap();
    deeds
        .note_container("train", deed(Some("c1")))
        .await
        .unwrap();

    // A restart or a renewal is the same membership.
    let accepted = Accepted::open(folder.path(), membership(1)).unwrap();
    assert_eq!(*accepted.state().unwrap(), state(3, 9));
    let deeds = Deeds::open(folder.path(), membership(1)).unwrap();
    assert!(deeds.containers().contains_key("train"));

    // Nothing was asked in the new one yet, and whatever its coordinator's number is, it is not older.
    let accepted = Accepted::open(folder.path(), membership(2)).unwrap();
    assert_eq!(accepted.state(), None);
    assert_eq!(accepted.judge(&state(1, 1)), Ok(Acceptance::Newer));
    let mut deeds = Deeds::open(folder.path(), membership(2)).unwrap();
    assert!(deeds.containers().is_empty() && deeds.images().is_empty());
    deeds
        .note_container("serve", deed(Some("c2")))
        .await
        .unwrap();
    let deeds = Deeds::open(folder.path(), membership(2)).unwrap();
    let names: Vec<_> = deeds.containers().keys().collect();
    assert_eq!(names, ["serve"]);
}

#[tokio::test]
async fn an_agent_of_before_disowns_nothing_until_it_is_enrolled_anew() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(
        folder.path().join("accepted.json"),
        r#"{"incarnation":1,"generation":7,"images":[],"containers":[]}"#,
    )
    .unwrap();
    fs::write(
        folder.path().join("deeds.json"),
        r#"{"images":{},"containers":{}}"#,
    )
    .unwrap();
    let accepted = Accepted::open(folder.path(), None).unwrap();
    assert_eq!(*accepted.state().unwrap(), state(1, 7));
    Deeds::open(folder.path(), None).unwrap();
    let accepted = Accepted::open(folder.path(), membership(1)).unwrap();
    assert_eq!(accepted.state(), None);
}

#[test]
fn a_refusal_names_the_command_that_a_restored_coordinator_needs() {
    let older = Unacceptable::Older {
        offered: (1, 1),
        accepted: (1, 2),
    };
    let remedy = older.failure().remedy.unwrap();
    assert!(remedy.contains("`tfleet-coordinator restored`"), "{remedy}");
}

#[test]
fn a_damaged_ledger_is_an_error_and_not_an_empty_one() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("deeds.json"), b"{}{").unwrap();
    let error = Deeds::open(folder.path(), None).unwrap_err();
    assert!(
        error.to_string().contains("deeds.json is damaged"),
        "{error}"
    );
}

fn image() -> tfleet_proto::model::desired::DesiredImage {
    tfleet_proto::model::desired::DesiredImage {
        artifact: Digest::of(b"artifact"),
        release: "train:v7".parse().unwrap(),
        variant: "tf2.15.1-cpu".parse().unwrap(),
        tags: vec!["tfleet/train:v7".to_owned()],
    }
}
