use std::time::Duration;

use tfleet_proto::model::digest::Digest;
use tfleet_proto::model::status::HostStatus;
use tfleet_proto::wire;
use tfleet_proto::wire::agent_message::Message as FromAgent;
use tfleet_proto::wire::coordinator_message::Message as FromCoordinator;
use tfleet_proto::wire::host_event::Event;
use tfleet_proto::wire::operation_output::Output;
use tfleet_proto::wire::session_client::SessionClient;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Streaming};

use super::host::{Host, inventory};
use super::releases::{add_image, desired, run};
use super::served::{Served, all};

const SOON: Duration = Duration::from_secs(10);

async fn watch(served: &Served) -> Streaming<wire::HostEvent> {
    let request = wire::ListHostsRequest { selector: all() };
    let events = served.operator().await.watch_hosts(request).await;
    events.unwrap().into_inner()
}

/// Waits for an event that `is_it`.
async fn until<T>(
    events: &mut Streaming<wire::HostEvent>,
    mut is_it: impl FnMut(Event) -> Option<T>,
) -> T {
    let found = async {
        loop {
            let event = events.message().await.unwrap().unwrap().event.unwrap();
            if let Some(found) = is_it(event) {
                return found;
            }
        }
    };
    timeout(SOON, found).await.expect("the event never came")
}

#[tokio::test]
async fn what_a_host_says_reaches_whoever_watches_and_outlives_a_restart() {
    let served = Served::start().await;
    let mut events = watch(&served).await;
    until(&mut events, |event| {
        matches!(event, Event::Synced(_)).then_some(())
    })
    .await;
    let host = Host::enrolled(&served, "t4").await;
    let session = host.open(&served).await.unwrap();
    session
        .say(FromAgent::Inventory(inventory(true).into()))
        .await;
    let status = HostStatus {
        observed_generation: 9,
        ..Default::default()
    };
    session.say(FromAgent::Status(status.into())).await;
    let seen = until(&mut events, |event| match event {
        Event::Host(host) if host.status.is_some() && host.inventory.is_some() => Some(host),
        _ => None,
    })
    .await;
    assert!(seen.connected);
    assert_eq!(seen.inventory.unwrap().gpus[0].name, "Tesla T4");
    drop(session);
    until(&mut events, |event| match event {
        Event::Host(host) if !host.connected => Some(()),
        _ => None,
    })
    .await;

    let served = served.restart().await;
    let request = wire::ListHostsRequest { selector: all() };
    let hosts = served.operator().await.list_hosts(request).await.unwrap();
    let kept = hosts.into_inner().hosts.remove(0);
    assert_eq!(kept.status.unwrap().observed_generation, 9);
    assert!(kept.inventory.is_some() && !kept.connected);
}

#[tokio::test]
async fn a_watcher_is_told_whether_a_host_is_gone_or_only_no_longer_selected() {
    let served = Served::start().await;
    let host = Host::enrolled(&served, "t4").await;
    let mut operator = served.operator().await;
    let connected = wire::Selector {
        expression: "connected".to_owned(),
        ..Default::default()
    };
    let request = wire::ListHostsRequest {
        selector: Some(connected),
    };
    let events = operator.watch_hosts(request).await;
    let mut events = events.unwrap().into_inner();
    let shown = |event| matches!(event, Event::Host(_)).then_some(());
    let not_shown = |event| (!matches!(event, Event::Host(_))).then_some(event);
    until(&mut events, |event| {
        matches!(event, Event::Synced(_)).then_some(())
    })
    .await;

    let session = host.open(&served).await.unwrap();
    until(&mut events, shown).await;
    drop(session);
    let why = until(&mut events, not_shown).await;
    assert_eq!(why, Event::Unmatched("t4".to_owned()));

    let _session = host.open(&served).await.unwrap();
    until(&mut events, shown).await;
    let request = wire::RemoveHostRequest {
        host: "t4".to_owned(),
    };
    operator.remove_host(request).await.unwrap();
    let why = until(&mut events, not_shown).await;
    assert_eq!(why, Event::Removed("t4".to_owned()));
}

#[tokio::test]
async fn a_second_session_of_a_host_ends_the_first() {
    let served = Served::start().await;
    let host = Host::enrolled(&served, "t4").await;
    let mut first = host.open(&served).await.unwrap();
    let second = host.open(&served).await.unwrap();
    let ended = timeout(SOON, first.hear()).await.unwrap().unwrap_err();
    assert_eq!(ended.code(), Code::Aborted);
    drop(first);
    let request = wire::ListHostsRequest { selector: all() };
    let hosts = served.operator().await.list_hosts(request).await.unwrap();
    assert!(hosts.into_inner().hosts[0].connected);
    drop(second);
}

#[tokio::test]
async fn a_removed_hosts_streams_end_at_once_and_it_is_told_so_when_it_comes_back() {
    let served = Served::start().await;
    let host = Host::enrolled(&served, "t4").await;
    let mut session = host.open(&served).await.unwrap();
    let mut operator = served.operator().await;
    let request = wire::RemoveHostRequest {
        host: "t4".to_owned(),
    };
    operator.remove_host(request).await.unwrap();
    let ended = timeout(Duration::from_secs(2), session.hear()).await;
    assert_eq!(ended.unwrap().unwrap_err().code(), Code::PermissionDenied);
    let refused = host.open(&served).await.err().unwrap();
    assert_eq!(refused.code(), Code::PermissionDenied);
    let refused = host.renew(&served).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);

    let again = Host::enrolled(&served, "t4").await;
    again.open(&served).await.unwrap();
}

