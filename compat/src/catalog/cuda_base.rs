//! Bases that bring the CUDA libraries themselves, for releases that no wheels of CUDA libraries exist for.

use serde::Deserialize;

use super::{Catalog, CatalogError, Row};
use crate::version::{CudaRelease, CudnnVersion, GlibcVersion, PythonVersion};

/// An image with a distribution's Python, CUDA libraries and cuDNN, which an operator imports or builds.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CudaBase {
    /// Its name, such as `cuda-10.1-cudnn-7.6-python-3.6`.
    pub name: String,
    /// The toolkit release whose libraries it brings, by its `[[cuda]]` row.
    pub cuda: CudaRelease,
    /// The cuDNN that it brings.
    pub cudnn: CudnnVersion,
    /// The distribution, such as `ubuntu`.
    pub distribution: String,
    /// Its release, such as `bionic`.
    pub suite: String,
    /// Its Python.
    pub python: PythonVersion,
    /// Its C library.
    pub glibc: GlibcVersion,
    /// What it must contain, and which published image it once was.
    pub note: Option<String>,
    /// Where the row comes from.
    pub source: String,
}

impl Row for CudaBase {
    type Key = String;

    fn key(&self) -> String {
        self.name.clone()
    }
}

impl CudaBase {
    pub(super) fn validate(&self, catalog: &Catalog) -> Result<(), CatalogError> {
        match catalog.cuda.get(&self.cuda) {
            Some(_) => Ok(()),
            None => Err(CatalogError::Inconsistent {
                row: format!("[[cuda_base]] {}", self.name),
                problem: format!("brings CUDA {}, which has no [[cuda]] row", self.cuda),
            }),
        }
    }
}

impl Catalog {
    /// A base that brings its CUDA libraries.
    #[must_use]
    pub fn cuda_base(&self, name: &str) -> Option<&CudaBase> {
        self.cuda_bases.get(&name.to_owned())
    }
}
