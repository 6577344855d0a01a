//! From the lock to the artifact: built by the engine, read out of it, and nothing left in it but the base.

use std::collections::{BTreeMap, HashMap};

use tfleet_proto::model::artifact::ArtifactIndex;
use tfleet_proto::model::digest::Digest;
use tokio::sync::watch;

use super::base::Base;
use super::check;
use super::context::{Context, OnDisk, Stages, Supplies, context, own_context};
use super::disk::{self, Need};
use super::dockerfile::{self, Dockerfile};
use super::engine::{BuildRequest, BuilderEngine};
use super::lock::Lock;
use super::lock::wheel::Target;
use super::log::BuildLog;
use super::order::Order;
use super::progress::Progress;
use super::sources::Sources;
use super::wheels::Wheels;
use super::{BuildError, BuildPhase, BuildStatus, Built, Inner, transfer};
use crate::artifact::{Origin, Received};

/// Images under way are tags of it, and nothing else is.
pub const BUILD_REPOSITORY: &str = "tfleet/build";

/// The tag of a lock's image while it is under way.
pub fn image_of(lock: &Digest) -> String {
    format!("{BUILD_REPOSITORY}:{}", lock.short())
}

/// The tag of what the operator's own Dockerfile stands on.
pub fn plain_image_of(lock: &Digest) -> String {
    format!("{}-plain", image_of(lock))
}

/// One image that is made.
pub struct Making<'a> {
    pub inner: &'a Inner,
    pub order: &'a Order,
    pub lock: &'a Lock,
    pub base: &'a Base,
    /// The lock's unpacked compat package.
    pub compat: Option<&'a ArtifactIndex>,
    pub engine: &'a BuilderEngine,
    pub wheels: &'a Wheels,
    pub sources: &'a Sources,
    pub log: &'a BuildLog,
    pub status: &'a watch::Sender<BuildStatus>,
}

