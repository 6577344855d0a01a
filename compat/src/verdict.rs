//! One host, one recipe, every rule: whether the image runs there, and how.
//!
//! The planner asks before it assigns, and the agent asks the same before it creates a container, since the host may
//! have changed in between.

use std::collections::{BTreeSet, HashMap};
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::catalog::{Catalog, CudaToolkit, TensorflowRelease};
use crate::gate::ImageGate;
use crate::host::{Gpu, HostFacts};
use crate::policy::{MixedGpus, Terms};
use crate::recipe::{CudaStack, Recipe};
use crate::rules::{self, Finding, KnownGpu, Refusal, Rule};
use crate::version::DriverVersion;

/// How an image runs on a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Compatibility {
    /// The driver is at least the one that the CUDA toolkit was made with.
    Native,
    /// The driver is older than that, but within what the CUDA major version promises.
    Minor,
    /// A compat package in the image stands in for a newer driver.
    Forward,
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
        /// GPUs that it does not serve, on terms that allow that.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        left_out: Vec<GpuLeftOut>,
    },
    /// One rule forbids it.
    Refused {
        /// That one.
        refusal: Refusal,
        /// What the rules before it found.
        findings: Vec<Finding>,
    },
}

/// A GPU that an image does not serve on a host whose other GPUs it serves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GpuLeftOut {
    /// The product's name, as the host gave it.
    pub gpu: String,
    /// Why it is not served.
    pub reason: String,
}

/// Asks every rule whether an image of `recipe` runs on `host`, on the strictest terms.
#[must_use]
pub fn check(catalog: &Catalog, host: &HostFacts, recipe: &Recipe) -> Verdict {
    check_on(catalog, host, recipe, Terms::default(), None)
}

/// The same on an operator's terms, and with what the image itself requires, where that is known.
#[must_use]
pub fn check_on(
    catalog: &Catalog,
    host: &HostFacts,
    recipe: &Recipe,
    terms: Terms,
    gate: Option<&ImageGate>,
) -> Verdict {
    KnownHost::new(catalog, host).check(catalog, recipe, terms, gate)
}

/// A host whose GPUs were looked up, so that many recipes can be asked about it.
pub(crate) struct KnownHost<'a> {
    pub facts: &'a HostFacts,
    /// Each kind of GPU once.
    gpus: Vec<(&'a Gpu, Result<KnownGpu<'a>, Refusal>)>,
}

/// GPUs that were looked up: a fleet has few models, and looking a name up takes longer than all rules together.
#[derive(Default)]
struct LookedUp<'a>(HashMap<&'a Gpu, Result<KnownGpu<'a>, Refusal>>);

impl<'a> LookedUp<'a> {
    fn known(&mut self, catalog: &'a Catalog, gpu: &'a Gpu) -> Result<KnownGpu<'a>, Refusal> {
        let known = self.0.entry(gpu);
        known
            .or_insert_with(|| rules::gpu_known(catalog, gpu))
            .clone()
    }
}

impl<'a> KnownHost<'a> {
    pub fn new(catalog: &'a Catalog, facts: &'a HostFacts) -> Self {
        Self::looked_up(catalog, facts, &mut LookedUp::default())
    }

    /// Many hosts, of whose GPUs each model is looked up once.
    pub fn all(catalog: &'a Catalog, hosts: &[&'a HostFacts]) -> Vec<Self> {
        let mut looked_up = LookedUp::default();
        hosts
            .iter()
            .map(|facts| Self::looked_up(catalog, facts, &mut looked_up))
            .collect()
    }

    fn looked_up(catalog: &'a Catalog, facts: &'a HostFacts, gpus: &mut LookedUp<'a>) -> Self {
        let mut distinct: Vec<&Gpu> = facts.gpus.iter().collect();
        distinct.sort();
        distinct.dedup_by_key(|gpu| (&gpu.name, gpu.compute_capability, gpu.class, &gpu.health));
        let gpus = distinct
            .into_iter()
            .map(|gpu| (gpu, gpus.known(catalog, gpu)))
            .collect();
        Self { facts, gpus }
    }

    /// The newest driver branch that still drives those of its GPUs that `driver` drives; none: every newer one does.
    pub fn last_branch(&self, driver: &DriverVersion) -> Option<u32> {
        let known = self
            .gpus
            .iter()
            .filter_map(|(_, known)| known.as_ref().ok());
        let last = known.filter_map(|gpu| gpu.row.last_driver_branch);
        last.filter(|last| *last >= driver.branch()).min()
    }

    /// The compat packages that run on its driver and any of its GPUs.
    pub fn packages(&self, catalog: &'a Catalog) -> BTreeSet<&'a str> {
        let known = self
            .gpus
            .iter()
            .filter_map(|(_, known)| known.as_ref().ok());
        let driver = self.facts.driver_version.as_ref();
        known
            .flat_map(|gpu| driver.into_iter().map(move |driver| (driver, gpu)))
            .flat_map(|(driver, gpu)| rules::forward_packages(catalog, driver, gpu))
            .map(|row| row.package.as_str())
            .collect()
    }

    /// The same GPUs in a host that differs otherwise.
    pub fn with<'b>(&'b self, facts: &'b HostFacts) -> KnownHost<'b> {
        KnownHost {
            facts,
            gpus: self.gpus.clone(),
        }
    }

    pub fn check(
        &self,
        catalog: &Catalog,
        recipe: &Recipe,
        terms: Terms,
        gate: Option<&ImageGate>,
    ) -> Verdict {
        let mut asked = Asked {
            catalog,
            host: self,
            terms,
            gate,
            findings: Vec::new(),
            left_out: Vec::new(),
        };
        match asked.ask(recipe) {
            Ok(compatibility) => Verdict::Accepted {
                compatibility,
                findings: asked.findings,
                left_out: asked.left_out,
            },
            Err(refusal) => Verdict::Refused {
                refusal,
                findings: asked.findings,
            },
        }
    }
}

