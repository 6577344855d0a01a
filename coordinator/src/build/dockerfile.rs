//! The operator's own Dockerfile: what is built on top of the image that a lock makes.
//!
//! It gets the lock's values as build arguments, of which `TFLEET_BASE` names the image to stand on. It has no files
//! beside it: what it needs it writes itself, or fetches. Those of the site's package sources are in `site`, to be
//! mounted for one step (`RUN --mount=type=tmpfs,target=/run --mount=type=bind,source=site,target=/run/site …`).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Lock;
use super::order::Order;

/// A Dockerfile that needs no other file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Dockerfile(String);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DockerfileError {
    #[error("the Dockerfile has {bytes} bytes; at most {LARGEST_BYTES} are taken")]
    TooLarge { bytes: usize },
    #[error(
        "the Dockerfile has no `FROM ${{TFLEET_BASE}}`: begin with `ARG TFLEET_BASE` and `FROM ${{TFLEET_BASE}}`"
    )]
    NoBase,
    #[error(
        "line {line} of the Dockerfile takes files from beside it (`{instruction}`), and only the Dockerfile itself is sent: write \
         them in it (RUN printf '…' > FILE), or fetch them (ADD https://…, COPY --from=IMAGE)"
    )]
    LocalFiles { line: usize, instruction: String },
}

/// It is kept with every revision of its release.
pub const LARGEST_BYTES: usize = 64 << 10;

impl Dockerfile {
    /// # Errors
    /// If it is too large, does not stand on `TFLEET_BASE`, or wants files from beside it.
    pub fn new(text: String) -> Result<Self, DockerfileError> {
        if text.len() > LARGEST_BYTES {
            return Err(DockerfileError::TooLarge { bytes: text.len() });
        }
        let instructions = instructions(&text);
        let stands_on_base = |instruction: &Instruction| {
            instruction.is("FROM") && instruction.words().any(is_the_base)
        };
        if !instructions.iter().any(stands_on_base) {
            return Err(DockerfileError::NoBase);
        }
        if let Some(local) = instructions.iter().find(|it| it.takes_local_files()) {
            return Err(DockerfileError::LocalFiles {
                line: local.line,
                instruction: local.text.clone(),
            });
        }
        Ok(Self(text))
    }

    pub fn text(&self) -> &str {
        &self.0
    }

    /// Whether it says what its containers run.
    pub fn has_command(&self) -> bool {
        instructions(&self.0).iter().any(|it| it.is("CMD"))
    }
}

/// The build arguments for the Dockerfile of `order`, whose image without it is `base` in the engine.
pub fn arguments(order: &Order, lock: &Lock, base: &str) -> BTreeMap<String, String> {
    let recipe = &order.recipe;
    let cuda = recipe.cuda.as_ref();
    // Empty for the CPU.
    let of_cuda = |text: Option<String>| text.unwrap_or_default();
    [
        ("TFLEET_BASE", base.to_owned()),
        ("TFLEET_TENSORFLOW", recipe.tensorflow.to_string()),
        (
            "TFLEET_CUDA",
            of_cuda(cuda.map(|stack| stack.installed.level().to_string())),
        ),
        (
            "TFLEET_CUDNN",
            of_cuda(cuda.map(|stack| stack.cudnn.to_string())),
        ),
        ("TFLEET_PYTHON", lock.python.clone()),
        ("TFLEET_ARCHITECTURE", lock.architecture.to_string()),
        ("TFLEET_LOCK", lock.digest().to_string()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}

/// One instruction, its continued lines joined.
struct Instruction {
    /// Of its first line, from 1.
    line: usize,
    text: String,
}

impl Instruction {
    fn is(&self, name: &str) -> bool {
        self.text
            .split_whitespace()
            .next()
            .is_some_and(|word| word.eq_ignore_ascii_case(name))
    }

    fn words(&self) -> impl Iterator<Item = &str> {
        self.text.split_whitespace().skip(1)
    }

    /// COPY and ADD of something that is neither another stage's, nor written here, nor fetched.
    fn takes_local_files(&self) -> bool {
        let is_add = self.is("ADD");
        if !is_add && !self.is("COPY") || self.words().any(|word| word.starts_with("--from=")) {
            return false;
        }
        let mut sources: Vec<_> = self
            .words()
            .filter(|word| !word.starts_with("--"))
            .map(|word| word.trim_matches(['[', ']', '"', ',']))
            .filter(|word| !word.is_empty())
            .collect();
        sources.pop();
        let is_remote = |source: &&str| {
            ["https://", "http://", "git@"]
                .iter()
                .any(|scheme| source.starts_with(scheme))
        };
        !sources
            .iter()
            .all(|source| source.starts_with("<<") || is_add && is_remote(source))
    }
}

fn is_the_base(word: &str) -> bool {
    matches!(word.trim_matches('"'), "$TFLEET_BASE" | "${TFLEET_BASE}")
}

/// The instructions of a Dockerfile, without comments and without the bodies of here-documents.
fn instructions(text: &str) -> Vec<Instruction> {
    let mut found: Vec<Instruction> = Vec::new();
    let mut continues = false;
    let mut heredocs: Vec<String> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if let Some(end) = heredocs.first() {
            if line.trim_start_matches('\t') == end {
                heredocs.remove(0);
            }
            continue;
        }
        let trimmed = line.trim();
        // Also between two lines of one instruction.
        if trimmed.starts_with('#') || trimmed.is_empty() {
            continue;
        }
        let goes_on = trimmed.ends_with('\\');
        let piece = trimmed.trim_end_matches('\\').trim_end();
        match found.last_mut().filter(|_| continues) {
            Some(instruction) => {
                instruction.text.push(' ');
                instruction.text.push_str(piece);
            }
            None => found.push(Instruction {
                line: index + 1,
                text: piece.to_owned(),
            }),
        }
        continues = goes_on;
        if let Some(instruction) = found.last().filter(|_| !goes_on)
            && ["RUN", "COPY", "ADD"]
                .iter()
                .any(|name| instruction.is(name))
        {
            heredocs = instruction.words().filter_map(heredoc_end).collect();
        }
    }
    found
}

/// The last line of a here-document that a word like `<<EOF`, `<<-"EOF"` begins.
fn heredoc_end(word: &str) -> Option<String> {
    let name = word.split_once("<<")?.1;
    let name = name.trim_start_matches('-').trim_matches(['"', '\'']);
    let is_name = name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    is_name.then(|| name.to_owned())
}

impl TryFrom<String> for Dockerfile {
    type Error = DockerfileError;

    fn try_from(text: String) -> Result<Self, DockerfileError> {
        Self::new(text)
    }
}

impl From<Dockerfile> for String {
    fn from(dockerfile: Dockerfile) -> Self {
        dockerfile.0
    }
}

#[cfg(test)]
mod tests;
