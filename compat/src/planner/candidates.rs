//! The recipes that a release allows, per architecture and device, newest TensorFlow first.

use std::collections::BTreeMap;

use super::consideration::Consideration;
use super::plan::Variant;
use super::{PlanError, Question};
use crate::catalog::{Catalog, TensorflowRelease};
use crate::host::{Architecture, HostName};
use crate::policy::Preference;
use crate::recipe::{CompatPackage, Recipe, RecipeGap, RecipeId};
use crate::release::ReleaseSpec;
use crate::rules::Rule;
use crate::verdict::KnownHost;
use crate::version::TensorflowVersion;

/// What one TensorFlow release offers on one architecture.
struct Candidate {
    tensorflow: TensorflowVersion,
    /// Without a compat package, or why there is none.
    plain: Result<Recipe, RecipeGap>,
    /// With each compat package, where the policy allows them.
    with_compat: Vec<Recipe>,
}

pub(super) struct Candidates {
    gpu: BTreeMap<Architecture, Vec<Candidate>>,
    cpu: BTreeMap<Architecture, Vec<Candidate>>,
    /// The place of each recipe: newest TensorFlow first, then architecture, then without compat package before with an
    /// older before with a newer one.
    order: BTreeMap<RecipeId, usize>,
}

impl Candidates {
    pub fn new(question: &Question<'_>) -> Result<Self, PlanError> {
        let allowed = allowed(
            question.catalog,
            question.release,
            &question.policy.preference,
        )?;
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
                            let made = make(question.catalog, row, patch, architecture);
                            Candidate::new(question, patch, made)
                        })
                        .collect();
                    (architecture, candidates)
                })
                .collect::<BTreeMap<_, Vec<Candidate>>>()
        };
        let (gpu, cpu) = (each(Recipe::for_gpu), each(Recipe::for_cpu));
        let mut candidates = Self {
            gpu,
            cpu,
            order: BTreeMap::new(),
        };
        let mut recipes: Vec<&Recipe> = candidates.recipes().collect();
        recipes.sort_by(|a, b| {
            let compat = |recipe: &Recipe| {
                let stack = recipe.cuda.as_ref()?;
                stack.compat.as_ref().map(|compat| compat.cuda)
            };
            let rest = |recipe: &Recipe| (recipe.cuda.is_none(), recipe.architecture);
            b.tensorflow
                .cmp(&a.tensorflow)
                .then_with(|| rest(a).cmp(&rest(b)))
                .then_with(|| compat(a).cmp(&compat(b)))
        });
        candidates.order = recipes
            .into_iter()
            .enumerate()
            .map(|(place, recipe)| (recipe.id.clone(), place))
            .collect();
        Ok(candidates)
    }

    /// Asks the rules about every candidate for a host's devices.
    pub fn consider(&self, question: &Question<'_>, host: &KnownHost<'_>) -> Vec<Consideration> {
        if !host.facts.wants_gpu() {
            return judge(&self.cpu, question, host, |_| true).collect();
        }
        let mut considered: Vec<_> = judge(&self.gpu, question, host, |_| true).collect();
        let served = considered.iter().any(Consideration::is_accepted);
        if question.policy.cpu_fallback && !served {
            considered.extend(judge(&self.cpu, question, host, |_| true));
        }
        considered
    }

    /// The first compat package that serves the host.
    pub fn package(&self, question: &Question<'_>, host: &KnownHost<'_>) -> Option<&CompatPackage> {
        let usable = host.packages(question.catalog);
        if usable.is_empty() {
            return None;
        }
        judge(&self.gpu, question, host, |package| {
            usable.contains(package.package.as_str())
        })
        .filter(Consideration::is_accepted)
        .find_map(|accepted| {
            let stack = self.recipe(accepted.recipe()?)?.cuda.as_ref()?;
            stack.compat.as_ref()
        })
    }

    /// Whether one of them is of the TensorFlow that is preferred to others, where one is.
    pub fn have_preferred(&self, preference: &Preference) -> bool {
        let mut all = self.gpu.values().chain(self.cpu.values()).flatten();
        !matches!(preference, Preference::Pinned(_))
            || all.any(|candidate| preference.is_for(&candidate.tensorflow))
    }

    /// A recipe's place; smaller is better.
    pub fn place(&self, id: &RecipeId) -> Option<usize> {
        self.order.get(id).copied()
    }

    /// The recipe of that name.
    pub fn recipe(&self, id: &RecipeId) -> Option<&Recipe> {
        self.recipes().find(|recipe| recipe.id == *id)
    }

    /// The chosen recipes with their hosts, best first.
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
        variants.sort_by_key(|variant| self.place(&variant.recipe.id));
        variants
    }

    fn recipes(&self) -> impl Iterator<Item = &Recipe> {
        let candidates = self.gpu.values().chain(self.cpu.values()).flatten();
        candidates.flat_map(|candidate| candidate.plain.iter().chain(&candidate.with_compat))
    }
}

