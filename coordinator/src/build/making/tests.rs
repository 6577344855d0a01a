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