impl Making<'_> {
    /// Makes the image and stores it. The lock must not be built elsewhere at the same time.
    pub async fn built(&self) -> Result<Built, BuildError> {
        self.check_disk().await?;
        let image = image_of(&self.lock.digest());
        let stored = self.build_and_store(&image).await;
        // Also after a failure: what a failed build left would fill the disk that the next one needs.
        let plain = plain_image_of(&self.lock.digest());
        clean_up(self.engine, &[&image, &plain], self.log).await;
        stored
    }

    async fn build_and_store(&self, image: &str) -> Result<Built, BuildError> {
        let (lock, base, log) = (self.lock, self.base, self.log);
        let fetching = "fetching wheels, and loading the base into the builder";
        self.enter(BuildPhase::Building, fetching, lock.wheel_bytes());
        let target = Target::of(self.order, base);
        let progress = |bytes| self.advance(fetching, bytes);
        let wheels = self.wheels.provide(
            lock.wheels().cloned().collect(),
            &target,
            self.sources,
            log,
            &progress,
        );
        let bases = &self.inner.bases;
        let placed = async {
            let reference = bases
                .place(base.artifact, &base.index, self.engine, log)
                .await?;
            Ok(Stages {
                base: reference,
                compat: self.placed_compat().await?,
            })
        };
        let (stages, ()) = tokio::try_join!(placed, wheels)?;
        self.enter(BuildPhase::Building, "sending the wheels to the builder", 0);
        {
            let _kept = self.engine.keep_build_steps().await;
            match &lock.finish.dockerfile {
                None => self.build(&stages, image).await?,
                Some(dockerfile) => self.build_own(dockerfile, &stages, image).await?,
            }
        }
        self.enter(
            BuildPhase::Building,
            "checking the image: running it in the builder",
            0,
        );
        check::check(self, image).await?;

        let _storing = self
            .inner
            .storing
            .acquire()
            .await
            .map_err(|_| BuildError::Cancelled)?;
        let activity = "reading the image out of the builder";
        self.enter(
            BuildPhase::Storing,
            activity,
            lock.unpacked_bytes_estimate() + base.index.content_bytes(),
        );
        let secrets = self
            .sources
            .secrets_beyond(&base.survey.certificate_marks)?;
        let origin = Origin::Build {
            base: base.index.layers.clone(),
        };
        let Received { artifact, index } = transfer::store(
            self.engine,
            image,
            &self.inner.artifacts,
            origin,
            secrets,
            &|bytes| self.advance(activity, bytes),
        )
        .await?;
        // From here on it is built, whatever becomes of the engine's copy.
        let lock = lock.digest();
        self.inner.keep_build(&lock, &artifact)?;
        let built = Built {
            lock,
            artifact,
            content_bytes: index.content_bytes(),
            stored_bytes: index.frame_bytes(),
            cached: false,
        };
        log.line(format!(
            "built {artifact}: {} bytes in {} layers, stored as {}",
            built.content_bytes,
            index.layers.len(),
            built.stored_bytes
        ));
        Ok(built)
    }

    /// The engine's reference of the unpacked compat package, if the lock has one.
    async fn placed_compat(&self) -> Result<Option<String>, BuildError> {
        let (Some(compat), Some(index)) = (&self.lock.compat, self.compat) else {
            return Ok(None);
        };
        let bases = &self.inner.bases;
        let placed = bases.place(compat.artifact, index, self.engine, self.log);
        placed.await.map(Some)
    }

    async fn build(&self, stages: &Stages, image: &str) -> Result<(), BuildError> {
        let context = context(
            self.lock,
            stages,
            &self.base.survey,
            &self.supplies().await?,
        )?;
        self.step(context, image, HashMap::new()).await
    }

    /// Builds the image without the operator's Dockerfile, and that on top of it.
    async fn build_own(
        &self,
        dockerfile: &Dockerfile,
        stages: &Stages,
        image: &str,
    ) -> Result<(), BuildError> {
        let plain = plain_image_of(&self.lock.digest());
        self.build(stages, &plain).await?;
        let activity = "building the Dockerfile of the release";
        self.enter(BuildPhase::Building, activity, 0);
        let context = own_context(dockerfile, self.sources)?;
        let arguments = dockerfile::arguments(self.order, self.lock, &plain);
        self.step(context, image, arguments.into_iter().collect())
            .await?;
        let layers = async |reference| {
            let diff_ids = self.engine.diff_ids(reference).await?;
            Ok::<_, BuildError>(diff_ids.unwrap_or_default())
        };
        if layers(image).await?.starts_with(&layers(&plain).await?) {
            Ok(())
        } else {
            Err(BuildError::Additions {
                what: "the last stage of the Dockerfile does not stand on TFLEET_BASE".to_owned(),
                remedy: "let its last FROM be ${TFLEET_BASE}, and take files of other stages with COPY --from",
            })
        }
    }

    /// One build by the engine.
    async fn step(
        &self,
        context: Context,
        image: &str,
        arguments: HashMap<String, String>,
    ) -> Result<(), BuildError> {
        let log = self.log;
        let request = BuildRequest {
            reference: image.to_owned(),
            network: self.sources.network.clone(),
            session: format!("tfleet-{}", image.replace([':', '/'], "-")),
            arguments,
        };
        let mut progress = Progress::new(log);
        let built = self.engine.build(context, &request, |message| {
            self.advance(progress.observe(message), 0);
        });
        match built.await {
            Err(BuildError::Engine {
                endpoint, source, ..
            }) if source
                .to_string()
                .contains("failed to read downloaded context") =>
            {
                Err(BuildError::UnfitEngine { endpoint })
            }
            Err(BuildError::Engine { source, .. }) if progress.error.is_some() => {
                log.line(source.to_string());
                Err(BuildError::Step {
                    what: "a build step failed".to_owned(),
                    last_lines: log.last_lines(),
                })
            }
            other => other,
        }
    }

    /// The files that the steps mount.
    async fn supplies(&self) -> Result<Supplies, BuildError> {
        let (architecture, sources) = (self.order.recipe.architecture, self.sources);
        let resolver = &self.inner.resolver;
        let uv = resolver
            .uv(architecture, self.wheels, sources, self.log)
            .await?;
        let size_bytes = std::fs::metadata(&uv)
            .map_err(BuildError::io("read", &uv))?
            .len();
        let mut wheels = BTreeMap::new();
        for group in &self.lock.groups {
            let mut files = Vec::new();
            for wheel in &group.wheels {
                let (path, size_bytes) = self.wheels.provided(wheel)?;
                let name = wheel.file.clone();
                files.push(OnDisk {
                    name,
                    path,
                    size_bytes,
                });
            }
            wheels.insert(group.kind, files);
        }
        Ok(Supplies {
            wheels,
            uv: OnDisk {
                name: "uv".to_owned(),
                path: uv,
                size_bytes,
            },
        })
    }

    /// Refuses a build that would fill a disk, before anything is downloaded.
    async fn check_disk(&self) -> Result<(), BuildError> {
        let lock = self.lock;
        let of_compat = |bytes: fn(&ArtifactIndex) -> u64| self.compat.map_or(0, bytes);
        let image_bytes = lock.unpacked_bytes_estimate()
            + self.base.index.content_bytes()
            + of_compat(ArtifactIndex::content_bytes);
        // Wheels are compressed as well as our chunks will be.
        let stored_bytes = lock.wheel_bytes() / 10 * 12 + of_compat(ArtifactIndex::frame_bytes);
        let missing_bytes = self.wheels.absent_bytes(lock.wheels());
        let mut needs = vec![
            Need::new(self.inner.artifacts.root(), stored_bytes),
            // What pip fetched, and its own copy of it.
            Need::new(self.wheels.root(), missing_bytes.saturating_mul(2)),
        ];
        match self.engine.data_root().await? {
            // The layers, and an old engine's copy of them while it saves; before that, the context as it came and unpacked,
            // which is less.
            Some(root) => needs.push(Need::new(&root, image_bytes.saturating_mul(2))),
            None => self.log.line(format!(
                "the disk of the engine at {} cannot be seen from here",
                self.engine.endpoint
            )),
        }
        disk::check(needs, Some(self.log))
    }

    fn enter(&self, phase: BuildPhase, activity: &str, total_bytes: u64) {
        self.log.line(activity);
        self.status
            .send_modify(|status| status.enter(phase, activity, total_bytes));
    }

    fn advance(&self, activity: &str, done_bytes: u64) {
        self.status.send_modify(|status| {
            activity.clone_into(&mut status.activity);
            status.done_bytes = done_bytes;
        });
    }
}

/// Drops the engine's images and what BuildKit keeps of the build. An engine that does not do it changes nothing about
/// the build's outcome; the next build on it, or the next start, tries again.
async fn clean_up(engine: &BuilderEngine, images: &[&str], log: &BuildLog) {
    let cleaned = async {
        for image in images {
            engine.remove(image).await?;
        }
        engine.forget_build_steps().await
    };
    match cleaned.await {
        Ok(Some(freed_bytes)) => log.line(format!("the builder gave back {freed_bytes} bytes")),
        Ok(None) => log.line("the last of the builds under way gives back what the builder keeps"),
        Err(error) => {
            let failure = error.failure();
            log.line(format!(
                "the builder keeps what it built: {}",
                failure.message
            ));
            tracing::warn!(endpoint = engine.endpoint, error = %failure, "cannot clean up after a build");
        }
    }
}

#[cfg(test)]
mod tests;
