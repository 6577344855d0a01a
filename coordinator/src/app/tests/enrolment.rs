use jiff::{SignedDuration, Timestamp};
use rcgen::KeyPair;
use rustls::pki_types::CertificateDer;
use tfleet_proto::channel::{self, ConnectError, RefusedBecause, Trust};
use tfleet_proto::model::token::{Token, TokenSecret};
use tfleet_proto::wire;
use time::Duration;
use tonic::Code;

use super::host::{Host, enrol, request};
use super::served::Served;
use crate::ca::{Authority, Certified, Role};
use crate::store::{NewToken, Store};

const SOON: std::time::Duration = std::time::Duration::from_secs(20);

fn key() -> KeyPair {
    KeyPair::generate().unwrap()
}

#[tokio::test]
async fn a_token_gives_a_certificate_of_its_name_to_one_key_as_often_as_that_key_asks() {
    let served = Served::start().await;
    let (token, ours) = (served.token("t4").await, key());
    for _ in 0..2 {
        let answer = enrol(&served, &token, &ours, Timestamp::now())
            .await
            .unwrap();
        let certified = Certified::read(&CertificateDer::from(answer.certificate)).unwrap();
        assert_eq!(
            (certified.role, certified.name.as_str()),
            (Role::Host, "t4")
        );
    }
    let used = enrol(&served, &token, &key(), Timestamp::now()).await;
    assert_eq!(used.unwrap_err().code(), Code::Unauthenticated);
}

#[tokio::test]
async fn a_token_that_was_never_made_or_is_for_another_name_is_refused_without_saying_why() {
    let served = Served::start().await;
    let token = served.token("t4").await;
    let guessed = Token {
        secret: TokenSecret::from_bytes([7; 32]),
        ..token.clone()
    };
    let other_name = Token {
        host: "a100".parse().unwrap(),
        ..token.clone()
    };
    let mut messages = Vec::new();
    for token in [guessed, other_name] {
        let refused = enrol(&served, &token, &key(), Timestamp::now())
            .await
            .unwrap_err();
        assert_eq!(refused.code(), Code::Unauthenticated);
        messages.push(refused.message().to_owned());
    }
    assert_eq!(messages[0], messages[1]);
}

#[tokio::test]
async fn a_token_does_not_take_the_place_of_a_host_that_is_enrolled() {
    let served = Served::start().await;
    let (first, second) = (served.token("t4").await, served.token("t4").await);
    enrol(&served, &first, &key(), Timestamp::now())
        .await
        .unwrap();
    let refused = enrol(&served, &second, &key(), Timestamp::now()).await;
    assert_eq!(refused.unwrap_err().code(), Code::Unauthenticated);
}

#[tokio::test]
async fn a_wrong_clock_is_named_with_both_times_and_costs_no_token() {
    let served = Served::start().await;
    let (token, key) = (served.token("t4").await, key());
    let wrong = Timestamp::now() - SignedDuration::from_hours(24);
    let refused = enrol(&served, &token, &key, wrong).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert!(
        refused.message().contains(&wrong.to_string()),
        "{}",
        refused.message()
    );
    enrol(&served, &token, &key, Timestamp::now())
        .await
        .unwrap();
}

#[tokio::test]
async fn a_certificate_that_ended_is_no_use_but_is_renewed_on_proof_of_its_key() {
    let served = Served::start().await;
    let mut host = Host::enrolled(&served, "t4").await;
    let authority = Authority::open(&served.config.data_dir.join("ca"), "test").unwrap();
    let ended = authority
        .issue(Role::Host, "t4", &request(&host.key), -Duration::minutes(1))
        .unwrap();
    host.certificate = ended.der.to_vec();
    let refused = served.connect(host.identity()).await.unwrap_err();
    assert!(
        matches!(
            refused,
            ConnectError::Refused {
                because: RefusedBecause::Ended,
                ..
            }
        ),
        "{refused:?}"
    );
    host.certificate = host.renew(&served).await.unwrap();
    host.open(&served).await.unwrap();

    host.key = key();
    let refused = host.renew(&served).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
}