impl Candidate {
    /// A recipe that nothing here builds, and that is not there either, is no candidate.
    fn new(
        question: &Question<'_>,
        tensorflow: &TensorflowVersion,
        made: Result<Recipe, RecipeGap>,
    ) -> Self {
        let available = |recipe: &Recipe| {
            let stock = question.stock;
            stock.builds_for(recipe.architecture) || stock.built.contains_key(&recipe.id)
        };
        let with_compat = match &made {
            Ok(recipe) if question.policy.forward_compatibility => {
                let mut recipes = recipe.with_compat(question.catalog);
                recipes.retain(available);
                recipes
            }
            _ => Vec::new(),
        };
        let plain = made.and_then(|recipe| {
            if available(&recipe) {
                Ok(recipe)
            } else {
                Err(RecipeGap::NoBuilder {
                    tensorflow: tensorflow.clone(),
                    architecture: recipe.architecture,
                })
            }
        });
        Self {
            tensorflow: tensorflow.clone(),
            plain,
            with_compat,
        }
    }

    fn judge<'a>(
        &'a self,
        question: &'a Question<'_>,
        host: &'a KnownHost<'_>,
        wanted: impl Fn(&CompatPackage) -> bool + 'a,
    ) -> impl Iterator<Item = Consideration> + 'a {
        let considered = move |recipe: &Recipe| Consideration::Recipe {
            recipe: recipe.id.clone(),
            tensorflow: self.tensorflow.clone(),
            verdict: question.check(host, recipe),
        };
        let plain = match &self.plain {
            Ok(recipe) => considered(recipe),
            Err(gap) => Consideration::Gap {
                tensorflow: self.tensorflow.clone(),
                gap: gap.clone(),
            },
        };
        // A package is one more part that has to match, so it is taken only where the driver is what stands in the way.
        let lacks_driver = plain.refusal().is_some_and(|refusal| {
            matches!(refusal.rule, Rule::DriverRunsCuda | Rule::MachineCode)
        });
        let with_compat = self.with_compat.iter().filter(move |recipe| {
            let stack = recipe.cuda.as_ref();
            lacks_driver
                && stack
                    .and_then(|stack| stack.compat.as_ref())
                    .is_some_and(&wanted)
        });
        std::iter::once(plain).chain(with_compat.map(considered))
    }
}

/// Asks about one candidate after the other, as far as the caller wants to know, with the compat packages that it wants.
fn judge<'a>(
    candidates: &'a BTreeMap<Architecture, Vec<Candidate>>,
    question: &'a Question<'_>,
    host: &'a KnownHost<'_>,
    wanted: impl Fn(&CompatPackage) -> bool + Copy + 'a,
) -> impl Iterator<Item = Consideration> + 'a {
    candidates
        .get(&host.facts.architecture)
        .into_iter()
        .flatten()
        .flat_map(move |candidate| candidate.judge(question, host, wanted))
}

/// The newest allowed patch of each TensorFlow minor version, newest first; a pinned one instead of its minor's newest.
fn allowed<'a>(
    catalog: &'a Catalog,
    release: &ReleaseSpec,
    preference: &Preference,
) -> Result<Vec<(&'a TensorflowRelease, &'a TensorflowVersion)>, PlanError> {
    let allowed: Vec<_> = catalog
        .tensorflow_releases()
        .filter_map(|row| {
            let newest_first = row.patches.iter().rev();
            let mut allowed = newest_first.filter(|patch| release.tensorflow.allows(patch));
            let newest = allowed.clone().next()?;
            let preferred = allowed.find(|patch| preference.is_for(patch));
            Some((row, preferred.unwrap_or(newest)))
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
