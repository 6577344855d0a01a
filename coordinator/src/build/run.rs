//! The life of one build, from the order to the artifact.

use std::sync::{Arc, PoisonError};

use tfleet_compat::Architecture;
use tfleet_proto::model::digest::Digest;
use tokio::sync::watch;

use super::base::Base;
use super::check::CHECK_LABEL;
use super::context::cuda_wheels;
use super::engine::BuilderEngine;
use super::flavour;
use super::lock::wheel::Target;
use super::lock::{
    Finish, Group, Lock, LockFormat, LockedBase, TEMPLATE, cuda_folder, group, package_name,
};
use super::log::BuildLog;
use super::making::{BUILD_REPOSITORY, Making, image_of, plain_image_of};
use super::order::Order;
use super::sources::Sources;
use super::wheels::Wheels;
use super::{BuildError, BuildPhase, BuildStatus, Built, Freshness, Inner};
use crate::vault::Kind;

/// Carries the order out. What it is doing goes to `status`, everything else to `log`.
pub async fn run(
    inner: &Inner,
    order: &Order,
    freshness: Freshness,
    log: &BuildLog,
    status: &watch::Sender<BuildStatus>,
) -> Result<Built, BuildError> {
    let digest = order.digest();
    let known = match freshness {
        Freshness::Of(lock) => Some(inner.kept_lock(order, &lock)?),
        Freshness::Locked | Freshness::Since(_) => inner.known_lock(order)?,
    };
    let _slot = inner
        .slots
        .acquire()
        .await
        .map_err(|_| BuildError::Cancelled)?;
    let sources = Sources::of(&inner.site).await?;
    log.hide(sources.secrets.clone());
    let engine = inner.engine(order.recipe.architecture)?;
    let wheels = inner.wheels()?;
    // Says itself to the coordinator's log why it could not; what this build needs of the engine will tell the person.
    inner.tidy(engine).await;

    let step = |phase, activity: &str| {
        log.line(activity);
        status.send_modify(|status| status.enter(phase, activity, 0));
    };
    step(BuildPhase::Base, "preparing the base");
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
            // Asked before anything takes time.
            let compat = inner.compat(order).await?;
            let base = inner
                .bases
                .obtain(order, engine, &sources, log, &advance)
                .await?;
            step(BuildPhase::Locking, "resolving versions");
            let mut lock = resolve(inner, order, &base, &wheels, &sources, log).await?;
            lock.compat = compat;
            inner.keep_lock(&digest, &lock)?;
            (lock, base)
        }
    };
    inner
        .vault
        .keep(Kind::Lock, &mut lock.canonical_json().as_slice())?;
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
    let compat = inner.locked_compat(&lock)?;
    let making = Making {
        inner,
        order,
        lock: &lock,
        base: &base,
        compat: compat.as_ref(),
        engine,
        wheels: &wheels,
        sources: &sources,
        log,
        status,
    };
    making.built().await
}

/// Resolves the recipe alone, then with the extras over it, so that extras move nothing that need not move.
async fn resolve(
    inner: &Inner,
    order: &Order,
    base: &Base,
    wheels: &Wheels,
    sources: &Sources,
    log: &BuildLog,
) -> Result<Lock, BuildError> {
    let recipe = &order.recipe;
    let target = Target::of(order, base);
    // pip comes along for those who will install more inside a container.
    let mut requirements: Vec<String> = recipe
        .requirements
        .iter()
        .cloned()
        .chain(["pip".to_owned()])
        .collect();
    let alone = inner
        .resolver
        .resolve(&requirements, &[], &target, wheels, sources, log)
        .await?;
    let together = if order.python_packages.is_empty() {
        Vec::new()
    } else {
        requirements.extend(order.python_packages.iter().cloned());
        let asked: Vec<_> = order
            .python_packages
            .iter()
            .map(|requirement| package_name(requirement))
            .collect();
        let pins: Vec<_> = alone
            .iter()
            .filter(|wheel| !asked.contains(&wheel.name))
            .map(|wheel| format!("{}=={}", wheel.name, wheel.version))
            .collect();
        match inner
            .resolver
            .resolve(&requirements, &pins, &target, wheels, sources, log)
            .await
        {
            Ok(wheels) => wheels,
            Err(BuildError::Step { .. }) => {
                log.line("the further packages need other versions of TensorFlow's dependencies; resolving all together");
                inner
                    .resolver
                    .resolve(&requirements, &[], &target, wheels, sources, log)
                    .await?
            }
            Err(error) => return Err(error),
        }
    };
    let groups = group(alone, together);
    Ok(Lock {
        finish: finish(order, &groups),
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
        groups,
        environment: order.environment.clone(),
        ports: order.ports.iter().copied().collect(),
        bashrc: order.bashrc.clone(),
        library_path: recipe
            .cuda
            .as_ref()
            .is_some_and(|stack| stack.needs_library_path),
        compat: None,
    })
}

/// What the image gets beyond its wheels.
fn finish(order: &Order, groups: &[Group]) -> Finish {
    let python = order.recipe.python.to_string();
    let programs = order
        .flavours
        .iter()
        .flat_map(|flavour| &flavour.addition().wheel_programs);
    let path = programs.filter_map(|program| {
        let is_of = |name: &&str| {
            name.strip_prefix(program.as_str())
                .is_some_and(|rest| rest.starts_with("-cu"))
        };
        let wheel = groups.iter().flat_map(Group::names).find(is_of)?;
        Some(format!(
            "{}/{}/bin",
            cuda_wheels(&python),
            cuda_folder(wheel)?
        ))
    });
    Finish {
        path: path.collect(),
        start: flavour::start_command(&order.flavours),
        authorized_keys: order.authorized_keys.clone(),
        dockerfile: order.dockerfile.clone(),
    }
}

impl Target {
    /// Where what `order` asks for runs.
    pub(super) fn of(order: &Order, base: &Base) -> Self {
        let recipe = &order.recipe;
        Self {
            python: (recipe.python.major(), recipe.python.minor()),
            glibc: base.survey.glibc(),
            architecture: recipe.architecture,
        }
    }
}

impl Inner {
    /// Where this build's wheels come from and go to.
    fn wheels(&self) -> Result<Wheels, BuildError> {
        if self.site.keep_wheels {
            Ok(self.wheels.clone())
        } else {
            self.wheels.passing()
        }
    }

    fn engine(&self, architecture: Architecture) -> Result<&BuilderEngine, BuildError> {
        self.engines
            .get(&architecture)
            .ok_or(BuildError::NoBuilder { architecture })
    }

    /// Removes what builds of an earlier life left in the engine, once. Where that failed at first, a build of this life may
    /// have its image there already.
    pub(super) async fn tidy(&self, engine: &BuilderEngine) {
        let is_in_use = |tag: &str| {
            let locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
            locks
                .keys()
                .any(|lock| [image_of(lock), plain_image_of(lock)].contains(&tag.to_owned()))
        };
        if let Err(error) = engine
            .remove_once(BUILD_REPOSITORY, CHECK_LABEL, is_in_use)
            .await
        {
            tracing::warn!(endpoint = engine.endpoint, error = %error.failure(), "cannot look for what builds left");
        }
    }

    fn turn(&self, lock: &Digest) -> Arc<tokio::sync::Mutex<()>> {
        let mut locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
        locks.retain(|_, turn| Arc::strong_count(turn) > 1);
        Arc::clone(locks.entry(*lock).or_default())
    }
}
