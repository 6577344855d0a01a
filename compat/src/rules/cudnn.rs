//! cuDNN to GPU.

use super::{Finding, KnownGpu, Refusal, Rule};
use crate::catalog::Catalog;
use crate::version::CudnnVersion;

/// cuDNN drops old GPUs within a major version: 9.11 has no kernels for Pascal and Volta, which TensorFlow still has.
/// A cuDNN older than the catalog's first row passes.
///
/// # Errors
/// If the GPU is older than cuDNN's kernels.
pub fn cudnn_supports_gpu(
    catalog: &Catalog,
    gpu: &KnownGpu<'_>,
    cudnn: &CudnnVersion,
) -> Result<Option<Finding>, Refusal> {
    let Some(row) = catalog.cudnn_support(cudnn) else {
        return Ok(None);
    };
    if gpu.capability() >= row.capability_min {
        let fact = format!(
            "cuDNN {cudnn} has kernels from compute capability {} on",
            row.capability_min
        );
        return Ok(Some(Finding::new(
            Rule::CudnnSupportsGpu,
            fact,
            &row.source,
        )));
    }
    Err(Refusal::new(
        Rule::CudnnSupportsGpu,
        format!(
            "cuDNN {cudnn} has no kernels for {gpu}: from {} on they begin at {}",
            row.from, row.capability_min
        ),
        format!("pin cuDNN below {}", row.from),
        &row.source,
    ))
}
