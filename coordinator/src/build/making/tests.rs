//! What follows a build.

use tfleet_compat::Architecture;

use super::*;

#[tokio::test]
async fn an_engine_that_does_not_clean_up_is_a_line_in_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let log = BuildLog::begin(&path).unwrap();
    let endpoint = format!("unix://{}", folder.path().join("nobody.sock").display());
    // The client looks for the socket when it is made.
    let socket = std::os::unix::net::UnixListener::bind(folder.path().join("nobody.sock")).unwrap();
    let engine = BuilderEngine::new(&endpoint, Architecture::X86_64).unwrap();
    drop(socket);
    clean_up(&engine, &["tfleet/build:0"], &log).await;
    assert!(
        log.last_lines()
            .starts_with("the builder keeps what it built"),
        "{}",
        log.last_lines()
    );
}

#[tokio::test]
async fn what_buildkit_keeps_is_not_given_back_while_another_build_is_under_way() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("nobody.sock");
    let _nobody = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let endpoint = format!("unix://{}", socket.display());
    let engine = BuilderEngine::new(&endpoint, Architecture::X86_64).unwrap();
    let same = engine.clone();
    let kept = same.keep_build_steps().await;
    // Asking the engine would wait for ever: nobody answers there.
    assert_eq!(engine.forget_build_steps().await.unwrap(), None);
    drop(kept);
    let asked = tokio::time::timeout(std::time::Duration::from_millis(50), async {
        engine.forget_build_steps().await
    });
    assert!(asked.await.is_err(), "it is asked once nothing is built");
}
