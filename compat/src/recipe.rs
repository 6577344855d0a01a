//! Everything that is asked of one image, and how the catalog makes recipes for a TensorFlow release.

mod base;
mod compat;
mod form;
mod gap;
mod id;

use serde::{Deserialize, Serialize};

use crate::catalog::{Catalog, TensorflowRelease};
use crate::host::Architecture;
use crate::version::{CudaRelease, CudaVersion, CudnnVersion, PythonVersion, TensorflowVersion};

pub use base::{BaseImage, BaseImageError};
pub use compat::CompatPackage;
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
    /// The user-mode half of a newer driver, in the image; none: the host's own driver runs the CUDA.
    pub compat: Option<CompatPackage>,
}

impl Recipe {
    /// The recipe of that name, whatever release asked for it; none: the catalog has no such recipe.
    #[must_use]
    pub fn named(catalog: &Catalog, id: &RecipeId, architecture: Architecture) -> Option<Self> {
        let tensorflow = id.tensorflow()?;
        let release = catalog.tensorflow_release(tensorflow.minor())?;
        let cpu = Self::for_cpu(catalog, release, &tensorflow, architecture).ok();
        let gpu = Self::for_gpu(catalog, release, &tensorflow, architecture).ok();
        let with_compat = gpu
            .iter()
            .flat_map(|gpu| gpu.with_compat(catalog))
            .collect::<Vec<_>>();
        cpu.into_iter()
            .chain(gpu)
            .chain(with_compat)
            .find(|recipe| recipe.id == *id)
    }

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
        let wheels = release.cuda_wheels.as_ref();
        let wheels = wheels.and_then(|name| catalog.cuda_wheels.get(name));
        let base = release.cuda_base.as_ref();
        let base = base.and_then(|name| catalog.cuda_base(name));
        let stack = |installed: &CudaRelease, cudnn: &CudnnVersion, needs_library_path| CudaStack {
            installed: installed.clone(),
            built_for: release.cuda,
            cudnn: cudnn.clone(),
            needs_library_path,
            compat: None,
        };
        let mut requirements = vec![format!("{}=={tensorflow}", release.package)];
        requirements.extend(release.companions.iter().cloned());
        let (ground, stack) = match (wheels, base) {
            (Some(wheels), _) => {
                requirements.extend(wheels.requirements.iter().cloned());
                let stack = stack(&wheels.cuda, &wheels.cudnn, !release.finds_cuda_wheels);
                (Ground::distribution(catalog, release, tensorflow)?, stack)
            }
            (None, Some(base)) => {
                let ground = Ground {
                    base: BaseImage::Imported(base.name.clone()),
                    python: base.python,
                };
                // Its own linker cache names the libraries, as NVIDIA's packages leave it.
                (ground, stack(&base.cuda, &base.cudnn, false))
            }
            (None, None) => {
                return Err(RecipeGap::NoCudaWheels {
                    tensorflow: tensorflow.clone(),
                    cuda: release.cuda,
                });
            }
        };
        Ok(Self {
            id: RecipeId::of(tensorflow, Some(&stack), architecture),
            tensorflow: tensorflow.clone(),
            cuda: Some(stack),
            python: ground.python,
            architecture,
            base: ground.base,
            requirements,
            source_distributions: release.source_distributions.clone(),
        })
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
        let ground = Ground::distribution(catalog, release, tensorflow)?;
        Ok(Self {
            id: RecipeId::of(tensorflow, None, architecture),
            tensorflow: tensorflow.clone(),
            cuda: None,
            python: ground.python,
            architecture,
            base: ground.base,
            requirements,
            source_distributions: release.source_distributions.clone(),
        })
    }

    /// The same with each `cuda-compat` package that gives at least the installed CUDA, oldest package first: NVIDIA
    /// documents no minor-version compatibility on top of one.
    #[must_use]
    pub fn with_compat(&self, catalog: &Catalog) -> Vec<Self> {
        let Some(stack) = &self.cuda else {
            return Vec::new();
        };
        CompatPackage::from_level(catalog, stack.installed.level())
            .map(|package| {
                let stack = CudaStack {
                    compat: Some(package),
                    ..stack.clone()
                };
                Self {
                    id: RecipeId::of(&self.tensorflow, Some(&stack), self.architecture),
                    cuda: Some(stack),
                    ..self.clone()
                }
            })
            .collect()
    }
}

/// A base and its Python.
struct Ground {
    base: BaseImage,
    python: PythonVersion,
}

impl Ground {
    fn distribution(
        catalog: &Catalog,
        release: &TensorflowRelease,
        tensorflow: &TensorflowVersion,
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
            base: BaseImage::distribution(&base.distribution, &base.suite),
            python: base.python,
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
