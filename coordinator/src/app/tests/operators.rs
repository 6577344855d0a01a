use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rcgen::KeyPair;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tfleet_proto::channel::ClientIdentity;
use tfleet_proto::wire;
use tfleet_proto::wire::artifacts_client::ArtifactsClient;
use tfleet_proto::wire::operator_client::OperatorClient;
use tfleet_proto::wire::session_client::SessionClient;
use tokio::time::timeout;
use tonic::Code;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus};

use super::super::{AppError, issue_operator};
use super::host::{Host, request};
use super::served::{Served, all, config, credentials};
use crate::ca::Certified;

async fn issue(
    served: &Served,
    name: &str,
    key: &KeyPair,
) -> Result<wire::IssueOperatorResponse, tonic::Status> {
    let request = wire::IssueOperatorRequest {
        name: name.to_owned(),
        signing_request: request(key),
        life_days: 0,
    };
    let answer = served.operator().await.issue_operator(request).await?;
    Ok(answer.into_inner())
}

#[tokio::test]
async fn a_hosts_certificate_is_no_operators_and_an_operators_is_no_hosts() {
    let served = Served::start().await;
    let host = Host::enrolled(&served, "t4").await;
    let channel = served.connect(host.identity()).await.unwrap();
    let refused = OperatorClient::new(channel)
        .list_hosts(wire::ListHostsRequest { selector: all() })
        .await;
    assert_eq!(refused.unwrap_err().code(), Code::PermissionDenied);

    let admin = credentials(&served.config.data_dir.join("admin.toml"));
    let channel = served.connect(admin).await.unwrap();
    let refused = SessionClient::new(channel.clone())
        .open(tokio_stream::empty())
        .await;
    assert_eq!(refused.unwrap_err().code(), Code::PermissionDenied);
    let refused = ArtifactsClient::new(channel)
        .get_index(wire::GetIndexRequest::default())
        .await;
    assert_eq!(refused.unwrap_err().code(), Code::PermissionDenied);
}

#[tokio::test]
async fn a_host_fetches_only_what_it_shall_have() {
    let served = Served::start().await;
    let host = Host::enrolled(&served, "t4").await;
    let channel = served.connect(host.identity()).await.unwrap();
    let artifact = tfleet_proto::model::digest::Digest::of(b"another host's").to_string();
    let refused = ArtifactsClient::new(channel)
        .get_index(wire::GetIndexRequest { artifact })
        .await;
    assert_eq!(refused.unwrap_err().code(), Code::NotFound);
}

#[tokio::test]
async fn another_operator_works_until_revoked_and_then_its_streams_end() {
    let served = Served::start().await;
    let key = KeyPair::generate().unwrap();
    let issued = issue(&served, "ann", &key).await.unwrap();
    let taken = issue(&served, "ann", &key).await.unwrap_err();
    assert_eq!(taken.code(), Code::AlreadyExists);
    let identity = ClientIdentity {
        ca_certificate: CertificateDer::from(issued.ca_certificate),
        certificate_chain: vec![CertificateDer::from(issued.certificate)],
        key: PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())),
    };
    let mut ann = OperatorClient::new(served.connect(identity).await.unwrap());
    let own = wire::RevokeOperatorRequest {
        name: "ann".to_owned(),
    };
    let refused = ann.revoke_operator(own.clone()).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);

    let watch = wire::ListHostsRequest { selector: all() };
    let mut events = ann.watch_hosts(watch).await.unwrap().into_inner();
    events.message().await.unwrap();
    served.operator().await.revoke_operator(own).await.unwrap();
    let ended = timeout(Duration::from_secs(5), async {
        while events.message().await.is_ok_and(|event| event.is_some()) {}
    });
    ended.await.expect("the revoked operator's stream goes on");
    let refused = ann.get_fleet(wire::GetFleetRequest {}).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
}

#[tokio::test]
async fn an_operators_certificate_lives_as_long_as_the_site_says_if_nobody_says_otherwise() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(&folder.path().join("data"));
    config.certificates.operator_life_days = 30;
    let served = Served::with(folder, config).await;
    let issued = issue(&served, "ann", &KeyPair::generate().unwrap()).await;
    let certificate = CertificateDer::from(issued.unwrap().certificate);
    let life = Certified::read(&certificate)
        .unwrap()
        .ends_at
        .duration_since(Timestamp::now());
    let days = SignedDuration::from_hours(24) * 30;
    assert!(
        (life - days).abs() < SignedDuration::from_mins(5),
        "{life:?}"
    );
}

