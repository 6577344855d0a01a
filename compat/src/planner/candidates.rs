//! The recipes that a release allows, per architecture and device, newest TensorFlow first.

use std::collections::BTreeMap;

use super::{Consideration, PlanError, Policy, Variant};
use crate::catalog::{Catalog, TensorflowRelease};
use crate::host::{Architecture, HostFacts, HostName};
use crate::recipe::{Recipe, RecipeGap, RecipeId};
use crate::release::ReleaseSpec;
use crate::verdict::check;
use crate::version::TensorflowVersion;

/// A recipe, or why there is none, for one TensorFlow release.
type Candidate = (TensorflowVersion, Result<Recipe, RecipeGap>);

pub(super) struct Candidates {
    gpu: BTreeMap<Architecture, Vec<Candidate>>,
    cpu: BTreeMap<Architecture, Vec<Candidate>>,
}

impl Candidates {
    pub fn new(catalog: &Catalog, release: &ReleaseSpec) -> Result<Self, PlanError> {
        let allowed = allowed(catalog, release)?;
        let each = |make: fn(
            &Catalog,
            &TensorflowRelease,
            &TensorflowVersion,
            Architecture,
        ) -> Result<_, _>| {
            [Architecture::X86_64, Architecture::Aarch64]
                .into_iter()
                .map(|architecture| {
                    let candidates = allowed
                        .iter()
                        .map(|(row, patch)| {
                            ((*patch).clone(), make(catalog, row, patch, architecture))
                        })
                        .collect();
                    (architecture, candidates)
                })
                .collect()
        };
        Ok(Self {
            gpu: each(Recipe::for_gpu),
            cpu: each(Recipe::for_cpu),
        })
    }

    /// Asks the rules about every candidate for a host's devices.
    pub fn consider(
        &self,
        catalog: &Catalog,
        host: &HostFacts,
        policy: &Policy,
    ) -> Vec<Consideration> {
        let judge = |candidates: &BTreeMap<Architecture, Vec<Candidate>>| -> Vec<Consideration> {
            let candidates = candidates
                .get(&host.architecture)
                .map_or(&[][..], Vec::as_slice);
            candidates
                .iter()
                .map(|(tensorflow, candidate)| match candidate {
                    Ok(recipe) => Consideration::Recipe {
                        recipe: recipe.id.clone(),
                        tensorflow: tensorflow.clone(),
                        verdict: check(catalog, host, recipe),
                    },
                    Err(gap) => Consideration::Gap {
                        tensorflow: tensorflow.clone(),
                        gap: gap.clone(),
                    },
                })
                .collect()
        };
        if !host.wants_gpu() {
            return judge(&self.cpu);
        }
        let mut considered = judge(&self.gpu);
        let served = considered.iter().any(Consideration::is_accepted);
        if policy.cpu_fallback && !served {
            considered.extend(judge(&self.cpu));
        }
        considered
    }

    /// The recipe of that name.
    pub fn recipe(&self, id: &RecipeId) -> Option<&Recipe> {
        self.recipes().find(|recipe| recipe.id == *id)
    }

    /// The chosen recipes with their hosts, newest TensorFlow first, CUDA before CPU.
    pub fn variants(&self, mut chosen: BTreeMap<RecipeId, Vec<HostName>>) -> Vec<Variant> {
        let mut variants: Vec<Variant> = self
            .recipes()
            .filter_map(|recipe| {
                chosen.remove(&recipe.id).map(|hosts| Variant {
                    recipe: recipe.clone(),
                    hosts,
                })
            })
            .collect();
        variants.sort_by(|a, b| {
            let order =
                |variant: &Variant| (variant.recipe.cuda.is_none(), variant.recipe.architecture);
            b.recipe
                .tensorflow
                .cmp(&a.recipe.tensorflow)
                .then_with(|| order(a).cmp(&order(b)))
        });
        variants
    }

    fn recipes(&self) -> impl Iterator<Item = &Recipe> {
        self.gpu
            .values()
            .chain(self.cpu.values())
            .flatten()
            .filter_map(|(_, candidate)| candidate.as_ref().ok())
    }
}

/// The newest allowed patch of each TensorFlow minor version, newest first.
fn allowed<'a>(
    catalog: &'a Catalog,
    release: &ReleaseSpec,
) -> Result<Vec<(&'a TensorflowRelease, &'a TensorflowVersion)>, PlanError> {
    let allowed: Vec<_> = catalog
        .tensorflow_releases()
        .filter_map(|row| {
            row.patches
                .iter()
                .rfind(|patch| release.tensorflow.allows(patch))
                .map(|patch| (row, patch))
        })
        .collect();
    let (Some((newest, _)), Some((oldest, _))) = (allowed.first(), allowed.last()) else {
        let mut known = catalog
            .tensorflow_releases()
            .filter_map(TensorflowRelease::latest)
            .map(ToString::to_string);
        let newest = known.next().unwrap_or_else(|| "nothing".to_owned());
        return Err(PlanError::NothingAllowed {
            release: release.name.clone(),
            constraint: release.tensorflow.to_string(),
            oldest: known.last().unwrap_or_else(|| newest.clone()),
            newest,
        });
    };
    let (low, high) = (oldest.minor.major(), newest.minor.major());
    if low != high && !release.spans_majors {
        return Err(PlanError::SpansMajors {
            release: release.name.clone(),
            constraint: release.tensorflow.to_string(),
            low,
            high,
        });
    }
    Ok(allowed)
}
