//! What flows while a container runs: a command's input and output, its log, and the engine's events.

use std::time::Duration;

use bytes::Bytes;
use futures::stream;
use tfleet_agent::engine::{Engine, ExecCommand, ExecInput, LogsRequest, Output, TerminalSize};
use tfleet_tests::lab::EngineKind;
use tokio::sync::mpsc;

use super::{made, site, spec, words};

/// The exit code and everything that was written.
pub(super) async fn exec(
    engine: &Engine,
    id: &str,
    command: ExecCommand,
    input: Vec<ExecInput>,
) -> (Option<i32>, String, String) {
    use futures::StreamExt as _;
    let (sender, mut receiver) = mpsc::channel(4);
    let input = stream::iter(input).chain(stream::pending());
    let (code, written) = tokio::join!(engine.exec(id, &command, input, sender), async {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        while let Some(piece) = receiver.recv().await {
            match piece {
                Output::Stdout(bytes) => out.extend_from_slice(&bytes),
                Output::Stderr(bytes) => err.extend_from_slice(&bytes),
            }
        }
        (
            String::from_utf8(out).unwrap(),
            String::from_utf8(err).unwrap(),
        )
    });
    (code.unwrap(), written.0, written.1)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_gets_its_input_and_its_terminal() {
    let (site, image_id) = site(EngineKind::System).await;
    let engine = &site.engine;
    let id = made(engine, &spec("train"), &image_id).await;
    engine.start(&id).await.unwrap();

    let input = vec![
        ExecInput::Stdin(Bytes::from_static(b"one ")),
        ExecInput::Stdin(Bytes::from_static(b"two")),
        ExecInput::StdinEnd,
    ];
    let cat = ExecCommand {
        command: words("cat"),
        stdin: true,
        ..ExecCommand::default()
    };
    assert_eq!(
        exec(engine, &id, cat, input).await,
        (Some(0), "one two".to_owned(), String::new())
    );

    // The resize comes while the loop runs, whatever is slow.
    const UNTIL_RESIZED: &str =
        "until [ \"$(stty size)\" = '22 99' ]; do sleep 0.1; done; echo now $(stty size)\n";
    let shell = ExecCommand {
        command: words("sh"),
        tty: true,
        stdin: true,
        terminal: Some(TerminalSize {
            columns: 101,
            rows: 33,
        }),
        ..ExecCommand::default()
    };
    let input = vec![
        ExecInput::Stdin(Bytes::from_static(UNTIL_RESIZED.as_bytes())),
        ExecInput::Resize(TerminalSize {
            columns: 99,
            rows: 22,
        }),
        ExecInput::Stdin(Bytes::from_static(b"exit 3\n")),
    ];
    let (code, out, _) = exec(engine, &id, shell, input).await;
    assert_eq!(code, Some(3), "{out}");
    assert!(out.contains("now 22 99"), "{out}");

    let missing = ExecCommand {
        command: words("no-such-command"),
        ..ExecCommand::default()
    };
    let (sender, _receiver) = mpsc::channel(4);
    match engine.exec(&id, &missing, stream::empty(), sender).await {
        Ok(code) => assert!(matches!(code, Some(126 | 127)), "{code:?}"),
        Err(error) => assert_eq!(error.failure().code, "command-missing"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_is_followed_with_the_speed_of_who_reads_it_and_left_when_nobody_does() {
    let (site, image_id) = site(EngineKind::System).await;
    let engine = &site.engine;
    let mut talker = spec("talker");
    talker.command = [
        "sh",
        "-c",
        "echo two >&2; until [ -e /go ]; do sleep 0.1; done; echo one; echo three; sleep 600",
    ]
    .map(str::to_owned)
    .to_vec();
    let id = &made(engine, &talker, &image_id).await;
    engine.start(id).await.unwrap();

    let follow = LogsRequest {
        follow: true,
        tail_lines: None,
        timestamps: false,
    };
    let (sender, mut receiver) = mpsc::channel(1);
    let read = async move {
        let mut lines = vec![receiver.recv().await.unwrap()];
        let go = ExecCommand {
            command: ["sh", "-c", ": >/go"].map(str::to_owned).to_vec(),
            ..ExecCommand::default()
        };
        assert_eq!(exec(engine, id, go, vec![]).await.0, Some(0));
        for _ in 0..2 {
            lines.push(receiver.recv().await.unwrap());
        }
        lines
    };
    let both = async { tokio::join!(engine.logs(id, follow, sender), read) };
    let (ended, lines) = tokio::time::timeout(Duration::from_secs(20), both)
        .await
        .expect("the log is left");
    ended.unwrap();
    let line = |text: &'static str| Bytes::from_static(text.as_bytes());
    assert_eq!(
        lines,
        [
            Output::Stderr(line("two\n")),
            Output::Stdout(line("one\n")),
            Output::Stdout(line("three\n"))
        ]
    );

    let last = LogsRequest {
        follow: false,
        tail_lines: Some(1),
        timestamps: true,
    };
    let (sender, mut receiver) = mpsc::channel(4);
    engine.logs(id, last, sender).await.unwrap();
    let Some(Output::Stdout(text)) = receiver.recv().await else {
        panic!("no line")
    };
    let text = String::from_utf8(text.to_vec()).unwrap();
    assert!(
        text.starts_with("20") && text.ends_with(" three\n"),
        "{text}"
    );
    assert_eq!(receiver.recv().await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn events_wake_also_after_the_engine_was_restarted() {
    use futures::StreamExt as _;
    let (site, image_id) = site(EngineKind::System).await;
    let events = site.engine.events();
    tokio::pin!(events);
    // Listening begins with the first question, so that something must happen again and again until it is heard.
    let poke = async || loop {
        let _ = site.engine.tag(&image_id, "tfleet/poke:v1").await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    let within = Duration::from_secs(20);
    tokio::select! {
        woken = tokio::time::timeout(within, events.next()) => assert_eq!(woken, Ok(Some(()))),
        () = poke() => {}
    }
    // Until nothing more is on its way.
    while tokio::time::timeout(Duration::from_secs(2), events.next())
        .await
        .is_ok()
    {}
    site.lab_engine().kill_dockerd().unwrap();
    site.lab_engine().start().unwrap();
    assert_eq!(
        tokio::time::timeout(within, events.next()).await,
        Ok(Some(())),
        "the loss itself"
    );
    tokio::select! {
        woken = tokio::time::timeout(within, events.next()) => assert_eq!(woken, Ok(Some(()))),
        () = poke() => {}
    }
}