#[tokio::test]
async fn credentials_are_issued_on_the_machine_itself_while_the_coordinator_serves() {
    let served = Served::start().await;
    let out = served.folder.path().join("bob.toml");
    issue_operator(&served.config, "bob", &out).await.unwrap();
    let channel = served.connect(credentials(&out)).await.unwrap();
    let fleet = OperatorClient::new(channel)
        .get_fleet(wire::GetFleetRequest {})
        .await
        .unwrap()
        .into_inner();
    assert_eq!((fleet.name.as_str(), fleet.incarnation), ("test", 1));
    let again = served.folder.path().join("again.toml");
    let refused = issue_operator(&served.config, "bob", &again).await;
    assert!(
        matches!(refused, Err(AppError::OperatorExists { .. })),
        "{refused:?}"
    );
}

#[tokio::test]
async fn tokens_are_checked_before_they_are_made() {
    let served = Served::start().await;
    Host::enrolled(&served, "t4").await;
    let mut operator = served.operator().await;
    for (hosts, life_seconds, code) in [
        (vec!["Not A Name"], 0, Code::InvalidArgument),
        (vec![], 0, Code::InvalidArgument),
        (vec!["a"], 59, Code::InvalidArgument),
        (vec!["a"], 7 * 86_400 + 1, Code::InvalidArgument),
        (vec!["a", "t4"], 0, Code::AlreadyExists),
    ] {
        let hosts: Vec<String> = hosts.into_iter().map(str::to_owned).collect();
        let request = wire::CreateTokensRequest {
            hosts: hosts.clone(),
            life_seconds,
        };
        let refused = operator.create_tokens(request).await.unwrap_err();
        assert_eq!(refused.code(), code, "{hosts:?} {life_seconds}");
    }
}

#[tokio::test]
async fn health_is_told_to_members() {
    let served = Served::start().await;
    let host = Host::enrolled(&served, "t4").await;
    let channel = served.connect(host.identity()).await.unwrap();
    let answer = HealthClient::new(channel)
        .check(HealthCheckRequest {
            service: "tfleet.v1.Session".to_owned(),
        })
        .await
        .unwrap();
    assert_eq!(answer.into_inner().status(), ServingStatus::Serving);
}

#[tokio::test]
async fn the_contract_can_be_asked_for() {
    use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
    use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
    use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
    use tonic_reflection::pb::v1::{ListServiceResponse, ServerReflectionRequest};
    let served = Served::start().await;
    let admin = credentials(&served.config.data_dir.join("admin.toml"));
    let channel = served.connect(admin).await.unwrap();
    let asked = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let answers = ServerReflectionClient::new(channel)
        .server_reflection_info(tokio_stream::iter([asked]))
        .await;
    let answer = answers.unwrap().into_inner().message().await.unwrap();
    let Some(MessageResponse::ListServicesResponse(ListServiceResponse { service })) =
        answer.unwrap().message_response
    else {
        panic!("no list of services");
    };
    let names: Vec<_> = service
        .iter()
        .map(|service| service.name.as_str())
        .collect();
    for name in [
        "tfleet.v1.Operator",
        "tfleet.v1.Session",
        "tfleet.v1.Artifacts",
    ] {
        assert!(names.contains(&name), "{names:?}");
    }
}

#[tokio::test]
async fn a_misspelt_host_or_expression_is_answered_with_what_was_meant_or_where_it_broke() {
    let served = Served::start().await;
    Host::enrolled(&served, "gpu-node-1").await;
    let mut operator = served.operator().await;
    let mut ask = async |selector| {
        let request = wire::ListHostsRequest {
            selector: Some(selector),
        };
        operator.list_hosts(request).await
    };
    let misspelt = wire::Selector {
        names: vec!["gpu-nod-1".to_owned()],
        ..Default::default()
    };
    let refused = ask(misspelt).await.unwrap_err();
    assert_eq!(refused.code(), Code::NotFound);
    assert!(
        refused.message().contains("did you mean gpu-node-1?"),
        "{}",
        refused.message()
    );
    let broken = wire::Selector {
        expression: "driver >=".to_owned(),
        ..Default::default()
    };
    let refused = ask(broken).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert!(
        refused.message().contains("column"),
        "{}",
        refused.message()
    );
    let nobody = ask(wire::Selector::default()).await.unwrap().into_inner();
    assert!(nobody.hosts.is_empty());
}