#[tokio::test]
async fn a_host_that_accepted_what_was_never_said_is_still_told_what_is_asked() {
    let served = Served::start().await;
    let host = Host::enrolled(&served, "t4").await;
    let mut operator = served.operator().await;
    add_image(&mut operator).await;
    operator.run_container(run("tf", 0, false)).await.unwrap();
    // A newer number than ours, and ours with other content.
    for accepted in [(1, 99), (1, 1)] {
        let session = host
            .open_having_accepted(&served, accepted, Digest::of(b"other"))
            .await;
        let told = desired(&mut session.unwrap()).await;
        assert_eq!((told.incarnation, told.generation), (1, 1));
    }
}

#[tokio::test]
async fn versions_too_far_apart_are_refused_with_both() {
    let served = Served::start().await;
    let host = Host::enrolled(&served, "t4").await;
    let refused = host.open_as(&served, "99.0.0").await.err().unwrap();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    for version in ["99.0.0", env!("CARGO_PKG_VERSION")] {
        assert!(refused.message().contains(version), "{}", refused.message());
    }
}

fn logs(host: &str) -> wire::LogsRequest {
    wire::LogsRequest {
        host: host.to_owned(),
        logs: Some(wire::LogsOperation {
            container: "tf".to_owned(),
            ..Default::default()
        }),
    }
}

#[tokio::test]
async fn an_operation_joins_the_operators_stream_and_the_agents() {
    let served = Served::start().await;
    let host = Host::enrolled(&served, "t4").await;
    let mut session = host.open(&served).await.unwrap();
    let mut operator = served.operator().await;
    let (to_host, input) = mpsc::channel(4);
    let start = wire::exec_request::Request::Start(wire::ExecStart {
        host: "t4".to_owned(),
        exec: Some(wire::ExecOperation {
            container: "tf".to_owned(),
            command: vec!["cat".to_owned()],
            stdin: true,
            ..Default::default()
        }),
    });
    let say = |request| wire::ExecRequest {
        request: Some(request),
    };
    to_host.send(say(start)).await.unwrap();
    let output = operator.exec(ReceiverStream::new(input)).await.unwrap();
    let mut output = output.into_inner();

    let Some(FromCoordinator::StartOperation(asked)) = session.hear().await.unwrap() else {
        panic!("no operation");
    };
    let (to_operator, outgoing) = mpsc::channel(4);
    let say_back = |output| wire::OperationOutput {
        output: Some(output),
    };
    to_operator
        .send(say_back(Output::OperationId(asked.operation_id)))
        .await
        .unwrap();
    let mut agent = SessionClient::new(session.channel.clone());
    let attached = agent.attach(ReceiverStream::new(outgoing)).await.unwrap();
    let mut heard = attached.into_inner();

    let stdin = wire::operation_input::Input::Stdin(b"hello".to_vec().into());
    let typed = wire::OperationInput { input: Some(stdin) };
    to_host
        .send(say(wire::exec_request::Request::Input(typed.clone())))
        .await
        .unwrap();
    assert_eq!(heard.message().await.unwrap().unwrap(), typed);
    for said in [
        Output::Stdout(b"hello".to_vec().into()),
        Output::ExitCode(3),
    ] {
        to_operator.send(say_back(said.clone())).await.unwrap();
        assert_eq!(output.message().await.unwrap().unwrap().output, Some(said));
    }
    assert!(output.message().await.unwrap().is_none());
    drop(output);
    // The agent hears that the operator is gone by the end of its stream.
    assert!(
        timeout(SOON, heard.message())
            .await
            .unwrap()
            .unwrap()
            .is_none()
    );
}

#[tokio::test]
async fn an_operation_that_loses_its_host_says_so() {
    let served = Served::start().await;
    let host = Host::enrolled(&served, "t4").await;
    let mut session = host.open(&served).await.unwrap();
    let mut operator = served.operator().await;
    let mut output = operator.logs(logs("t4")).await.unwrap().into_inner();
    session.hear().await.unwrap();
    let request = wire::RemoveHostRequest {
        host: "t4".to_owned(),
    };
    operator.remove_host(request).await.unwrap();
    let last = timeout(SOON, output.message()).await.unwrap().unwrap();
    let Some(Output::Failure(failure)) = last.unwrap().output else {
        panic!("no failure");
    };
    assert_eq!(failure.code, "host-lost");
}

#[tokio::test]
async fn an_operation_on_a_host_that_is_away_or_unknown_is_refused_at_once() {
    let served = Served::start().await;
    Host::enrolled(&served, "t4").await;
    let mut operator = served.operator().await;
    let away = operator.logs(logs("t4")).await.unwrap_err();
    assert_eq!(away.code(), Code::Unavailable);
    let unknown = operator.logs(logs("t5")).await.unwrap_err();
    assert_eq!(unknown.code(), Code::NotFound);
}

#[tokio::test]
async fn a_host_cannot_attach_to_another_hosts_operation() {
    let served = Served::start().await;
    let (t4, a100) = (
        Host::enrolled(&served, "t4").await,
        Host::enrolled(&served, "a100").await,
    );
    let mut session = t4.open(&served).await.unwrap();
    let mut operator = served.operator().await;
    let _output = operator.logs(logs("t4")).await.unwrap();
    let Some(FromCoordinator::StartOperation(asked)) = session.hear().await.unwrap() else {
        panic!("no operation");
    };
    let id = wire::OperationOutput {
        output: Some(Output::OperationId(asked.operation_id)),
    };
    let channel = served.connect(a100.identity()).await.unwrap();
    let refused = SessionClient::new(channel)
        .attach(tokio_stream::iter([id]))
        .await;
    assert_eq!(refused.unwrap_err().code(), Code::NotFound);
}
