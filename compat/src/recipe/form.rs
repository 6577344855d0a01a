//! A recipe as JSON: flat, so that `cuda` and `cudnn` read as the versions they are, or null for the CPU.

use serde::{Deserialize, Serialize};

use super::{BaseImage, CompatPackage, CudaStack, Recipe, RecipeId};
use crate::host::Architecture;
use crate::version::{CudaRelease, CudaVersion, CudnnVersion, PythonVersion, TensorflowVersion};

#[derive(Serialize, Deserialize)]
pub(super) struct RecipeForm {
    id: RecipeId,
    tensorflow: TensorflowVersion,
    /// The level, as people name it.
    cuda: Option<CudaVersion>,
    cuda_release: Option<CudaRelease>,
    cuda_built_for: Option<CudaVersion>,
    cudnn: Option<CudnnVersion>,
    #[serde(default)]
    needs_library_path: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    compat: Option<CompatPackage>,
    python: PythonVersion,
    base: BaseImage,
    architecture: Architecture,
    requirements: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    source_distributions: Vec<String>,
}

/// CUDA fields of which some are set and others are not, or do not agree.
#[derive(Debug, thiserror::Error)]
#[error(
    "recipe {0}: cuda, cuda_release, cuda_built_for, cudnn and compat belong together: all of one toolkit, or all null"
)]
pub(super) struct HalfCuda(RecipeId);

impl From<Recipe> for RecipeForm {
    fn from(recipe: Recipe) -> Self {
        let needs_library_path = recipe
            .cuda
            .as_ref()
            .is_some_and(|stack| stack.needs_library_path);
        let compat = recipe.cuda.as_ref().and_then(|stack| stack.compat.clone());
        let (cuda, cuda_release, cuda_built_for, cudnn) = match recipe.cuda {
            Some(stack) => (
                Some(stack.installed.level()),
                Some(stack.installed),
                Some(stack.built_for),
                Some(stack.cudnn),
            ),
            None => (None, None, None, None),
        };
        Self {
            id: recipe.id,
            tensorflow: recipe.tensorflow,
            cuda,
            cuda_release,
            cuda_built_for,
            cudnn,
            needs_library_path,
            compat,
            python: recipe.python,
            base: recipe.base,
            architecture: recipe.architecture,
            requirements: recipe.requirements,
            source_distributions: recipe.source_distributions,
        }
    }
}

impl TryFrom<RecipeForm> for Recipe {
    type Error = HalfCuda;

    fn try_from(form: RecipeForm) -> Result<Self, HalfCuda> {
        let cuda = match (
            form.cuda,
            form.cuda_release,
            form.cuda_built_for,
            form.cudnn,
        ) {
            (None, None, None, None) if form.compat.is_none() => None,
            (Some(level), Some(installed), Some(built_for), Some(cudnn))
                if installed.level() == level =>
            {
                Some(CudaStack {
                    installed,
                    built_for,
                    cudnn,
                    needs_library_path: form.needs_library_path,
                    compat: form.compat,
                })
            }
            _ => return Err(HalfCuda(form.id)),
        };
        Ok(Self {
            id: form.id,
            tensorflow: form.tensorflow,
            cuda,
            python: form.python,
            architecture: form.architecture,
            base: form.base,
            requirements: form.requirements,
            source_distributions: form.source_distributions,
        })
    }
}
