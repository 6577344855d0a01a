//! CUDA toolkits, and the wheels that carry their libraries.

use serde::Deserialize;

use super::{Catalog, CatalogError, Row};
use crate::version::{ComputeCapability, CudaRelease, CudaVersion, CudnnVersion, DriverVersion};

/// One toolkit release: the drivers it runs on and the GPUs it knows.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CudaToolkit {
    /// The release, updates apart: 12.2.0 and 12.2.2 need different drivers.
    pub release: CudaRelease,
    /// The oldest Linux driver that runs it natively; none where only a branch is published.
    pub driver: Option<DriverVersion>,
    /// The same on aarch64, where it differs.
    pub driver_aarch64: Option<DriverVersion>,
    /// The oldest driver that runs it by minor-version compatibility; none before CUDA 11.
    pub minor_floor: Option<DriverVersion>,
    /// The smallest compute capability it knows.
    pub capability_min: ComputeCapability,
    /// The largest compute capability it knows.
    pub capability_max: ComputeCapability,
    /// What a reader should know about the row.
    pub note: Option<String>,
    /// No primary source confirms the row.
    #[serde(default)]
    pub unverified: bool,
    /// Where the row comes from.
    pub source: String,
}

/// An exact set of wheels that together are the CUDA libraries of an image.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CudaWheels {
    /// The set's name.
    pub name: String,
    /// The toolkit release whose libraries these are.
    pub cuda: CudaRelease,
    /// The cuDNN among them.
    pub cudnn: CudnnVersion,
    /// The wheels, each pinned to one version.
    pub requirements: Vec<String>,
    /// What a reader should know about the row.
    pub note: Option<String>,
    /// Where the row comes from.
    pub source: String,
}

impl Row for CudaToolkit {
    type Key = CudaRelease;

    fn key(&self) -> CudaRelease {
        self.release.clone()
    }
}

impl Row for CudaWheels {
    type Key = String;

    fn key(&self) -> String {
        self.name.clone()
    }
}

impl CudaWheels {
    pub(super) fn validate(&self, catalog: &Catalog) -> Result<(), CatalogError> {
        let problem = |problem| CatalogError::Inconsistent {
            row: format!("[[cuda_wheels]] {}", self.name),
            problem,
        };
        if catalog.cuda.get(&self.cuda).is_none() {
            return Err(problem(format!(
                "carries CUDA {}, which has no [[cuda]] row",
                self.cuda
            )));
        }
        match self
            .requirements
            .iter()
            .find(|requirement| !requirement.contains("=="))
        {
            Some(loose) => Err(problem(format!(
                "must pin exact versions, but asks for {loose:?}"
            ))),
            None => Ok(()),
        }
    }
}

impl Catalog {
    /// One toolkit release.
    #[must_use]
    pub fn cuda_release(&self, release: &CudaRelease) -> Option<&CudaToolkit> {
        self.cuda.get(release)
    }

    /// The releases of one level, oldest first.
    pub fn cuda_releases(&self, level: CudaVersion) -> impl Iterator<Item = &CudaToolkit> {
        self.cuda
            .rows()
            .filter(move |toolkit| toolkit.release.level() == level)
    }
}
