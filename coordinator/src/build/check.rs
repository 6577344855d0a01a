//! The check after each build: the image is run once, and must be what its lock says.
//!
//! A program of this module runs in it (`inspect.py`), with the image's own Python and no network, and tells facts. They
//! are judged here, so that judging needs no engine. An image that fails is not stored, so no host can get it.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde_json::json;

use super::BuildError;
use super::context::interpreter;
use super::engine::{ContainerRequest, START};
use super::making::Making;

mod expectation;
mod leftover;
mod libraries;

pub use expectation::Expectation;
pub use leftover::{CONFIGURATION, Remains, is_configuration};

/// On the container that checks; its value is the image's tag.
pub const CHECK_LABEL: &str = "tfleet.check";

const PROGRAM: &str = include_str!("check/inspect.py");

/// What was seen in an image.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(tag = "fact", rename_all = "snake_case")]
pub enum Fact {
    Python {
        version: String,
    },
    /// By normalised name (PEP 503).
    Distributions {
        versions: BTreeMap<String, String>,
    },
    Tensorflow {
        version: String,
        is_cuda_build: bool,
        /// What its wheel was built for, where it says that.
        cuda_version: Option<String>,
        /// That the import took.
        seconds: f64,
    },
    TensorflowFailed {
        error: String,
    },
    /// What TensorFlow opens.
    Library {
        name: String,
        path: String,
        /// The loader's words.
        error: Option<String>,
    },
    /// One that may hold a site's configuration.
    File {
        path: String,
        text: String,
    },
    /// What comes next, should nothing more be heard.
    Begin {
        what: String,
    },
    /// There is nothing more.
    End,
}

/// Why an image is not what its lock says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// The locked Python is not there, or cannot be run.
    DoesNotStart {
        error: String,
    },
    /// The check itself did not come to its end.
    Ended {
        status: i64,
        during: String,
    },
    Python {
        found: String,
        locked: String,
    },
    Distribution {
        name: String,
        found: Option<String>,
        locked: String,
    },
    TensorflowFails {
        error: String,
    },
    Tensorflow {
        found: String,
        locked: String,
    },
    /// It computes on another device than the recipe says.
    CudaBuild {
        found: bool,
    },
    BuiltFor {
        found: String,
        expected: String,
    },
    Library {
        name: String,
        error: String,
    },
    /// Something of the site that built it.
    Left {
        what: String,
        place: String,
    },
}

/// Runs `image` in the builder, and compares what it is with what its lock says.
///
/// # Errors
/// [`BuildError::Check`] if it is not that, or if the engine fails.
pub async fn check(making: &Making<'_>, image: &str) -> Result<(), BuildError> {
    let expectation = Expectation::of(making)?;
    let mut facts = Vec::new();
    let arguments = json!({
        "tensorflow": expectation.tensorflow.is_some(),
        "libraries": expectation.libraries,
        "configuration": CONFIGURATION,
    });
    let request = ContainerRequest {
        image: image.to_owned(),
        label: (CHECK_LABEL, image.to_owned()),
        command: [
            interpreter(),
            "-c".to_owned(),
            PROGRAM.to_owned(),
            arguments.to_string(),
        ]
        .into(),
        environment: [
            // Its warnings about the missing driver are for those who have one.
            "TF_CPP_MIN_LOG_LEVEL=2",
            // A builder whose engine has the NVIDIA runtime by default needs no GPU for this.
            "NVIDIA_VISIBLE_DEVICES=void",
        ]
        .map(str::to_owned)
        .into(),
    };
    let status = making.engine.run(&request, |line| match read_fact(line) {
        Some(fact) => {
            if let Some(words) = fact.in_words() {
                making.log.line(format!("check: {words}"));
            }
            facts.push(fact);
        }
        None if line.is_empty() => {}
        None => making.log.line(format!("check: {line}")),
    });
    let mut problems = match status.await {
        Ok(status) => expectation.problems(&facts, status),
        Err(BuildError::Engine {
            operation: START,
            source,
            ..
        }) => vec![Problem::DoesNotStart {
            error: source.to_string(),
        }],
        Err(error) => return Err(error),
    };
    let remains = Remains {
        environment: making.engine.environment(image).await?,
        history: making.engine.history(image).await?,
    };
    problems.extend(expectation.leftovers(&facts, &remains));
    if problems.is_empty() {
        let driver = match &making.lock.compat {
            Some(compat) => format!("libcuda.so.1 is that of {}", compat.package),
            None => "libcuda.so.1 and libnvidia-* come with each host's driver".to_owned(),
        };
        let line = format!("check: the image is what its lock says; {driver}");
        making.log.line(line);
        return Ok(());
    }
    for problem in &problems {
        making.log.line(format!("check failed: {problem}"));
    }
    Err(BuildError::Check { problems })
}

