//! The compat libraries of an image.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::catalog::Catalog;
use crate::version::CudaVersion;

/// A `cuda-compat` package: the user-mode half of a driver of `branch`, which gives exactly CUDA `cuda` on the host branches
/// that NVIDIA lists for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CompatPackage {
    /// Its name, such as `cuda-compat-12-8`.
    pub package: String,
    /// The CUDA level that it gives.
    pub cuda: CudaVersion,
    /// The driver branch that it is half of.
    pub branch: u32,
}

impl CompatPackage {
    /// The packages that give at least `level`, oldest first.
    pub(super) fn from_level(
        catalog: &Catalog,
        level: CudaVersion,
    ) -> impl Iterator<Item = Self> + use<> {
        // Several documents speak of one package.
        let packages: BTreeMap<CudaVersion, Self> = catalog
            .forward_compat
            .rows()
            .filter(|row| row.cuda >= level && row.is_promised())
            .map(|row| {
                let package = Self {
                    package: row.package.clone(),
                    cuda: row.cuda,
                    branch: row.package_branch,
                };
                (row.cuda, package)
            })
            .collect();
        packages.into_values()
    }
}
