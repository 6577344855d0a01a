//! One host, one recipe, every rule: whether the image runs there, and how.
//!
//! The planner asks before it assigns, and the agent asks the same before it creates a container, since the host may
//! have changed in between.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::catalog::{Catalog, TensorflowRelease};
use crate::host::{Gpu, HostFacts};
use crate::recipe::{CudaStack, Recipe};
use crate::rules::{self, Finding, PtxReading, Refusal, Rule};

/// How an image runs on a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Compatibility {
    /// The driver is at least the one that the CUDA toolkit was made with.
    Native,
    /// The driver is older than that, but within what the CUDA major version promises.
    Minor,
    /// The image computes on the CPU.
    Cpu,
}

/// What the rules say about one recipe on one host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "kebab-case")]
pub enum Verdict {
    /// Every rule passes.
    Accepted {
        /// How it runs.
        compatibility: Compatibility,
        /// What each rule found, in order.
        findings: Vec<Finding>,
    },
    /// One rule forbids it.
    Refused {
        /// That one.
        refusal: Refusal,
        /// What the rules before it found.
        findings: Vec<Finding>,
    },
}

/// Asks every rule whether an image of `recipe` runs on `host`, taking intermediate code strictly.
#[must_use]
pub fn check(catalog: &Catalog, host: &HostFacts, recipe: &Recipe) -> Verdict {
    let mut findings = Vec::new();
    match ask(catalog, host, recipe, &mut findings) {
        Ok(compatibility) => Verdict::Accepted {
            compatibility,
            findings,
        },
        Err(refusal) => Verdict::Refused { refusal, findings },
    }
}

fn ask(
    catalog: &Catalog,
    host: &HostFacts,
    recipe: &Recipe,
    findings: &mut Vec<Finding>,
) -> Result<Compatibility, Refusal> {
    let release = catalog
        .tensorflow_release(recipe.tensorflow.minor())
        .ok_or_else(|| unknown_recipe(format!("TensorFlow {}", recipe.tensorflow)))?;
    findings.push(rules::architecture(host, recipe.architecture)?);
    findings.push(rules::cpu_features(host, release)?);
    match &recipe.cuda {
        Some(stack) => ask_gpu(catalog, host, release, stack, findings),
        None => {
            findings.push(rules::cpu_only(host));
            Ok(Compatibility::Cpu)
        }
    }
}

fn ask_gpu(
    catalog: &Catalog,
    host: &HostFacts,
    release: &TensorflowRelease,
    stack: &CudaStack,
    findings: &mut Vec<Finding>,
) -> Result<Compatibility, Refusal> {
    let toolkit = catalog
        .cuda_release(&stack.installed)
        .ok_or_else(|| unknown_recipe(format!("CUDA {}", stack.installed)))?;
    findings.push(rules::driver_health(host)?);
    let driver = rules::driver_present(host)?;
    findings.extend(rules::driver_newer_than_known(catalog, driver));
    findings.push(rules::gpu_access(host)?);
    // A host with several GPUs is served by what serves all of them; equal ones are asked once.
    let mut distinct: Vec<&Gpu> = host.gpus.iter().collect();
    distinct.sort();
    distinct.dedup_by_key(|gpu| (&gpu.name, gpu.compute_capability, &gpu.health));
    let mut gpus = Vec::with_capacity(distinct.len());
    for gpu in distinct {
        findings.push(rules::gpu_health(gpu)?);
        gpus.push(rules::gpu_known(catalog, gpu)?);
    }
    // What no driver cures comes before what one does, so that nobody is told to upgrade in vain.
    for gpu in &gpus {
        findings.push(rules::driver_supports_gpu(driver, gpu)?);
        rules::known_gap(catalog, gpu, release)?;
        findings.push(rules::cuda_supports_gpu(gpu, toolkit)?);
        findings.extend(rules::cudnn_supports_gpu(catalog, gpu, &stack.cudnn)?);
    }
    let (compatibility, finding) =
        rules::driver_runs_cuda(driver, host.architecture, toolkit, &gpus)?;
    findings.push(finding);
    for gpu in &gpus {
        findings.push(rules::machine_code(
            catalog,
            driver,
            gpu,
            release,
            PtxReading::Strict,
        )?);
    }
    Ok(compatibility)
}

fn unknown_recipe(what: String) -> Refusal {
    Refusal::new(
        Rule::RecipeKnown,
        format!("the catalog does not know {what}"),
        "upgrade this program: it knows less than the plan was made with",
        "the catalog",
    )
}

impl Verdict {
    /// How the image runs; none: it does not.
    #[must_use]
    pub fn compatibility(&self) -> Option<Compatibility> {
        match self {
            Self::Accepted { compatibility, .. } => Some(*compatibility),
            Self::Refused { .. } => None,
        }
    }

    /// Why it does not run; none: it does.
    #[must_use]
    pub fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Accepted { .. } => None,
            Self::Refused { refusal, .. } => Some(refusal),
        }
    }

    /// What the rules found that passed, in order.
    #[must_use]
    pub fn findings(&self) -> &[Finding] {
        match self {
            Self::Accepted { findings, .. } | Self::Refused { findings, .. } => findings,
        }
    }
}

impl fmt::Display for Compatibility {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Native => "native",
            Self::Minor => "minor",
            Self::Cpu => "cpu",
        })
    }
}

#[cfg(test)]
mod tests;
