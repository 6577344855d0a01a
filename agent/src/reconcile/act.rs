//! Carrying out one step. Intentions go to the ledger before the act, outcomes after it. What is done to images is in
//! [`super::image`].

use std::collections::BTreeMap;
use std::time::Duration;

use tfleet_proto::model::desired::{ContainerSpec, DesiredState, HostNamespace};
use tfleet_proto::model::failure::Failure;
use tracing::{info, warn};

use super::Reconciler;
use crate::engine::{CreatedContainer, EngineError, longest_grace};
use crate::ledger::{ContainerDeed, LedgerError, Starting};
use crate::policy::Made;
use crate::steps::Step;

impl Reconciler {
    /// Carries out a step that was chosen for what is `desired`.
    pub(super) async fn carry_out(
        &mut self,
        step: Step,
        desired: &DesiredState,
    ) -> Result<(), Failure> {
        match step {
            Step::Deliver(image) => self.begin_delivery(image).await,
            Step::Tag {
                artifact,
                engine_id,
                references,
            } => self.tag(artifact, &engine_id, references).await,
            Step::ForgetImage { artifact, names } => self.forget_image(artifact, &names).await,
            Step::Create(spec) => self.create(&spec).await,
            Step::Adopt { name, id } => {
                warn!(
                    container = name,
                    id, "found the container that an earlier life of this agent had just made"
                );
                self.deeds
                    .amend_container(&name, |deed| deed.id = Some(id))
                    .await
                    .map_err(not_written)
            }
            Step::Start {
                name,
                id,
                restart_serial,
                start_serial,
                before,
            } => {
                self.check_again(&name, desired).await?;
                self.start(
                    &name,
                    &id,
                    Starting {
                        restart_serial,
                        start_serial,
                        before,
                    },
                    StartHow::First,
                )
                .await
            }
            Step::Restart {
                name,
                id,
                restart_serial,
                start_serial,
                before,
            } => {
                self.check_again(&name, desired).await?;
                self.start(
                    &name,
                    &id,
                    Starting {
                        restart_serial,
                        start_serial,
                        before,
                    },
                    StartHow::Again,
                )
                .await
            }
            Step::NoteStarted {
                name,
                restart_serial,
                start_serial,
            } => self.note_started(&name, restart_serial, start_serial).await,
            Step::Stop { name, id } => self.stop(&name, &id).await,
            Step::NoteStopped { name } => self.note_stopped(&name).await,
            Step::Remove { name, id } => {
                self.engine.remove(&id).await.map_err(refused)?;
                info!(container = name, "removed");
                self.deeds
                    .forget_container(&name)
                    .await
                    .map_err(not_written)
            }
            Step::ForgetContainer { name } => self
                .deeds
                .forget_container(&name)
                .await
                .map_err(not_written),
        }
    }

    async fn create(&mut self, spec: &ContainerSpec) -> Result<(), Failure> {
        let admitted = self.admit(spec, |_| true).await?;
        let image = self.deeds.images().get(&spec.artifact);
        let image_id = image.map(|image| image.engine_id.clone()).ok_or_else(|| {
            Failure::new(
                "image-missing",
                format!("the image of {} is not on this host", spec.release),
            )
        })?;
        let deed = ContainerDeed {
            spec: spec.digest(),
            id: None,
            artifact: spec.artifact,
            stop_grace_seconds: spec.stop_grace_seconds,
            gpu_mode: admitted.gpu_mode,
            binds: admitted.spec.binds.clone(),
            started: false,
            starting: None,
            stopping: false,
            restart_serial: 0,
            start_serial: 0,
        };
        self.deeds
            .note_container(&spec.name, deed)
            .await
            .map_err(not_written)?;
        // After a failure the intention stays: the engine may have made the container and the answer been lost.
        let id = self
            .engine
            .create(
                &admitted.spec,
                &image_id,
                admitted.gpu_mode,
                self.labels(spec),
            )
            .await
            .map_err(refused)?;
        info!(container = spec.name, release = %spec.release, variant = %spec.variant, id, "created");
        self.deeds
            .amend_container(&spec.name, |deed| deed.id = Some(id))
            .await
            .map_err(not_written)
    }

