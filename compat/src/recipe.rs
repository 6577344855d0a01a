//! Everything that is asked of one image, and how the catalog makes recipes for a TensorFlow release.

mod base;
mod form;
mod gap;
mod id;

use serde::{Deserialize, Serialize};

use crate::catalog::{Catalog, TensorflowRelease};
use crate::host::Architecture;
use crate::version::{CudaRelease, CudaVersion, CudnnVersion, PythonVersion, TensorflowVersion};

pub use base::{BaseImage, BaseImageError};
pub use gap::{Device, RecipeGap};
pub use id::{RecipeId, RecipeIdError};

/// What an image must contain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "form::RecipeForm", try_from = "form::RecipeForm")]
pub struct Recipe {
    /// Its name, made of what follows.
    pub id: RecipeId,
    /// The TensorFlow release.
    pub tensorflow: TensorflowVersion,
    /// The CUDA libraries; none: the image computes on the CPU.
    pub cuda: Option<CudaStack>,
    /// The Python.
    pub python: PythonVersion,
    /// The CPU architecture.
    pub architecture: Architecture,
    /// What the image stands on.
    pub base: BaseImage,
    /// The top-level Python requirements, in PEP 508 form; what they need in turn is the lock's work.
    pub requirements: Vec<String>,
    /// Distributions among what the lock will find that exist as source only, and must be built; all others have wheels.
    pub source_distributions: Vec<String>,
}

/// The CUDA side of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CudaStack {
    /// The toolkit release whose libraries are installed.
    pub installed: CudaRelease,
    /// The CUDA that the TensorFlow wheel was built for; never newer than `installed`.
    pub built_for: CudaVersion,
    /// The cuDNN that is installed.
    pub cudnn: CudnnVersion,
    /// TensorFlow does not look into the CUDA wheels by itself: the image sets `LD_LIBRARY_PATH` to the `lib` folder of
    /// each package below `site-packages/nvidia`.
    pub needs_library_path: bool,
}

impl Recipe {
    /// The recipe that computes on GPUs.
    ///
    /// # Errors
    /// If the catalog lacks something for it.
    pub fn for_gpu(
        catalog: &Catalog,
        release: &TensorflowRelease,
        tensorflow: &TensorflowVersion,
        architecture: Architecture,
    ) -> Result<Self, RecipeGap> {
        if !release.gpu_architectures.contains(&architecture) {
            return Err(no_wheel(tensorflow, Device::Gpu, architecture));
        }
        let wheels = release
            .cuda_wheels
            .as_ref()
            .and_then(|name| catalog.cuda_wheels.get(name))
            .ok_or_else(|| RecipeGap::NoCudaWheels {
                tensorflow: tensorflow.clone(),
                cuda: release.cuda,
            })?;
        let stack = CudaStack {
            installed: wheels.cuda.clone(),
            built_for: release.cuda,
            cudnn: wheels.cudnn.clone(),
            needs_library_path: !release.finds_cuda_wheels,
        };
        let mut requirements = vec![format!("{}=={tensorflow}", release.package)];
        requirements.extend(release.companions.iter().cloned());
        requirements.extend(wheels.requirements.iter().cloned());
        Self::on_base(
            catalog,
            release,
            tensorflow,
            architecture,
            Some(stack),
            requirements,
        )
    }

    /// The recipe that computes on the CPU.
    ///
    /// # Errors
    /// If the catalog lacks something for it.
    pub fn for_cpu(
        catalog: &Catalog,
        release: &TensorflowRelease,
        tensorflow: &TensorflowVersion,
        architecture: Architecture,
    ) -> Result<Self, RecipeGap> {
        let package = release
            .cpu_packages
            .get(&architecture)
            .ok_or_else(|| no_wheel(tensorflow, Device::Cpu, architecture))?;
        let mut requirements = vec![format!("{package}=={tensorflow}")];
        requirements.extend(release.companions.iter().cloned());
        Self::on_base(
            catalog,
            release,
            tensorflow,
            architecture,
            None,
            requirements,
        )
    }

    fn on_base(
        catalog: &Catalog,
        release: &TensorflowRelease,
        tensorflow: &TensorflowVersion,
        architecture: Architecture,
        cuda: Option<CudaStack>,
        requirements: Vec<String>,
    ) -> Result<Self, RecipeGap> {
        let base = catalog.base_for(release).ok_or_else(|| RecipeGap::NoBase {
            tensorflow: tensorflow.clone(),
            python: release
                .python
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join(", "),
        })?;
        Ok(Self {
            id: RecipeId::of(tensorflow, cuda.as_ref(), architecture),
            tensorflow: tensorflow.clone(),
            cuda,
            python: base.python,
            architecture,
            base: BaseImage {
                distribution: base.distribution.clone(),
                suite: base.suite.clone(),
            },
            requirements,
            source_distributions: release.source_distributions.clone(),
        })
    }
}

fn no_wheel(
    tensorflow: &TensorflowVersion,
    device: Device,
    architecture: Architecture,
) -> RecipeGap {
    RecipeGap::NoWheel {
        tensorflow: tensorflow.clone(),
        device,
        architecture,
    }
}

#[cfg(test)]
mod tests;
