//! From the order to the lock: which wheels, in which versions.

use super::base::Base;
use super::lock::wheel::Target;
use super::lock::{Lock, LockFormat, LockedBase, TEMPLATE, group};
use super::log::BuildLog;
use super::order::Order;
use super::sources::Sources;
use super::{BuildError, Inner};

/// Resolves the recipe alone, then with the extras over it, so that extras move nothing that need not move.
pub(super) async fn resolve(
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
