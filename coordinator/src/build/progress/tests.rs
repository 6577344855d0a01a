//! BuildKit's messages as a person sees them.

use std::collections::BTreeMap;

use bollard::moby::buildkit::v1::VertexLog;
use tfleet_compat::Architecture;
use tfleet_proto::model::digest::Digest;

use super::*;
use crate::build::lock::{Finish, Group, LockFormat, LockedBase, LockedWheel, TEMPLATE};

fn lock() -> Lock {
    let wheel = |name: &str, size_bytes| LockedWheel {
        name: name.to_owned(),
        version: "1".to_owned(),
        file: String::new(),
        sha256: Digest::of(b""),
        size_bytes,
    };
    let wheels = vec![wheel("numpy", 17), wheel("tensorflow", 475)];
    Lock {
        format: LockFormat::V1,
        template: TEMPLATE,
        recipe: String::new(),
        architecture: Architecture::X86_64,
        python: "3.11".to_owned(),
        base: LockedBase {
            artifact: Digest::of(b""),
            diff_ids: Vec::new(),
            packages: BTreeMap::new(),
        },
        groups: vec![Group {
            kind: GroupKind::Tensorflow,
            wheels,
        }],
        environment: BTreeMap::new(),
        ports: Vec::new(),
        bashrc: None,
        finish: Finish::default(),
    }
}

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
fn a_step_is_told_in_words_and_wheels_in_bytes_even_when_lines_come_in_pieces() {
    let folder = tempfile::tempdir().unwrap();
    let (lock, log) = (lock(), BuildLog::begin(&folder.path().join("log")).unwrap());
    let mut progress = Progress::new(&lock, &log);
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
    assert_eq!(
        progress.observe(started),
        ("step 3/4: installing TensorFlow", 0)
    );
    assert_eq!(progress.observe(output("a", "Downloaded num")).1, 0);
    assert_eq!(progress.observe(output("b", "another step\n")).1, 0);
    assert_eq!(
        progress
            .observe(output(
                "a",
                "py\n Downloaded tensorflow\nDownloaded unknown\n"
            ))
            .1,
        17 + 475
    );
    assert!(
        log.last_lines()
            .contains("another step\nDownloaded numpy\n Downloaded tensorflow")
    );
    assert!(
        log.last_lines()
            .starts_with("[3/4] RUN /run/tfleet/tools/install tensorflow")
    );
}

#[test]
fn the_error_of_a_step_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let (lock, log) = (lock(), BuildLog::begin(&folder.path().join("log")).unwrap());
    let mut progress = Progress::new(&lock, &log);
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
