//! BuildKit's messages as a person sees them.

use bollard::moby::buildkit::v1::VertexLog;

use super::*;

fn message(status: StatusResponse) -> BuildInfo {
    BuildInfo {
        aux: Some(BuildInfoAux::BuildKit(status)),
        ..Default::default()
    }
}

fn output(step: &str, text: &str) -> BuildInfo {
    let logs = vec![VertexLog {
        vertex: step.to_owned(),
        msg: text.as_bytes().to_vec(),
        ..Default::default()
    }];
    message(StatusResponse {
        logs,
        ..Default::default()
    })
}

#[test]
fn a_step_is_told_in_words_and_its_lines_are_whole_even_when_they_come_in_pieces() {
    let folder = tempfile::tempdir().unwrap();
    let log = BuildLog::begin(&folder.path().join("log")).unwrap();
    let mut progress = Progress::new(&log);
    let name = "[3/4] RUN --mount=type=tmpfs,target=/run /run/tfleet/tools/install tensorflow /usr/bin/python3.11 /opt";
    let vertex = Vertex {
        name: name.to_owned(),
        started: Some(Default::default()),
        ..Default::default()
    };
    let started = message(StatusResponse {
        vertexes: vec![vertex],
        ..Default::default()
    });
    assert_eq!(progress.observe(started), "step 3/4: installing TensorFlow");
    for (step, text) in [
        ("a", "Installed num"),
        ("b", "another step\n"),
        ("a", "py\n tensorflow\n"),
    ] {
        assert_eq!(
            progress.observe(output(step, text)),
            "step 3/4: installing TensorFlow"
        );
    }
    assert!(
        log.last_lines()
            .contains("another step\nInstalled numpy\n tensorflow")
    );
    assert!(
        log.last_lines()
            .starts_with("[3/4] RUN /run/tfleet/tools/install tensorflow")
    );
}

#[test]
fn the_error_of_a_step_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let log = BuildLog::begin(&folder.path().join("log")).unwrap();
    let mut progress = Progress::new(&log);
    let vertex = Vertex {
        name: "[2/2] RUN x".to_owned(),
        error: "exit code: 1".to_owned(),
        ..Default::default()
    };
    progress.observe(message(StatusResponse {
        vertexes: vec![vertex],
        ..Default::default()
    }));
    assert_eq!(progress.error.as_deref(), Some("exit code: 1"));
}
