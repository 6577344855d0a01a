//! The life of one build, from the order to the artifact.

use std::fs;
use std::path::Path;
use std::sync::{Arc, PoisonError};

use tfleet_compat::Architecture;
use tfleet_proto::model::digest::Digest;
use tokio::sync::watch;

use super::base::Base;
use super::context::context;
use super::engine::{BuildRequest, BuilderEngine};
use super::lock::wheel::Target;
use super::lock::{Lock, LockFormat, LockedBase, TEMPLATE, group};
use super::log::BuildLog;
use super::order::Order;
use super::progress::Progress;
use super::sources::Sources;
use super::{BuildError, BuildPhase, BuildStatus, Built, Freshness, Inner, transfer};
use crate::artifact::{Origin, Received, free_bytes};

/// Room for logs, the database and everything else that shares the disk.
const SPARE_BYTES: u64 = 1 << 30;

/// Carries the order out. What it is doing goes to `status`, everything else to `log`.
pub async fn run(
    inner: &Inner,
    order: &Order,
    freshness: Freshness,
    log: &BuildLog,
    status: &watch::Sender<BuildStatus>,
) -> Result<Built, BuildError> {
    let digest = order.digest();
    if freshness == Freshness::Refreshed {
        inner.bases.forget(order)?;
        inner.forget_lock(&digest)?;
    }
    let known = inner.known_lock(order)?;
    let _slot = inner
        .slots
        .acquire()
        .await
        .map_err(|_| BuildError::Cancelled)?;
    let sources = Sources::of(&inner.site).await?;
    log.hide(sources.secrets.clone());
    let engine = inner.engine(order.recipe.architecture)?;
    let step = |phase, activity: &str, total| {
        log.line(activity);
        status.send_modify(|status| status.enter(phase, activity, total));
    };

    step(BuildPhase::Base, "preparing the base", 0);
    let advance = |activity: &str, done_bytes| {
        status.send_modify(|status| {
            activity.clone_into(&mut status.activity);
            status.done_bytes = done_bytes;
        });
    };
    let (lock, base) = match known {
        Some(lock) => {
            let base = inner.bases.locked(lock.base.artifact, order).await?;
            (lock, base)
        }
        None => {
            let base = inner
                .bases
                .obtain(order, engine, &sources, log, &advance)
                .await?;
            step(BuildPhase::Locking, "resolving versions", 0);
            let lock = resolve(inner, order, &base, &sources, log).await?;
            inner.keep_lock(&digest, &lock)?;
            (lock, base)
        }
    };
    let lock_digest = lock.digest();
    status.send_modify(|status| status.lock = Some(lock_digest));
    log.line(format!(
        "lock {lock_digest}: {} wheels",
        lock.groups
            .iter()
            .map(|group| group.wheels.len())
            .sum::<usize>()
    ));

    let turn = inner.turn(&lock_digest);
    let _turn = turn.lock().await;
    if let Some(built) = inner.known_build(&lock_digest)? {
        log.line(format!("built before as {}", built.artifact));
        return Ok(built);
    }
    check_disk(inner, &lock, &base, engine, log).await?;
    step(
        BuildPhase::Building,
        "loading the base into the builder",
        lock.wheel_bytes(),
    );
    let reference = inner.bases.place(&base, engine, log).await?;
    let image = format!("tfleet/build:{}", lock_digest.short());
    build(
        inner, order, &lock, &base, &reference, &image, engine, &sources, log, &advance,
    )
    .await?;

    let storing = inner
        .storing
        .acquire()
        .await
        .map_err(|_| BuildError::Cancelled)?;
    step(
        BuildPhase::Storing,
        "reading the image out of the builder",
        lock.unpacked_bytes_estimate() + base.index.content_bytes(),
    );
    let origin = Origin::Engine;
    let stored = transfer::store(
        engine,
        &image,
        &inner.artifacts,
        origin,
        sources.secrets.clone(),
        &|bytes| {
            advance("reading the image out of the builder", bytes);
        },
    )
    .await;
    drop(storing);
    // Dropped also when storing failed: the next attempt builds it again from the lock.
    engine.remove(&image).await?;
    let freed_bytes = engine.forget_build_steps().await?;
    log.line(format!("the builder gave back {freed_bytes} bytes"));
    let Received { artifact, index } = stored?;
    inner.keep_build(&lock_digest, &artifact)?;
    log.line(format!(
        "built {artifact}: {} bytes in {} layers, stored as {}",
        index.content_bytes(),
        index.layers.len(),
        index.frame_bytes()
    ));
    let (content_bytes, stored_bytes) = (index.content_bytes(), index.frame_bytes());
    Ok(Built {
        lock: lock_digest,
        artifact,
        content_bytes,
        stored_bytes,
        cached: false,
    })
}

