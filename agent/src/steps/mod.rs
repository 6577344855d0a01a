//! From what is and what shall be to the next step. Pure: no I/O, no clock; equal inputs, equal answers.
//!
//! Every step can be done twice with the outcome of once, because each is chosen from what was observed and never from
//! what was done before. Who carries them out observes again after each.

mod container;
mod image;
mod scene;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use jiff::Timestamp;
use tfleet_proto::model::desired::{ContainerSpec, DesiredImage, DesiredState};
use tfleet_proto::model::digest::Digest;
use tfleet_proto::model::failure::Failure;

pub use scene::{Deed, Found, Holding, Life, PastStart, Scene, SceneContainer, SceneImage};

/// What a step is about. One that is held back holds back only itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    Image(Digest),
    Container(String),
}

/// One deed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Bring the image, and give it its tags.
    Deliver(DesiredImage),
    /// Give an image that is there references that it lacks.
    Tag {
        artifact: Digest,
        engine_id: String,
        references: Vec<String>,
    },
    /// Remove what nobody wants, by the references that we gave it, or by its identifier if it has none at all.
    ForgetImage {
        artifact: Digest,
        names: Vec<String>,
    },
    Create(Box<ContainerSpec>),
    /// The container of an intention is there: note its identifier.
    Adopt {
        name: String,
        id: String,
    },
    /// The first start since it was made or stopped, or one that was asked for after it had ended by itself.
    Start {
        name: String,
        id: String,
        restart_serial: u64,
        start_serial: u64,
        before: Option<Timestamp>,
    },
    Restart {
        name: String,
        id: String,
        restart_serial: u64,
        start_serial: u64,
        before: Option<Timestamp>,
    },
    /// A start that was asked for has happened: note it.
    NoteStarted {
        name: String,
        restart_serial: u64,
        start_serial: u64,
    },
    Stop {
        name: String,
        id: String,
    },
    /// It shall not run and does not: note it.
    NoteStopped {
        name: String,
    },
    Remove {
        name: String,
        id: String,
    },
    /// It is gone from the engine and wanted by nobody.
    ForgetContainer {
        name: String,
    },
}

/// The next step, and what stands in the way of others.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    pub step: Option<Step>,
    /// Subjects that no step can help, with the reason.
    pub blocked: BTreeMap<Subject, Failure>,
}

/// What one subject needs.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Need {
    Nothing,
    /// Something else first: an image on its way, a container being removed.
    Patience,
    Step(Step),
    Blocked(Failure),
}

/// Chooses the next step, passing over subjects that are `held` back.
///
/// A delivery is first, because it runs beside everything else; then what nobody wants, which may hold a port or a name;
/// then what is wanted; and images are forgotten last, when no container uses them any more.
pub fn next(desired: &DesiredState, scene: &Scene, held: &BTreeSet<Subject>) -> Plan {
    let images = desired.images.iter().enumerate().map(|(position, wanted)| {
        let earlier = &desired.images[..position];
        (
            Subject::Image(wanted.artifact),
            image::need(wanted, earlier, scene),
        )
    });
    let wanted: BTreeMap<&str, _> = desired
        .containers
        .iter()
        .map(|container| (container.spec.name.as_str(), container))
        .collect();
    let unwanted = scene
        .containers
        .iter()
        .filter(|(name, _)| !wanted.contains_key(name.as_str()))
        .map(|(name, found)| {
            (
                Subject::Container(name.clone()),
                container::need_of_unwanted(name, found),
            )
        });
    let wanted = desired.containers.iter().map(|container| {
        (
            Subject::Container(container.spec.name.clone()),
            container::need(container, scene),
        )
    });
    let forgotten = scene
        .images
        .iter()
        .filter(|(artifact, _)| {
            desired
                .images
                .iter()
                .all(|image| image.artifact != **artifact)
        })
        .map(|(artifact, found)| {
            (
                Subject::Image(*artifact),
                image::need_of_unwanted(artifact, found, &desired.images, scene),
            )
        });

    let mut plan = Plan::default();
    for (subject, need) in images.chain(unwanted).chain(wanted).chain(forgotten) {
        match need {
            Need::Step(step) if plan.step.is_none() && !held.contains(&subject) => {
                plan.step = Some(step)
            }
            Need::Blocked(failure) => drop(plan.blocked.insert(subject, failure)),
            Need::Step(_) | Need::Nothing | Need::Patience => {}
        }
    }
    plan
}

impl Step {
    pub fn subject(&self) -> Subject {
        match self {
            Self::Deliver(DesiredImage { artifact, .. })
            | Self::Tag { artifact, .. }
            | Self::ForgetImage { artifact, .. } => Subject::Image(*artifact),
            Self::Create(spec) => Subject::Container(spec.name.clone()),
            Self::Adopt { name, .. }
            | Self::Start { name, .. }
            | Self::Restart { name, .. }
            | Self::NoteStarted { name, .. }
            | Self::Stop { name, .. }
            | Self::NoteStopped { name }
            | Self::Remove { name, .. }
            | Self::ForgetContainer { name } => Subject::Container(name.clone()),
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Image(artifact) => write!(formatter, "image {}", artifact.short()),
            Self::Container(name) => write!(formatter, "container {name}"),
        }
    }
}

#[cfg(test)]
mod tests;
