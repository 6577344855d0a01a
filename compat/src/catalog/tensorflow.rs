//! TensorFlow releases as their wheels are, and the bases that images of them stand on.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{Catalog, CatalogError, CudaBase, CudaWheels, Row};
use crate::host::Architecture;
use crate::version::{
    ComputeCapability, CudaVersion, CudnnVersion, GlibcVersion, PythonVersion, TensorflowMinor,
    TensorflowVersion,
};

/// One minor version of TensorFlow: a tested configuration and what its wheels contain.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TensorflowRelease {
    /// The minor version.
    pub minor: TensorflowMinor,
    /// Its patches with wheels, oldest first.
    pub patches: Vec<TensorflowVersion>,
    /// The distribution with GPU code.
    pub package: String,
    /// The architectures that the GPU code exists for.
    pub gpu_architectures: Vec<Architecture>,
    /// The distribution without GPU code, by architecture.
    #[serde(default)]
    pub cpu_packages: BTreeMap<Architecture, String>,
    /// The CUDA that the wheel was built for.
    pub cuda: CudaVersion,
    /// The cuDNN that the wheel was built for.
    pub cudnn: CudnnVersion,
    /// Where the package's own extra gives cuDNN as a range: its end. Pip then takes the newest below it.
    pub extra_cudnn_below: Option<CudnnVersion>,
    /// The [`CudaWheels`] it loads; none where no such set is known.
    pub cuda_wheels: Option<String>,
    /// The [`CudaBase`] that it runs on where there are no such wheels; none where no such base is known.
    pub cuda_base: Option<String>,
    /// Whether the wheel's run path names the folders of the CUDA wheels. If not, the image sets `LD_LIBRARY_PATH`.
    #[serde(default)]
    pub finds_cuda_wheels: bool,
    /// Pythons with a wheel of the last patch.
    pub python: Vec<PythonVersion>,
    /// Requirements to state beside the package, where its own metadata is too loose.
    #[serde(default)]
    pub companions: Vec<String>,
    /// Distributions that it needs in turn and that exist as source only.
    #[serde(default)]
    pub source_distributions: Vec<String>,
    /// The oldest C library that the wheel runs on.
    pub glibc: GlibcVersion,
    /// Whether a CPU without AVX dies of it.
    pub avx: bool,
    /// Compute capabilities with machine code.
    pub sass: Vec<ComputeCapability>,
    /// Compute capabilities with intermediate code, which a driver can compile.
    pub ptx: Vec<ComputeCapability>,
    /// Kernels that only the driver can compile.
    pub driver_compiles: Option<DriverCompiles>,
    /// The releases whose wheels were opened to see the code; none: taken from neighbours.
    pub measured_on: Option<String>,
    /// What a reader should know about the row.
    pub note: Option<String>,
    /// Fields that no primary source confirms.
    #[serde(default)]
    pub unverified_fields: Vec<String>,
    /// Where the row comes from.
    pub source: String,
}

/// Some kernels exist for these capabilities as intermediate code only.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DriverCompiles {
    /// The capabilities.
    pub capabilities: Vec<ComputeCapability>,
    /// The CUDA level that the driver itself must have to compile them.
    pub cuda: CudaVersion,
}

/// GPUs on which the official wheels are known not to run, whatever code they carry.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TensorflowGap {
    /// The compute capabilities.
    pub capabilities: Vec<ComputeCapability>,
    /// The last TensorFlow minor version that this is known of.
    pub until: TensorflowMinor,
    /// What happens.
    pub fact: String,
    /// What else could be used.
    #[serde(default)]
    pub alternatives: Vec<String>,
    /// No primary source confirms the row.
    #[serde(default)]
    pub unverified: bool,
    /// Where the row comes from.
    pub source: String,
}

/// A distribution release that an image can stand on.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Base {
    /// The distribution, such as `debian`.
    pub distribution: String,
    /// Its release, such as `bookworm`.
    pub suite: String,
    /// Its Python.
    pub python: PythonVersion,
    /// Its C library.
    pub glibc: GlibcVersion,
    /// Lower is tried first.
    pub rank: u32,
    /// Where the row comes from.
    pub source: String,
}

impl Row for TensorflowRelease {
    type Key = TensorflowMinor;

    fn key(&self) -> TensorflowMinor {
        self.minor
    }
}

