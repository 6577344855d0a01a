//! BuildKit's messages as what a person wants to see: the step, and what it does.

use bollard::moby::buildkit::v1::{StatusResponse, Vertex};
use std::collections::HashMap;

use bollard::models::{BuildInfo, BuildInfoAux};

use super::context::word;
use super::lock::GroupKind;
use super::log::BuildLog;

/// Follows one build.
#[derive(Debug)]
pub struct Progress<'a> {
    log: &'a BuildLog,
    activity: String,
    /// What a step wrote since its last line end, by the step's digest.
    unfinished_lines: HashMap<String, String>,
    /// The last error that a step ended with.
    pub error: Option<String>,
}

impl<'a> Progress<'a> {
    pub fn new(log: &'a BuildLog) -> Self {
        Self {
            log,
            activity: "sending the wheels to the builder".to_owned(),
            unfinished_lines: HashMap::new(),
            error: None,
        }
    }

    /// Takes a message in, and says what is being done.
    pub fn observe(&mut self, message: BuildInfo) -> &str {
        if let Some(BuildInfoAux::BuildKit(status)) = message.aux {
            self.status(&status);
        }
        &self.activity
    }

    fn status(&mut self, status: &StatusResponse) {
        for vertex in &status.vertexes {
            self.vertex(vertex);
        }
        for output in &status.logs {
            self.output(&output.vertex, &String::from_utf8_lossy(&output.msg));
        }
    }

    /// BuildKit passes on what a step writes as it comes, so a line may come in pieces.
    fn output(&mut self, step: &str, text: &str) {
        let mut line = self.unfinished_lines.remove(step).unwrap_or_default();
        for piece in text.split_inclusive('\n') {
            line.push_str(piece);
            if line.ends_with('\n') {
                self.log.line(&line);
                line.clear();
            }
        }
        if !line.is_empty() {
            self.unfinished_lines.insert(step.to_owned(), line);
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

#[cfg(test)]
mod tests;