/// Resolves the recipe alone, then with the extras over it, so that extras move nothing that need not move.
async fn resolve(
    inner: &Inner,
    order: &Order,
    base: &Base,
    sources: &Sources,
    log: &BuildLog,
) -> Result<Lock, BuildError> {
    let recipe = &order.recipe;
    let target = Target {
        python: (recipe.python.major(), recipe.python.minor()),
        glibc: base.survey.glibc(),
        architecture: recipe.architecture,
    };
    // pip comes along for those who will install more inside a container.
    let mut requirements: Vec<String> = recipe
        .requirements
        .iter()
        .cloned()
        .chain(["pip".to_owned()])
        .collect();
    let alone = inner
        .resolver
        .resolve(&requirements, &[], &target, sources, log)
        .await?;
    let names: Vec<_> = alone.iter().map(|wheel| wheel.name.clone()).collect();
    let wheels = if order.python_packages.is_empty() {
        alone
    } else {
        requirements.extend(order.python_packages.iter().cloned());
        let pins: Vec<_> = alone
            .iter()
            .map(|wheel| format!("{}=={}", wheel.name, wheel.version))
            .collect();
        match inner
            .resolver
            .resolve(&requirements, &pins, &target, sources, log)
            .await
        {
            Ok(wheels) => wheels,
            Err(BuildError::Step { .. }) => {
                log.line("the further packages need other versions of TensorFlow's dependencies; resolving all together");
                inner
                    .resolver
                    .resolve(&requirements, &[], &target, sources, log)
                    .await?
            }
            Err(error) => return Err(error),
        }
    };
    Ok(Lock {
        format: LockFormat::V1,
        template: TEMPLATE,
        recipe: recipe.id.to_string(),
        architecture: recipe.architecture,
        python: recipe.python.to_string(),
        base: LockedBase {
            artifact: base.artifact,
            diff_ids: base.index.diff_ids().collect(),
            packages: base.survey.packages.clone(),
        },
        groups: group(wheels, |wheel| names.contains(&wheel.name)),
        environment: order.environment.clone(),
        ports: order.ports.iter().copied().collect(),
        bashrc: order.bashrc.clone(),
    })
}

#[expect(
    clippy::too_many_arguments,
    reason = "the parts of one build, each of another kind"
)]
async fn build(
    inner: &Inner,
    order: &Order,
    lock: &Lock,
    base: &Base,
    reference: &str,
    image: &str,
    engine: &BuilderEngine,
    sources: &Sources,
    log: &BuildLog,
    advance: &(dyn Fn(&str, u64) + Sync),
) -> Result<(), BuildError> {
    let uv = inner
        .resolver
        .uv(order.recipe.architecture, sources, log)
        .await?;
    let needs_library_path = order
        .recipe
        .cuda
        .as_ref()
        .is_some_and(|stack| stack.needs_library_path);
    let context = context(
        lock,
        reference,
        &base.survey,
        needs_library_path,
        sources,
        &uv,
    )?;
    let request = BuildRequest {
        reference: image.to_owned(),
        network: sources.network.clone(),
        session: format!("tfleet-{}", lock.digest().short()),
    };
    let mut progress = Progress::new(lock, log);
    let built = engine.build(context, &request, |message| {
        let (activity, done_bytes) = progress.observe(message);
        advance(activity, done_bytes);
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

/// Refuses a build that would fill a disk, before anything is downloaded.
async fn check_disk(
    inner: &Inner,
    lock: &Lock,
    base: &Base,
    engine: &BuilderEngine,
    log: &BuildLog,
) -> Result<(), BuildError> {
    let unpacked_bytes = lock.unpacked_bytes_estimate();
    // Wheels are compressed as well as our chunks will be.
    let mut needs = vec![(inner.folder.clone(), lock.wheel_bytes() / 10 * 12)];
    match engine.data_root().await? {
        // The layers, and an old engine's copy of them while it saves.
        Some(path) => needs.push((path, 2 * (unpacked_bytes + base.index.content_bytes()))),
        None => log.line(format!(
            "the disk of the engine at {} cannot be seen from here",
            engine.endpoint
        )),
    }
    let same_disk = needs.len() == 2 && device(&needs[0].0)? == device(&needs[1].0)?;
    if same_disk && let Some((_, bytes)) = needs.pop() {
        needs[0].1 += bytes;
    }
    for (path, bytes) in needs {
        let (needed_bytes, free_bytes) = (bytes + SPARE_BYTES, free_bytes(&path)?);
        log.line(format!(
            "disk at {}: about {needed_bytes} bytes are needed, {free_bytes} are free",
            path.display()
        ));
        if free_bytes < needed_bytes {
            return Err(BuildError::Disk {
                path,
                needed_bytes,
                free_bytes,
            });
        }
    }
    Ok(())
}

fn device(path: &Path) -> Result<u64, BuildError> {
    use std::os::unix::fs::MetadataExt as _;
    Ok(fs::metadata(path)
        .map_err(BuildError::io("look at", path))?
        .dev())
}

impl Inner {
    fn engine(&self, architecture: Architecture) -> Result<&BuilderEngine, BuildError> {
        self.engines
            .get(&architecture)
            .ok_or(BuildError::NoBuilder { architecture })
    }

    fn turn(&self, lock: &Digest) -> Arc<tokio::sync::Mutex<()>> {
        let mut locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
        locks.retain(|_, turn| Arc::strong_count(turn) > 1);
        Arc::clone(locks.entry(*lock).or_default())
    }
}
