//! The ways to move an image from one machine to another.

mod archive;
mod registry;
mod save_load;
mod skopeo;
mod tfleet;

pub use registry::Registry;

use std::process::{Child, Command};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::image::Revision;
use super::rounds::Own;
use super::stage::Stage;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    Tfleet,
    /// `docker save | docker load`.
    SaveLoad,
    /// `docker push` to a registry on the network, `docker pull` from it, over HTTPS.
    Registry,
    /// `skopeo copy` from engine to engine.
    Skopeo,
    /// `docker load` of a file that is there already: nothing that uses `docker load` is faster than the engine itself.
    Archive,
}

/// What a way brought, as seen by itself.
pub struct Delivered {
    pub wall: Duration,
    pub moved_bytes: u64,
    pub own: Option<Own>,
}

impl Way {
    pub const ALL: [Self; 5] = [
        Self::Tfleet,
        Self::SaveLoad,
        Self::Registry,
        Self::Skopeo,
        Self::Archive,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Tfleet => "tfleet",
            Self::SaveLoad => "docker save | docker load",
            Self::Registry => "registry push + pull",
            Self::Skopeo => "skopeo copy",
            Self::Archive => "docker load of a local file",
        }
    }

    /// As if nothing had ever been delivered.
    pub fn begin_anew(self, stage: &Stage) -> Result<()> {
        match self {
            Self::Tfleet => stage.renew_ours(),
            Self::Registry => {
                stage.registry().renew()?;
                stage.empty_peer()
            }
            Self::SaveLoad | Self::Skopeo | Self::Archive => stage.empty_peer(),
        }
    }

    /// Brings the image, from the first command to the end of the last.
    pub fn deliver(self, stage: &Stage, revision: Revision) -> Result<Delivered> {
        match self {
            Self::Tfleet => tfleet::deliver(stage, revision),
            Self::SaveLoad => save_load::deliver(stage, revision),
            Self::Registry => registry::deliver(stage, revision),
            Self::Skopeo => skopeo::deliver(stage, revision),
            Self::Archive => archive::deliver(stage, revision),
        }
    }
}

fn start(command: &mut Command) -> Result<Child> {
    let program = command.get_program().to_owned();
    command
        .spawn()
        .with_context(|| format!("cannot start {}", program.display()))
}

fn end(what: &str, mut child: Child) -> Result<()> {
    let status = child.wait()?;
    ensure!(status.success(), "{what} ended with {status}");
    Ok(())
}