    async fn start(
        &mut self,
        name: &str,
        id: &str,
        starting: Starting,
        how: StartHow,
    ) -> Result<(), Failure> {
        self.vet(id).await?;
        self.deeds
            .amend_container(name, |deed| deed.starting = Some(starting))
            .await
            .map_err(not_written)?;
        let started = match how {
            StartHow::First => self.engine.start(id).await,
            StartHow::Again => self.engine.restart(id, self.grace(name)).await,
        };
        if let Err(error) = started {
            // The engine said no, so this start is not under way any more, whatever times it shows. Where its answer was
            // lost it may have happened: the times will tell.
            if error.refusal().is_some() {
                self.deeds
                    .amend_container(name, |deed| deed.starting = None)
                    .await
                    .map_err(not_written)?;
            }
            return Err(refused(error));
        }
        info!(container = name, "started");
        self.note_started(name, starting.restart_serial, starting.start_serial)
            .await
    }

    /// The policy may have changed since the container was made, and not all that it rules on can be seen in what the
    /// engine made. A container is started only as it is desired, so its specification is there.
    async fn check_again(&self, name: &str, desired: &DesiredState) -> Result<(), Failure> {
        let mut containers = desired.containers.iter();
        match containers.find(|container| container.spec.name == name) {
            Some(container) => self.check_spec(&container.spec).await.map(drop),
            None => Ok(()),
        }
    }

    /// What the engine made is looked at before it runs: an engine's defaults, or another client, may have given it more
    /// than was asked.
    async fn vet(&self, id: &str) -> Result<(), Failure> {
        let made = made(self.engine.inspect_created(id).await.map_err(refused)?);
        let policy = std::sync::Arc::clone(&self.policy);
        let checked = tokio::task::spawn_blocking(move || policy.check_made(&made)).await;
        checked
            .map_err(|_| Failure::new("stopping", "the agent is stopping"))?
            .map_err(|refusal| refusal.failure())
    }

    async fn stop(&mut self, name: &str, id: &str) -> Result<(), Failure> {
        self.deeds
            .amend_container(name, |deed| deed.stopping = true)
            .await
            .map_err(not_written)?;
        if let Err(error) = self.engine.stop(id, self.grace(name)).await {
            if error.refusal().is_some() {
                self.deeds
                    .amend_container(name, |deed| deed.stopping = false)
                    .await
                    .map_err(not_written)?;
            }
            return Err(refused(error));
        }
        info!(container = name, "stopped");
        self.note_stopped(name).await
    }

    async fn note_started(
        &mut self,
        name: &str,
        restart_serial: u64,
        start_serial: u64,
    ) -> Result<(), Failure> {
        let noted = self.deeds.amend_container(name, |deed| {
            deed.started = true;
            deed.starting = None;
            deed.restart_serial = restart_serial;
            deed.start_serial = start_serial;
        });
        noted.await.map_err(not_written)
    }

    async fn note_stopped(&mut self, name: &str) -> Result<(), Failure> {
        let noted = self.deeds.amend_container(name, |deed| {
            deed.started = false;
            deed.starting = None;
            deed.stopping = false;
        });
        noted.await.map_err(not_written)
    }

    /// How long a step lasts that does nothing wrong.
    pub(super) fn grace_of(&self, step: &Step) -> Duration {
        match step {
            Step::Stop { name, .. } | Step::Restart { name, .. } => longest_grace(self.grace(name)),
            _ => Duration::ZERO,
        }
    }

    /// Seconds between the stop signal and the kill; zero: the engine's default.
    fn grace(&self, name: &str) -> u32 {
        self.deeds
            .containers()
            .get(name)
            .map_or(0, |deed| deed.stop_grace_seconds)
    }

    fn labels(&self, spec: &ContainerSpec) -> BTreeMap<String, String> {
        [
            ("io.tfleet.fleet", self.fleet.clone()),
            ("io.tfleet.container", spec.name.clone()),
            ("io.tfleet.spec", spec.digest().to_string()),
            ("io.tfleet.release", spec.release.to_string()),
            ("io.tfleet.variant", spec.variant.to_string()),
        ]
        .map(|(key, value)| (key.to_owned(), value))
        .into()
    }
}

#[derive(Clone, Copy)]
enum StartHow {
    First,
    Again,
}

fn made(created: CreatedContainer) -> Made {
    Made {
        privileged: created.privileged,
        host_namespaces: created
            .host_namespaces
            .into_iter()
            .collect::<Vec<HostNamespace>>(),
        capabilities: created.capabilities,
        bind_sources: created.bind_sources,
        host_ports: created.host_ports,
    }
}

pub(super) fn refused(error: EngineError) -> Failure {
    error.failure()
}

pub(super) fn not_written(error: LedgerError) -> Failure {
    let reason: &dyn std::error::Error = &error;
    tracing::error!(error = reason, "the ledger cannot be written");
    Failure::new(
        "ledger-not-written",
        "the agent cannot write its ledger, so it does nothing that it could not remember",
    )
    .with_remedy("free space in the agent's data folder, or see its log")
}