impl Row for TensorflowGap {
    type Key = Vec<ComputeCapability>;

    fn key(&self) -> Vec<ComputeCapability> {
        self.capabilities.clone()
    }
}

impl Row for Base {
    type Key = (u32, String, String);

    fn key(&self) -> Self::Key {
        (self.rank, self.distribution.clone(), self.suite.clone())
    }
}

impl TensorflowRelease {
    /// The last patch.
    #[must_use]
    pub fn latest(&self) -> Option<&TensorflowVersion> {
        self.patches.last()
    }

    pub(super) fn validate(&self, catalog: &Catalog) -> Result<(), CatalogError> {
        let problem = |problem: String| CatalogError::Inconsistent {
            row: format!("[[tensorflow]] {}", self.minor),
            problem,
        };
        if self.patches.is_empty() || !self.patches.is_sorted() {
            return Err(problem("must list its patches, oldest first".to_owned()));
        }
        if let Some(stray) = self
            .patches
            .iter()
            .find(|patch| patch.minor() != self.minor)
        {
            return Err(problem(format!("lists {stray}, which is no patch of it")));
        }
        if catalog.cuda_releases(self.cuda).next().is_none() {
            return Err(problem(format!(
                "was built for CUDA {}, which has no [[cuda]] row",
                self.cuda
            )));
        }
        if let Some(name) = &self.cuda_wheels {
            let wheels = catalog.cuda_wheels.get(name).ok_or_else(|| {
                problem(format!(
                    "loads the wheels {name:?}, which have no [[cuda_wheels]] row"
                ))
            })?;
            self.validate_wheels(wheels).map_err(problem)?;
        }
        if let Some(name) = &self.cuda_base {
            let base = catalog.cuda_bases.get(name).ok_or_else(|| {
                problem(format!(
                    "runs on the base {name:?}, which has no [[cuda_base]] row"
                ))
            })?;
            self.validate_base(base).map_err(problem)?;
        }
        Ok(())
    }

    /// Installed CUDA and cuDNN must be able to stand in for what the wheel was built for.
    fn validate_wheels(&self, wheels: &CudaWheels) -> Result<(), String> {
        let installed = wheels.cuda.level();
        if installed.major() != self.cuda.major() || installed < self.cuda {
            return Err(format!(
                "was built for CUDA {}, but {:?} carries {}",
                self.cuda, wheels.name, wheels.cuda
            ));
        }
        if !wheels.cudnn.serves(&self.cudnn) {
            return Err(format!(
                "was built for cuDNN {}, but {:?} carries {}",
                self.cudnn, wheels.name, wheels.cudnn
            ));
        }
        Ok(())
    }

    /// A base brings libraries under the sonames of one CUDA level: before CUDA 11 they change with every minor.
    fn validate_base(&self, base: &CudaBase) -> Result<(), String> {
        let name = &base.name;
        if base.cuda.level() != self.cuda {
            return Err(format!(
                "was built for CUDA {}, but {name:?} brings {}",
                self.cuda, base.cuda
            ));
        }
        if !base.cudnn.serves(&self.cudnn) {
            return Err(format!(
                "was built for cuDNN {}, but {name:?} brings {}",
                self.cudnn, base.cudnn
            ));
        }
        if !self.python.contains(&base.python) {
            return Err(format!(
                "has no wheel for Python {}, which {name:?} has",
                base.python
            ));
        }
        if base.glibc < self.glibc {
            return Err(format!(
                "needs glibc {}, but {name:?} has {}",
                self.glibc, base.glibc
            ));
        }
        Ok(())
    }
}

impl Catalog {
    /// One TensorFlow minor version.
    #[must_use]
    pub fn tensorflow_release(&self, minor: TensorflowMinor) -> Option<&TensorflowRelease> {
        self.tensorflow.get(&minor)
    }

    /// All TensorFlow minor versions, newest first.
    pub fn tensorflow_releases(&self) -> impl Iterator<Item = &TensorflowRelease> {
        self.tensorflow.rows().rev()
    }

    /// The best base for a TensorFlow release: one whose Python has a wheel and whose C library is new enough.
    #[must_use]
    pub fn base_for(&self, release: &TensorflowRelease) -> Option<&Base> {
        self.bases
            .rows()
            .find(|base| release.python.contains(&base.python) && base.glibc >= release.glibc)
    }
}