#[tokio::test]
async fn a_connection_ends_with_the_certificate_that_opened_it() {
    let served = Served::start().await;
    let mut host = Host::enrolled(&served, "t4").await;
    let authority = Authority::open(&served.config.data_dir.join("ca"), "test").unwrap();
    let short = authority
        .issue(Role::Host, "t4", &request(&host.key), Duration::seconds(3))
        .unwrap();
    host.certificate = short.der.to_vec();
    let mut session = host.open(&served).await.unwrap();
    let ended = tokio::time::timeout(SOON, async {
        while session.hear().await.is_ok_and(|heard| heard.is_some()) {}
    });
    ended.await.expect("the session goes on");
    assert!(Timestamp::now() >= short.ends_at);
    host.certificate = host.renew(&served).await.unwrap();
    host.open(&served).await.unwrap();
}

#[tokio::test]
async fn a_token_that_has_expired_is_refused_as_any_other_that_is_of_no_use() {
    let served = Served::start().await;
    let made = served.token("t4").await;
    let expired = Token {
        secret: TokenSecret::from_bytes([9; 32]),
        ..made.clone()
    };
    let store = Store::open(&served.config.data_dir.join("state.db")).unwrap();
    store
        .add_tokens(vec![NewToken {
            secret_digest: expired.secret.digest(),
            host: expired.host.clone(),
            ends_at: Timestamp::now() - SignedDuration::from_secs(1),
        }])
        .await
        .unwrap();
    let unknown = Token {
        secret: TokenSecret::from_bytes([7; 32]),
        ..made
    };
    let mut told = Vec::new();
    for token in [expired, unknown] {
        let refused = enrol(&served, &token, &key(), Timestamp::now()).await;
        let refused = refused.unwrap_err();
        assert_eq!(refused.code(), Code::Unauthenticated);
        told.push(refused.message().to_owned());
    }
    assert_eq!(told[0], told[1]);
}

#[tokio::test]
async fn a_request_larger_than_an_enrolment_is_refused_unread() {
    let served = Served::start().await;
    let token = served.token("t4").await;
    let channel = channel::connect(&served.enrolment(), Trust::PinnedCa(token.ca)).await;
    let mut client = wire::enrollment_client::EnrollmentClient::new(channel.unwrap());
    let request = wire::EnrolRequest {
        token: "x".repeat(1 << 20),
        ..Default::default()
    };
    let refused = client.enrol(request).await.unwrap_err();
    assert_eq!(refused.code(), Code::OutOfRange, "{refused:?}");
}

#[tokio::test]
async fn another_fleets_certificate_opens_nothing_and_is_not_renewed() {
    let (ours, theirs) = (Served::start().await, Served::start().await);
    let mut foreign = Host::enrolled(&theirs, "t4").await;
    foreign.ca = Host::enrolled(&ours, "a100").await.ca;
    let refused = ours.connect(foreign.identity()).await.unwrap_err();
    assert!(
        matches!(
            refused,
            ConnectError::Refused {
                because: RefusedBecause::UnknownCa,
                ..
            }
        ),
        "{refused:?}"
    );
    let refused = foreign.renew(&ours).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
}

#[tokio::test]
async fn the_fleet_listener_asks_for_a_certificate() {
    let served = Served::start().await;
    let token = served.token("t4").await;
    let refused = channel::connect(&served.fleet(), Trust::PinnedCa(token.ca)).await;
    assert!(
        matches!(
            refused,
            Err(ConnectError::Refused {
                because: RefusedBecause::NoCertificate,
                ..
            })
        ),
        "{refused:?}"
    );
}

#[tokio::test]
async fn the_enrolment_listener_serves_enrolment_alone() {
    let served = Served::start().await;
    let host = Host::enrolled(&served, "t4").await;
    let channel = channel::connect(&served.enrolment(), Trust::Identity(host.identity())).await;
    let mut operator = wire::operator_client::OperatorClient::new(channel.unwrap());
    let refused = operator.get_fleet(wire::GetFleetRequest {}).await;
    assert_eq!(refused.unwrap_err().code(), Code::Unimplemented);
}
