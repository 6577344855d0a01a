//! Builds images: an order is resolved to a lock, the lock becomes an image, the image becomes blobs.
//!
//! A build goes on when nobody watches any more, and whoever asks for the same joins it. What was built once is known
//! by its lock's digest: `locks/ORDER` is the lock that an order resolved to, `done/LOCK` the artifact that a lock
//! became, `logs/ORDER` the log. All of them are caches next to the blobs they name; a lost one costs a build, no data.
//! What a build cannot be repeated without stays in the vault: locks by their own digest, and wheels.

mod base;
mod check;
mod compat;
mod context;
mod deb;
mod disk;
mod dockerfile;
mod engine;
mod error;
mod flavour;
mod import;
mod kept;
mod lock;
mod log;
mod making;
mod order;
pub(crate) mod pipe;
mod progress;
mod records;
mod resolver;
mod run;
mod sbom;
mod sources;
mod status;
mod transfer;
mod wheels;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use tfleet_compat::Architecture;
use tfleet_proto::model::digest::Digest;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::artifact::Artifacts;
use crate::config::{Builder, Site};
use crate::vault::Vault;

pub use dockerfile::{Dockerfile, DockerfileError};
pub use engine::BuilderEngine;
pub use error::BuildError;
pub use flavour::{Flavour, ServicePort, UnknownFlavour, service_ports, start_command};
pub use import::ImageSource;
pub use lock::{Group, GroupKind, Lock, LockedWheel};
pub use log::LogLine;
pub use order::{Additions, Order};
pub use resolver::{UV_VERSION, installer};
pub use sbom::Sbom;
pub use status::{BuildPhase, BuildStatus, Built};

/// Two builds overlap well: one downloads while the other compresses. More would only share the disk.
const BUILDS_AT_ONCE: usize = 2;

/// All builds of this coordinator. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Builds {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    folder: PathBuf,
    site: Site,
    engines: BTreeMap<Architecture, BuilderEngine>,
    artifacts: Artifacts,
    bases: base::Bases,
    resolver: resolver::Resolver,
    vault: Vault,
    wheels: wheels::Wheels,
    running: Mutex<HashMap<Digest, Running>>,
    /// One at a time per lock, also where two orders resolve to the same.
    locks: Mutex<HashMap<Digest, Arc<tokio::sync::Mutex<()>>>>,
    slots: Semaphore,
    /// Storing takes every core and the most memory, so one image at a time.
    storing: Semaphore,
    tasks: TaskTracker,
    cancel: CancellationToken,
}

#[derive(Debug)]
struct Running {
    status: watch::Receiver<BuildStatus>,
    log: log::BuildLog,
}

/// Whether what was resolved before still counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freshness {
    /// The lock of an earlier build of the same order is kept.
    Locked,
    /// This lock, whatever the order would be resolved to now: what was built of it once is built of it again. Its base is
    /// the one that it names by digest, also if the base's name stands for another one by now.
    Of(Digest),
    /// Versions that were resolved, and a base that was bootstrapped, before this time are resolved and bootstrapped anew.
    /// A base with a name stays: whoever named it imports it again.
    Since(Timestamp),
}

impl Builds {
    /// Opens the caches in `folder`, and begins to tidy the builders' engines, in a runtime. `cancel` ends all builds.
    ///
    /// # Errors
    /// If the folders cannot be made or a builder's endpoint is malformed.
    pub fn open(
        folder: &Path,
        site: Site,
        builders: &[Builder],
        artifacts: Artifacts,
        vault: Vault,
        cancel: CancellationToken,
    ) -> Result<Self, BuildError> {
        for name in ["locks", "done", "logs"] {
            let path = folder.join(name);
            std::fs::create_dir_all(&path).map_err(BuildError::io("create", &path))?;
        }
        let engines = builders
            .iter()
            .map(|builder| {
                Ok((
                    builder.architecture,
                    BuilderEngine::new(&builder.engine, builder.architecture)?,
                ))
            })
            .collect::<Result<_, BuildError>>()?;
        let inner = Inner {
            bases: base::Bases::open(folder.join("bases"), artifacts.clone())?,
            resolver: resolver::Resolver::new(folder.join("tools")),
            wheels: wheels::Wheels::kept(vault.clone()),
            vault,
            folder: folder.to_owned(),
            site,
            engines,
            artifacts,
            running: Mutex::default(),
            locks: Mutex::default(),
            slots: Semaphore::new(BUILDS_AT_ONCE),
            storing: Semaphore::new(1),
            tasks: TaskTracker::new(),
            cancel,
        };
        let builds = Self {
            inner: Arc::new(inner),
        };
        builds.tidy();
        Ok(builds)
    }

    /// Images of builds that a crash ended are gigabytes that nobody will ask for. Builds wait for this.
    fn tidy(&self) {
        for engine in self.inner.engines.values() {
            let (inner, engine) = (Arc::clone(&self.inner), engine.clone());
            self.inner.tasks.spawn(async move {
                // It can be given up at any point: the next start looks again.
                tokio::select! { () = inner.cancel.cancelled() => {}, () = inner.tidy(&engine) => {} }
            });
        }
    }

