//! What is delivered: an image, and a rebuild of it in which one small Python package is newer.

use std::fmt;

use anyhow::Result;
use tfleet_tests::lab::run;

use super::arguments::Arguments;
use super::measure::{Peaks, Watch};
use super::stage::Stage;
use super::synthetic;
use crate::speak::tell;

pub enum Image {
    /// TensorFlow for CPU, by its specifier.
    Tensorflow(String),
    Synthetic,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Revision {
    First,
    Rebuild,
}

pub const RELEASE: &str = "bench";

impl Revision {
    pub const ALL: [Self; 2] = [Self::First, Self::Rebuild];

    pub fn release(self) -> String {
        format!("{RELEASE}:v{}", self.number())
    }

    /// As the agent tags it.
    pub fn our_tag(self) -> String {
        format!("tfleet/{}", self.release())
    }

    pub fn file_name(self) -> String {
        format!("{RELEASE}-v{}", self.number())
    }

    /// On `source` and `peer`, where tfleet must not take it away.
    pub fn kept_tag(self) -> &'static str {
        match self {
            Self::First => "kept:v1",
            Self::Rebuild => "kept:v2",
        }
    }

    /// The version of `six`, the package that changes. Neither is the one that TensorFlow alone resolves to, which would
    /// need no layer of its own.
    pub fn six(self) -> &'static str {
        match self {
            Self::First => "1.15.0",
            Self::Rebuild => "1.16.0",
        }
    }

    fn number(self) -> u32 {
        match self {
            Self::First => 1,
            Self::Rebuild => 2,
        }
    }
}

impl Image {
    pub fn asked(arguments: &Arguments) -> Self {
        match arguments.small {
            true => Self::Synthetic,
            false => Self::Tensorflow(arguments.tensorflow.clone()),
        }
    }

    /// At the peak: builder, coordinator, three engines, two archives, a registry, and what a load needs besides.
    pub fn disk_gb(&self) -> u32 {
        match self {
            Self::Tensorflow(_) => 22,
            Self::Synthetic => 20,
        }
    }

    pub fn patience(&self) -> &'static str {
        match self {
            Self::Tensorflow(_) => "a package index, and about 30 minutes",
            Self::Synthetic => "and about 20 minutes",
        }
    }

    /// Makes both revisions and stores them at the coordinator. Answers the coordinator's peaks in it.
    pub fn store(&self, stage: &Stage) -> Result<Peaks> {
        let watch = Watch::start(
            stage.coordinator_pid()?,
            Some(stage.fleet().coordinator().data()),
        )?;
        for revision in Revision::ALL {
            tell(&format!(
                "Making {} and storing it at the coordinator",
                revision.release()
            ));
            match self {
                Self::Tensorflow(specifier) => build(stage, specifier, revision)?,
                Self::Synthetic => {
                    let tag = synthetic::make(stage.builder()?, revision)?;
                    let add = ["image", "add", &tag, "--name", RELEASE];
                    stage.fleet().operator().in_view(add)?;
                }
            }
        }
        let peaks = watch.end();
        run(stage
            .builder()?
            .docker()
            .args(["system", "prune", "--all", "--force"]))?;
        peaks
    }
}

fn build(stage: &Stage, specifier: &str, revision: Revision) -> Result<()> {
    let six = format!("six=={}", revision.six());
    let create = [
        "release",
        "create",
        RELEASE,
        "--tensorflow",
        specifier,
        "--python",
        &six,
        "--all",
    ];
    let operator = stage.fleet().operator();
    operator.in_view(create)?;
    operator.in_view(["build", &revision.release()])?;
    Ok(())
}

impl fmt::Display for Image {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tensorflow(specifier) => {
                write!(out, "TensorFlow {specifier} for CPU, built by tfleet")
            }
            Self::Synthetic => {
                out.write_str("generated; one layer of 1.2 GB and a small one on top")
            }
        }
    }
}