/// One recipe being asked about, rule by rule.
struct Asked<'a, 'h> {
    catalog: &'a Catalog,
    host: &'a KnownHost<'h>,
    terms: Terms,
    gate: Option<&'a ImageGate>,
    findings: Vec<Finding>,
    left_out: Vec<GpuLeftOut>,
}

impl Asked<'_, '_> {
    fn ask(&mut self, recipe: &Recipe) -> Result<Compatibility, Refusal> {
        let facts = self.host.facts;
        let release = self
            .catalog
            .tensorflow_release(recipe.tensorflow.minor())
            .ok_or_else(|| unknown_recipe(format!("TensorFlow {}", recipe.tensorflow)))?;
        self.findings
            .push(rules::architecture(facts, recipe.architecture)?);
        self.findings.push(rules::cpu_features(facts, release)?);
        match &recipe.cuda {
            Some(stack) => self.ask_gpu(release, stack),
            None => {
                self.findings.push(rules::cpu_only(facts));
                Ok(Compatibility::Cpu)
            }
        }
    }

    fn ask_gpu(
        &mut self,
        release: &TensorflowRelease,
        stack: &CudaStack,
    ) -> Result<Compatibility, Refusal> {
        let (catalog, host) = (self.catalog, self.host);
        let facts = host.facts;
        let toolkit = catalog
            .cuda_release(&stack.installed)
            .ok_or_else(|| unknown_recipe(format!("CUDA {}", stack.installed)))?;
        self.findings.push(rules::driver_health(facts)?);
        let driver = rules::driver_present(facts)?;
        self.findings
            .extend(rules::driver_newer_than_known(catalog, driver));
        self.findings.push(rules::gpu_access(facts)?);
        // Whatever the terms: a GPU that fails takes others with it, and somebody has to look after the host.
        for (gpu, _) in &host.gpus {
            self.findings.push(rules::gpu_health(gpu)?);
        }
        // What no driver cures comes before what one does, so that nobody is told to upgrade in vain.
        let known = self.each(
            &host.gpus,
            |(gpu, _)| &gpu.name,
            |(_, known)| {
                let known = known.as_ref().map_err(Clone::clone)?;
                let findings = suits(catalog, driver, known, release, toolkit, stack)?;
                Ok((*known, findings))
            },
        )?;
        let compatibility = match &stack.compat {
            None => {
                let (compatibility, finding) =
                    rules::driver_runs_cuda(driver, facts.architecture, toolkit, &known)?;
                self.findings.push(finding);
                compatibility
            }
            Some(compat) => {
                self.findings.push(rules::forward_runs_cuda(
                    catalog, driver, toolkit, compat, &known,
                )?);
                Compatibility::Forward
            }
        };
        let (reading, compat) = (self.terms.intermediate_code, stack.compat.as_ref());
        self.each(
            &known,
            |gpu| gpu.name,
            |gpu| {
                let finding = rules::machine_code(catalog, driver, gpu, release, reading, compat)?;
                Ok((*gpu, vec![finding]))
            },
        )?;
        if let Some(gate) = self.gate {
            self.findings
                .push(rules::image_requirement(catalog, facts, gate)?);
        }
        Ok(compatibility)
    }

    /// Asks about each GPU. On terms that let some go unserved, those are noted and the rest goes on, as long as there is
    /// one; otherwise the first refusal is the answer.
    fn each<'g, T>(
        &mut self,
        gpus: &'g [T],
        name: impl Fn(&'g T) -> &'g str,
        ask: impl Fn(&'g T) -> Result<(KnownGpu<'g>, Vec<Finding>), Refusal>,
    ) -> Result<Vec<KnownGpu<'g>>, Refusal> {
        let mut served = Vec::with_capacity(gpus.len());
        let mut first = None;
        for gpu in gpus {
            match ask(gpu) {
                Ok((gpu, findings)) => {
                    self.findings.extend(findings);
                    served.push(gpu);
                }
                Err(refusal) if self.terms.mixed_gpus == MixedGpus::All => return Err(refusal),
                Err(refusal) => {
                    self.left_out.push(GpuLeftOut {
                        gpu: name(gpu).to_owned(),
                        reason: refusal.reason.clone(),
                    });
                    first.get_or_insert(refusal);
                }
            }
        }
        match first {
            Some(refusal) if served.is_empty() => Err(refusal),
            _ => Ok(served),
        }
    }
}

/// Whether the driver's branch, the CUDA libraries and TensorFlow have a GPU among theirs at all.
fn suits(
    catalog: &Catalog,
    driver: &DriverVersion,
    gpu: &KnownGpu<'_>,
    release: &TensorflowRelease,
    toolkit: &CudaToolkit,
    stack: &CudaStack,
) -> Result<Vec<Finding>, Refusal> {
    let mut findings = vec![rules::driver_still_drives(driver, gpu)?];
    rules::known_gap(catalog, gpu, release)?;
    findings.push(rules::cuda_supports_gpu(gpu, toolkit)?);
    findings.extend(rules::cudnn_supports_gpu(catalog, gpu, &stack.cudnn)?);
    rules::driver_knows_gpu(driver, gpu)?;
    Ok(findings)
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

    /// The GPUs that the image does not serve although it runs.
    #[must_use]
    pub fn left_out(&self) -> &[GpuLeftOut] {
        match self {
            Self::Accepted { left_out, .. } => left_out,
            Self::Refused { .. } => &[],
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
            Self::Forward => "forward",
            Self::Cpu => "cpu",
        })
    }
}

#[cfg(test)]
mod tests;
