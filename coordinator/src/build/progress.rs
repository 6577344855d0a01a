//! BuildKit's messages as what a person wants to see: the step, what it does, and bytes.

use bollard::moby::buildkit::v1::{StatusResponse, Vertex};
use bollard::models::{BuildInfo, BuildInfoAux};

use super::context::word;
use super::lock::{GroupKind, Lock};
use super::log::BuildLog;

/// Follows one build.
#[derive(Debug)]
pub struct Progress<'a> {
    lock: &'a Lock,
    log: &'a BuildLog,
    activity: String,
    done_bytes: u64,
    /// The last error that a step ended with.
    pub error: Option<String>,
}

impl<'a> Progress<'a> {
    pub fn new(lock: &'a Lock, log: &'a BuildLog) -> Self {
        Self {
            lock,
            log,
            activity: "sending the build's files".to_owned(),
            done_bytes: 0,
            error: None,
        }
    }

    /// Takes a message in, and says what is being done and how many bytes of wheels have come.
    pub fn observe(&mut self, message: BuildInfo) -> (&str, u64) {
        if let Some(BuildInfoAux::BuildKit(status)) = message.aux {
            self.status(&status);
        }
        (&self.activity, self.done_bytes)
    }

    fn status(&mut self, status: &StatusResponse) {
        for vertex in &status.vertexes {
            self.vertex(vertex);
        }
        for log in &status.logs {
            let text = String::from_utf8_lossy(&log.msg);
            self.log.line(&text);
            self.done_bytes += text
                .lines()
                .filter_map(|line| self.downloaded(line))
                .sum::<u64>();
        }
    }

    fn vertex(&mut self, vertex: &Vertex) {
        if !vertex.error.is_empty() {
            self.log.line(format!("{}: {}", vertex.name, vertex.error));
            self.error = Some(vertex.error.clone());
        } else if vertex.completed.is_some() {
            let how = if vertex.cached {
                "from the builder's cache"
            } else {
                "done"
            };
            self.log.line(format!("{} {how}", short(&vertex.name)));
        } else if vertex.started.is_some() {
            self.log.line(short(&vertex.name));
            if let Some(step) = vertex
                .name
                .strip_prefix('[')
                .and_then(|rest| rest.split_once(']'))
                .map(|(step, _)| step)
                && step.contains('/')
            {
                self.activity = format!("step {}: {}", step.trim(), describe(&vertex.name));
            }
        }
    }

    /// The size of the wheel that the installer says it has now: ` Downloaded NAME`.
    fn downloaded(&self, line: &str) -> Option<u64> {
        let name = line.trim_start().strip_prefix("Downloaded ")?.trim();
        let wheels = self.lock.groups.iter().flat_map(|group| &group.wheels);
        wheels
            .filter(|wheel| wheel.name == name)
            .map(|wheel| wheel.size_bytes)
            .next()
    }
}

fn describe(step: &str) -> &'static str {
    let installs = |kind| step.contains(&format!("/install {}", word(kind)));
    if installs(GroupKind::Cuda) {
        "installing the CUDA libraries"
    } else if installs(GroupKind::Tensorflow) {
        "installing TensorFlow"
    } else if installs(GroupKind::Extras) {
        "installing further packages"
    } else if step.contains("FROM") {
        "taking the base"
    } else {
        "adding files"
    }
}

/// The step without its mounts.
fn short(name: &str) -> String {
    name.split_whitespace()
        .filter(|word| !word.starts_with("--mount="))
        .collect::<Vec<_>>()
        .join(" ")
}
