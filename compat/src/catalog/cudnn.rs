//! Which GPUs cuDNN has kernels for.

use serde::Deserialize;

use super::{Catalog, Row};
use crate::version::{ComputeCapability, CudnnVersion};

/// The smallest compute capability that cuDNN serves from one release on.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CudnnSupport {
    /// The first release that this holds for; it holds until the next row's.
    pub from: CudnnVersion,
    /// The smallest compute capability with kernels.
    pub capability_min: ComputeCapability,
    /// What a reader should know about the row.
    pub note: Option<String>,
    /// Fields that no primary source confirms.
    #[serde(default)]
    pub unverified_fields: Vec<String>,
    /// Where the row comes from.
    pub source: String,
}

impl Row for CudnnSupport {
    type Key = CudnnVersion;

    fn key(&self) -> CudnnVersion {
        self.from.clone()
    }
}

impl Catalog {
    /// The row that holds for a cuDNN version; none for one older than the catalog.
    #[must_use]
    pub fn cudnn_support(&self, cudnn: &CudnnVersion) -> Option<&CudnnSupport> {
        self.cudnn.rows().rfind(|row| row.from <= *cudnn)
    }
}