    /// The order for a recipe of a release, with the site's additions.
    ///
    /// # Errors
    /// If the site's `bashrc` cannot be read, or the additions do not fit together.
    pub fn order(
        &self,
        recipe: tfleet_compat::Recipe,
        additions: Additions,
    ) -> Result<Order, BuildError> {
        Order::new(recipe, additions, &self.inner.site)
    }

    /// Starts the build, or joins the one of the same order that runs. The last status has an outcome; if the order
    /// was built before, that is the first.
    ///
    /// # Errors
    /// If the log cannot be begun, or what is too old cannot be forgotten.
    pub fn start(
        &self,
        order: Order,
        freshness: Freshness,
    ) -> Result<watch::Receiver<BuildStatus>, BuildError> {
        let digest = order.digest();
        let mut running = self
            .inner
            .running
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(running) = running.get(&digest) {
            return Ok(running.status.clone());
        }
        if let Freshness::Since(time) = freshness {
            self.inner.forget_older(&order, time)?;
        }
        // Nothing will be done, so there is nothing to write: the log of the build that did it stays. A record that
        // cannot be read is reported by the build, which needs it too.
        let known = match freshness {
            Freshness::Of(lock) => self.inner.known_build(&lock),
            Freshness::Locked | Freshness::Since(_) => self.inner.known(&order),
        };
        if let Ok(Some(built)) = known {
            let mut status = BuildStatus::waiting();
            status.lock = Some(built.lock);
            status.end(Ok(built));
            return Ok(watch::channel(status).1);
        }
        let log = log::BuildLog::begin(&self.inner.log_path(&digest))?;
        let (sender, receiver) = watch::channel(BuildStatus::waiting());
        running.insert(
            digest,
            Running {
                status: receiver.clone(),
                log: log.clone(),
            },
        );
        drop(running);
        let inner = Arc::clone(&self.inner);
        self.inner.tasks.spawn(async move {
            let outcome = tokio::select! {
                // Both arms may be dropped at any point: a build leaves only whole files and an image to remove.
                () = inner.cancel.cancelled() => Err(BuildError::Cancelled),
                outcome = run::run(&inner, &order, freshness, &log, &sender) => outcome,
            };
            if let Err(error) = &outcome {
                log.line(format!("failed: {}", error.failure().message));
                tracing::warn!(order = %digest, error = %error.failure(), "build failed");
            }
            inner
                .running
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .remove(&digest);
            sender.send_modify(|status| status.end(outcome));
        });
        Ok(receiver)
    }

    /// What an earlier build of this order became, without building.
    ///
    /// # Errors
    /// If a record cannot be read.
    pub fn built(&self, order: &Order) -> Result<Option<Built>, BuildError> {
        self.inner.known(order)
    }

    /// The lock that `order` was resolved to last.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn lock(&self, order: &Order) -> Result<Option<Lock>, BuildError> {
        self.inner.known_lock(order)
    }

    /// The log of the last build of `order`, also while it grows if `follow` is set. Ends with the build, or when the
    /// receiver is dropped.
    pub fn log(
        &self,
        order: &Digest,
        follow: bool,
    ) -> mpsc::Receiver<Result<Vec<LogLine>, BuildError>> {
        let (sender, receiver) = mpsc::channel(4);
        let path = self.inner.log_path(order);
        let running = self
            .inner
            .running
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let changes = running
            .get(order)
            .filter(|_| follow)
            .map(|running| running.log.follow());
        drop(running);
        let cancel = self.inner.cancel.clone();
        self.inner.tasks.spawn(async move {
            let send = send_log(&path, changes, &sender);
            // Reading can be given up between any two lines.
            tokio::select! { () = cancel.cancelled() => {}, () = send => {} }
        });
        receiver
    }

    /// The architectures that images can be built for; none where no builder is configured, since images then come from
    /// elsewhere.
    pub fn architectures(&self) -> Option<BTreeSet<Architecture>> {
        let engines = &self.inner.engines;
        (!engines.is_empty()).then(|| engines.keys().copied().collect())
    }

    /// The environment of a named base as it is stored; none: it is not, or cannot be read, which the build will tell.
    pub fn base_environment(&self, name: &str) -> Option<Vec<String>> {
        self.inner.bases.environment(name)
    }

    /// The store that builds write to.
    pub fn artifacts(&self) -> &Artifacts {
        &self.inner.artifacts
    }

    /// Waits for the builds that `cancel` ended.
    pub async fn closed(&self) {
        self.inner.tasks.close();
        self.inner.tasks.wait().await;
    }
}

async fn send_log(
    path: &Path,
    mut changes: Option<watch::Receiver<u64>>,
    sender: &mpsc::Sender<Result<Vec<LogLine>, BuildError>>,
) {
    let mut offset = 0;
    loop {
        // Seen before reading, so that a line written meanwhile wakes the next round.
        let open = changes.as_mut().is_some_and(|changes| {
            changes.borrow_and_update();
            changes.has_changed().is_ok()
        });
        match log::read_lines(path, offset) {
            Ok((lines, next)) => {
                offset = next;
                if !lines.is_empty() && sender.send(Ok(lines)).await.is_err() {
                    return;
                }
            }
            Err(error) => {
                let _ = sender.send(Err(error)).await;
                return;
            }
        }
        match &mut changes {
            Some(changes) if open => {
                // An error means that the build is over: one more round reads its last lines.
                let _ = changes.changed().await;
            }
            _ => return,
        }
    }
}

#[cfg(test)]
mod tests;
