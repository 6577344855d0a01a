use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::*;
use crate::engine::Patience;

const LIMIT: Duration = Duration::from_secs(900);

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn an_engine_that_takes_nothing_is_stuck_when_the_limit_has_passed_and_not_at_twice_that() {
    let start = Instant::now();
    let pulse = Pulse::default();
    let mut watchdog = Watchdog::new(LIMIT, start);
    pulse.beat();
    pulse.beat();
    assert!(!watchdog.is_stuck(&pulse, start + seconds(10)));
    assert!(!watchdog.is_stuck(&pulse, start + seconds(900)));
    assert!(watchdog.is_stuck(&pulse, start + seconds(910)));
}

#[test]
fn what_the_engine_takes_or_says_gives_it_the_whole_time_again() {
    let start = Instant::now();
    let pulse = Pulse::default();
    let mut watchdog = Watchdog::new(LIMIT, start);
    assert!(!watchdog.is_stuck(&pulse, start + seconds(890)));
    pulse.beat();
    pulse.beat();
    assert!(!watchdog.is_stuck(&pulse, start + seconds(905)));
    assert!(!watchdog.is_stuck(&pulse, start + seconds(1800)));
    watchdog.heard(start + seconds(1802));
    assert!(!watchdog.is_stuck(&pulse, start + seconds(2700)));
    assert!(watchdog.is_stuck(&pulse, start + seconds(2702)));
}

#[test]
fn waiting_for_the_sender_is_not_the_engines_delay() {
    let start = Instant::now();
    let pulse = Pulse::default();
    let mut watchdog = Watchdog::new(LIMIT, start);
    pulse.beat();
    assert!(!watchdog.is_stuck(&pulse, start + seconds(5000)));
    pulse.beat();
    assert!(!watchdog.is_stuck(&pulse, start + seconds(5100)));
    assert!(watchdog.is_stuck(&pulse, start + seconds(6000)));
}

/// Says its version, takes archives, and says nothing to them.
async fn hang_in_mid_load(mut stream: TcpStream) {
    let version = r#"{"Version":"28.5.2","ApiVersion":"1.51"}"#;
    let answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{version}",
        version.len()
    );
    let (mut seen, mut buffer) = (Vec::new(), [0; 4096]);
    while let Ok(got @ 1..) = stream.read(&mut buffer).await {
        seen.extend_from_slice(&buffer[..got]);
        if seen.starts_with(b"GET ") && seen.ends_with(b"\r\n\r\n") {
            stream.write_all(answer.as_bytes()).await.unwrap();
            seen.clear();
        }
    }
}

#[tokio::test]
async fn an_engine_that_hangs_in_mid_load_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("tcp://{}", listener.local_addr().unwrap());
    let mut other_side = JoinSet::new();
    other_side.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            connections.spawn(hang_in_mid_load(stream));
        }
    });
    let engine = Engine::connect(&endpoint).unwrap().with_patience(Patience {
        load: seconds(1),
        ..Patience::default()
    });
    let (sender, receiver) = mpsc::channel(2);
    let piece = ArchivePiece::Bytes(Bytes::from_static(b"a beginning"));
    sender.send(piece).await.unwrap();
    sender.send(ArchivePiece::End).await.unwrap();
    let refusal = engine.load(receiver).await.unwrap_err();
    assert!(
        matches!(refusal, EngineError::Stalled { seconds: 1 }),
        "{refusal}"
    );
}
