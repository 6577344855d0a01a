//! What an image must be, by its lock and its recipe.

use std::collections::{BTreeMap, BTreeSet};

use tfleet_compat::TensorflowMinor;
use tfleet_proto::model::digest::Digest;

use super::libraries::{major, opened};
use super::{Fact, Problem};
use crate::build::BuildError;
use crate::build::compat::DRIVER_LIBRARY;
use crate::build::lock::Lock;
use crate::build::making::Making;

/// What is expected of an image, and what it may keep.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Expectation {
    /// "3.11".
    pub python: String,
    /// By normalised name. Where two groups have one, that of the last.
    pub distributions: BTreeMap<String, String>,
    /// None: the lock has none.
    pub tensorflow: Option<ExpectedTensorflow>,
    /// Sonames, in TensorFlow's order.
    pub libraries: Vec<String>,
    /// Hosts of the site's sources, and what each is.
    pub hosts: Vec<(&'static str, String)>,
    /// Variables that the release or the site asks for, whatever they hold.
    pub asked_variables: BTreeSet<String>,
    /// What the base has itself: of its environment "NAME=VALUE", of its history each step's words, of its configuration
    /// files the content.
    pub base_environment: BTreeSet<String>,
    pub base_history: BTreeSet<String>,
    pub base_files: BTreeMap<String, Digest>,
    /// Of root's `.bashrc`, which the site gave.
    pub bashrc: Option<Digest>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpectedTensorflow {
    pub version: String,
    /// The CUDA that it was built for; none: the CPU.
    pub built_for: Option<String>,
    /// It cannot be imported without the driver's library, which is not there when images are checked.
    pub needs_driver: bool,
}

/// Distributions that are TensorFlow.
const TENSORFLOW: [&str; 3] = ["tensorflow", "tensorflow-cpu", "tensorflow-gpu"];

/// The first TensorFlow that opens the driver's library while it runs; those before are linked to it (read from the wheels of
/// 1.13.2 and 1.14.0).
const OPENS_DRIVER: TensorflowMinor = TensorflowMinor::new(1, 14);

/// The driver's own, which every host brings; where the lock has a compat package, [`DRIVER_LIBRARY`] must be there too.
const OF_DRIVER: [&str; 2] = ["libcuda.so", "libnvidia-"];

impl Expectation {
    /// # Errors
    /// If the base's configuration cannot be read.
    pub fn of(making: &Making<'_>) -> Result<Self, BuildError> {
        let (order, lock, base) = (making.order, making.lock, making.base);
        let distributions = distributions(lock);
        let version = TENSORFLOW.iter().find_map(|name| distributions.get(*name));
        let cuda = order.recipe.cuda.as_ref();
        let tensorflow = version.map(|version| ExpectedTensorflow {
            version: version.clone(),
            built_for: cuda.map(|stack| stack.built_for.to_string()),
            needs_driver: lock.compat.is_none()
                && cuda.is_some_and(|_| order.recipe.tensorflow.minor() < OPENS_DRIVER),
        });
        let unreadable = |error: serde_json::Error| BuildError::Format {
            file: format!("the configuration of the base {}", base.artifact),
            why: error.to_string(),
        };
        let config: serde_json::Value =
            serde_json::from_str(&base.index.config).map_err(unreadable)?;
        let texts = |values: Option<&serde_json::Value>, field: &str| {
            let values = values.and_then(serde_json::Value::as_array);
            values
                .into_iter()
                .flatten()
                .map(|value| value.get(field).unwrap_or(value))
                .filter_map(serde_json::Value::as_str)
                .map(str::to_owned)
                .collect()
        };
        let mut libraries = cuda
            .filter(|_| tensorflow.is_some())
            .map(|stack| opened(stack, lock))
            .unwrap_or_default();
        let compat = lock.compat.as_ref();
        libraries.extend(compat.map(|_| DRIVER_LIBRARY.to_owned()));
        Ok(Self {
            python: lock.python.clone(),
            libraries,
            distributions,
            tensorflow,
            hosts: making.sources.hosts(),
            asked_variables: order.environment.keys().cloned().collect(),
            base_environment: texts(config.pointer("/config/Env"), ""),
            base_history: texts(config.get("history"), "created_by"),
            base_files: base.survey.configuration.clone(),
            bashrc: lock.bashrc.as_ref().map(|text| Digest::of(text.as_bytes())),
        })
    }

    /// Where the facts differ from what was expected. `status` is the check's exit status.
    pub fn problems(&self, facts: &[Fact], status: i64) -> Vec<Problem> {
        let mut problems: Vec<_> = facts.iter().flat_map(|fact| self.judged(fact)).collect();
        if facts.last() != Some(&Fact::End) || status != 0 {
            let during = facts.iter().rev().find_map(|fact| match fact {
                Fact::Begin { what } => Some(what.clone()),
                _ => None,
            });
            let during = during.unwrap_or_else(|| "looking at what is installed".to_owned());
            problems.push(Problem::Ended { status, during });
        }
        problems
    }

    fn judged(&self, fact: &Fact) -> Vec<Problem> {
        match fact {
            Fact::Python { version } => {
                let has = version.split('.').take(2).collect::<Vec<_>>().join(".");
                let (found, locked) = (version.clone(), self.python.clone());
                when(has != self.python, || Problem::Python { found, locked })
            }
            Fact::Distributions { versions } => {
                let differs = |(name, locked): (&String, &String)| {
                    let found = versions.get(name);
                    (found != Some(locked)).then(|| Problem::Distribution {
                        name: name.clone(),
                        found: found.cloned(),
                        locked: locked.clone(),
                    })
                };
                self.distributions.iter().filter_map(differs).collect()
            }
            Fact::Tensorflow {
                version,
                is_cuda_build,
                cuda_version,
                ..
            } => self.judged_tensorflow(version, *is_cuda_build, cuda_version.as_deref()),
            Fact::TensorflowFailed { error } => {
                let expected = self.tensorflow.as_ref();
                let is_excused = expected.is_some_and(|it| it.needs_driver) && lacks_driver(error);
                when(!is_excused, || Problem::TensorflowFails {
                    error: error.clone(),
                })
            }
            Fact::Library {
                name,
                error: Some(error),
                ..
            } => {
                let is_of_host = lacks_driver(error) && name != DRIVER_LIBRARY;
                when(!is_of_host, || Problem::Library {
                    name: name.clone(),
                    error: error.clone(),
                })
            }
            Fact::Library { .. } | Fact::File { .. } | Fact::Begin { .. } | Fact::End => Vec::new(),
        }
    }

    fn judged_tensorflow(
        &self,
        version: &str,
        is_cuda_build: bool,
        cuda_version: Option<&str>,
    ) -> Vec<Problem> {
        let Some(expected) = &self.tensorflow else {
            return Vec::new();
        };
        let mut problems = when(version != expected.version, || Problem::Tensorflow {
            found: version.to_owned(),
            locked: expected.version.clone(),
        });
        if is_cuda_build != expected.built_for.is_some() {
            problems.push(Problem::CudaBuild {
                found: is_cuda_build,
            });
        }
        // Within a major version the libraries' sonames are the same, and not every wheel says its exact one.
        if let (Some(found), Some(built_for)) = (cuda_version, &expected.built_for)
            && major(found) != major(built_for)
        {
            problems.push(Problem::BuiltFor {
                found: found.to_owned(),
                expected: built_for.clone(),
            });
        }
        problems
    }
}

fn distributions(lock: &Lock) -> BTreeMap<String, String> {
    let wheels = lock.groups.iter().flat_map(|group| &group.wheels);
    wheels
        .map(|wheel| (wheel.name.clone(), wheel.version.clone()))
        .collect()
}

fn when(is_so: bool, problem: impl FnOnce() -> Problem) -> Vec<Problem> {
    if is_so { vec![problem()] } else { Vec::new() }
}

/// Whether a loader's words are about a library of the driver's: "libcuda.so.1: cannot open shared object file: No such file
/// or directory", or an import's about them.
fn lacks_driver(error: &str) -> bool {
    let (library, _) = error
        .split_once(": cannot open shared object file")
        .unwrap_or_default();
    let library = library.rsplit(": ").next().unwrap_or_default();
    OF_DRIVER.iter().any(|name| library.starts_with(name))
}
