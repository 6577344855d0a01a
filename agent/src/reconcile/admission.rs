//! Whether a container may be made here, and how: the owner's policy, the compatibility rules, the way to its GPUs.

use std::sync::Arc;

use tfleet_proto::model::desired::{ContainerSpec, DesiredPhase, DesiredState, GpuRequest};
use tfleet_proto::model::failure::Failure;
use tfleet_proto::model::inventory::{GpuMode, Inventory};
use tokio::time::Instant;

use super::observe::Observation;
use super::{Reconciler, compatibility};
use crate::policy;
use crate::steps::{Holding, Life, SceneContainer, Subject};

/// A container as it may be made.
pub(super) struct Admitted {
    /// With the sources of its binds resolved.
    pub spec: ContainerSpec,
    pub gpu_mode: Option<GpuMode>,
}

impl Reconciler {
    /// Holds back what would not be admitted before anything is taken away for it.
    pub(super) async fn refuse_early(&mut self, desired: &DesiredState, observation: &Observation) {
        for image in &desired.images {
            let subject = Subject::Image(image.artifact);
            if !self.holds.is_held(&subject, Instant::now())
                && let Err(refusal) = self.policy.check_release(&image.release.name)
            {
                self.hold_back(subject, refusal.failure());
            }
        }
        for wanted in &desired.containers {
            let subject = Subject::Container(wanted.spec.name.clone());
            let scene = &observation.scene;
            let holding = scene
                .containers
                .get(&wanted.spec.name)
                .map_or(Holding::Nothing, SceneContainer::holding);
            let is_made =
                matches!(holding, Holding::Ours(deed, _) if deed.spec == wanted.spec.digest());
            // What is refused is the new one; the old one can be stopped all the same.
            let is_being_stopped = wanted.phase == DesiredPhase::Stopped
                && matches!(holding, Holding::Ours(_, found) if found.life == Life::Running);
            if is_made
                || is_being_stopped
                || !scene.has_image(&wanted.spec.artifact)
                || self.holds.is_held(&subject, Instant::now())
            {
                continue;
            }
            // What goes, goes before this one is made.
            let stays = |name: &str| {
                let mut wanted = desired.containers.iter();
                wanted.any(|container| container.spec.name == name)
            };
            if let Err(failure) = self.admit(&wanted.spec, stays).await {
                self.hold_back(subject, failure);
            }
        }
    }

    /// Whether a container may be made beside those whose name is `counted`.
    pub(super) async fn admit(
        &self,
        spec: &ContainerSpec,
        counted: impl Fn(&str) -> bool,
    ) -> Result<Admitted, Failure> {
        let resolved = self.check_spec(spec).await?;
        for (name, deed) in self.deeds.containers() {
            if *name != spec.name && counted(name) {
                policy::check_beside(&resolved.binds, name, &deed.binds)
                    .map_err(|refusal| refusal.failure())?;
            }
        }
        let inventory = self.ends.inventory.borrow().clone();
        let inventory = inventory.ok_or_else(|| {
            Failure::new("inventory-missing", "this host was not yet looked at")
                .with_remedy("wait a few seconds")
        })?;
        let image = self.image_environment(spec).await?;
        compatibility::check(self.catalog, &inventory, spec, &image)?;
        Ok(Admitted {
            spec: resolved,
            gpu_mode: gpu_mode(&spec.gpus, &inventory)?,
        })
    }

    /// What the image sets by itself, where it matters: with it an image may ask something of the host that gives it a GPU.
    async fn image_environment(&self, spec: &ContainerSpec) -> Result<Vec<String>, Failure> {
        let image = self.deeds.images().get(&spec.artifact);
        let Some(image) = image.filter(|_| spec.gpus != GpuRequest::None) else {
            return Ok(Vec::new());
        };
        let found = self.engine.find_image(&image.engine_id).await;
        let found = found.map_err(|error| Failure::new("engine-failed", error.to_string()))?;
        Ok(found.map(|image| image.environment).unwrap_or_default())
    }

    /// What the owner's policy says, with the sources of the binds resolved.
    pub(super) async fn check_spec(&self, spec: &ContainerSpec) -> Result<ContainerSpec, Failure> {
        let (policy, asked) = (Arc::clone(&self.policy), spec.clone());
        // Resolving a path waits for its file system, which may be remote and gone.
        let checked = tokio::task::spawn_blocking(move || policy.check_spec(&asked)).await;
        checked
            .map_err(|_| Failure::new("stopping", "the agent is stopping"))?
            .map_err(|refusal| refusal.failure())
    }
}

/// The best way of asking for a GPU that works here; `None` for a container without one.
fn gpu_mode(request: &GpuRequest, inventory: &Inventory) -> Result<Option<GpuMode>, Failure> {
    match request {
        GpuRequest::None => return Ok(None),
        GpuRequest::All => {}
        GpuRequest::Uuids(uuids) => {
            if let Some(uuid) = uuids
                .iter()
                .find(|uuid| inventory.gpus.iter().all(|gpu| gpu.uuid != **uuid))
            {
                return Err(
                    Failure::new("gpu-missing", format!("this host has no GPU {uuid}"))
                        .with_remedy("see `tfleet hosts show` for the GPUs that it has"),
                );
            }
        }
    }
    if inventory.gpus.is_empty() {
        return Err(Failure::new(
            "gpu-missing",
            "GPUs are asked for and this host has none that its driver shows",
        )
        .with_remedy("run it without GPUs, or see `nvidia-smi` on the host"));
    }
    inventory.gpu_modes.first().copied().map(Some).ok_or_else(|| {
        Failure::new("runtime-missing", "the engine of this host has no way of giving GPUs to containers").with_remedy(
            "install nvidia-container-toolkit, run `nvidia-ctk runtime configure --runtime=docker`, and restart docker",
        )
    })
}

#[cfg(test)]
mod tests;