fn read_fact(line: &str) -> Option<Fact> {
    line.starts_with('{')
        .then(|| serde_json::from_str(line).ok())
        .flatten()
}

impl Fact {
    /// For the log; nothing of what is told elsewhere, or holds whole files.
    fn in_words(&self) -> Option<String> {
        Some(match self {
            Self::Python { version } => format!("Python {version}"),
            Self::Distributions { versions } => format!("{} distributions", versions.len()),
            Self::Tensorflow {
                version,
                is_cuda_build,
                cuda_version,
                seconds,
            } => {
                let device = match cuda_version {
                    Some(cuda) => format!("built for CUDA {cuda}"),
                    None if *is_cuda_build => "built for CUDA".to_owned(),
                    None => "built for the CPU".to_owned(),
                };
                format!("TensorFlow {version}, {device}, was imported in {seconds:.1} s")
            }
            Self::Library {
                name,
                path,
                error: None,
            } => format!("{name} loads, from {path}"),
            Self::TensorflowFailed { error } => {
                format!("TensorFlow was not imported, and not asked which one it is: {error}")
            }
            Self::Library { .. } | Self::File { .. } | Self::Begin { .. } | Self::End => {
                return None;
            }
        })
    }
}

impl Problem {
    /// What to do about it.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Ended { status: 132, .. } => {
                "the builder's CPU lacks instructions that this TensorFlow is made of: build on a machine with AVX"
            }
            Self::DoesNotStart { .. } | Self::Ended { .. } | Self::TensorflowFails { .. } => {
                "read the log (tfleet build log); where the release adds packages or a Dockerfile, build it without them first"
            }
            Self::Python { .. } | Self::Distribution { .. } | Self::Tensorflow { .. } => {
                "let the release say it: other versions with --python, and none in its Dockerfile"
            }
            Self::CudaBuild { .. } | Self::BuiltFor { .. } => {
                "the catalog's row of this TensorFlow names the wrong package: correct it with a file of your own (`catalog` in coordinator.toml)"
            }
            Self::Library { .. } => {
                "take the release without what it adds (packages, base, Dockerfile); if that fails too, the catalog's [[cuda_wheels]] row lacks a wheel"
            }
            Self::Left { .. } => {
                "let no step keep it (in a Dockerfile, mount what is in `site` for the one step that needs it); what containers shall have goes into --env"
            }
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DoesNotStart { error } => write!(f, "its Python does not start: {error}"),
            Self::Ended { status, during } => {
                write!(f, "it ended with status {status} while {during}")
            }
            Self::Python { found, locked } => {
                write!(f, "its Python is {found}, the lock says {locked}")
            }
            Self::Distribution {
                name,
                found: Some(found),
                locked,
            } => write!(f, "{name} is {found}, the lock says {locked}"),
            Self::Distribution { name, locked, .. } => {
                write!(f, "{name} is not installed, the lock says {locked}")
            }
            Self::TensorflowFails { error } => write!(f, "TensorFlow cannot be imported: {error}"),
            Self::Tensorflow { found, locked } => write!(
                f,
                "TensorFlow says that it is {found}, the lock says {locked}"
            ),
            Self::CudaBuild { found: true } => {
                f.write_str("TensorFlow was built for CUDA, the recipe is for the CPU")
            }
            Self::CudaBuild { found: false } => {
                f.write_str("TensorFlow was built for the CPU, the recipe is for CUDA")
            }
            Self::BuiltFor { found, expected } => write!(
                f,
                "TensorFlow was built for CUDA {found}, the recipe says {expected}"
            ),
            Self::Library { name, error } => {
                write!(f, "{name}, which TensorFlow opens, does not load: {error}")
            }
            Self::Left { what, place } => write!(f, "{what} is left in {place}"),
        }
    }
}

#[cfg(test)]
mod tests;
