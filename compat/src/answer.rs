//! What `tfleet compat` answers about one driver and one GPU. Its JSON form is public, and `schema/compat.v1.json`
//! describes it.

use serde::Serialize;

use crate::catalog::Catalog;
use crate::gate::{GateAnswer, ImageGate, gate_answer};
use crate::host::HostFacts;
use crate::levels::{TensorflowLevels, levels_on};
use crate::rules::{self, Finding, Refusal};
use crate::version::{CudaRelease, CudaVersion, CudnnVersion};

/// What a driver and a GPU can do. If the driver does not drive the GPU, all but the reasons is none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Answer {
    /// Whether the driver's branch still drives the GPU.
    pub gpu_supported_by_driver: bool,
    /// The highest CUDA levels.
    pub cuda: Option<CudaLevels>,
    /// The TensorFlow releases.
    pub tensorflow: Option<TensorflowLevels>,
    /// Where the newest TensorFlow's own extra would install a cuDNN without kernels for the GPU: keep it below this.
    pub cudnn_below: Option<CudnnVersion>,
    /// Whether a container of the image that was asked about starts, as far as the image's own word goes; none: no image.
    pub image: Option<GateAnswer>,
    /// What decided, and what stands in the way of more.
    pub reasons: Vec<Finding>,
}

/// The highest CUDA levels of a driver and a GPU.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CudaLevels {
    /// Run natively.
    pub native: Option<CudaVersion>,
    /// The highest release of that level.
    pub native_release: Option<CudaRelease>,
    /// By minor-version compatibility; `native` where there is none.
    pub minor: Option<CudaVersion>,
    /// With a compat package in the image, counting `minor`; none off data-centre GPUs.
    pub forward: Option<CudaVersion>,
}

impl Answer {
    /// Answers for the first GPU of a host, and for an image, where one is asked about.
    ///
    /// # Errors
    /// If the host has no driver or no GPU, or its GPU is not known: what the rule says.
    pub fn of(
        catalog: &Catalog,
        host: &HostFacts,
        gate: Option<&ImageGate>,
    ) -> Result<Self, Refusal> {
        let (driver, gpu) = rules::driver_and_gpu(host)?;
        let gpu = rules::gpu_known(catalog, gpu)?;
        let mut reasons: Vec<Finding> = rules::driver_newer_than_known(catalog, driver)
            .into_iter()
            .collect();
        match levels_on(catalog, host, driver, &gpu) {
            Ok(levels) => {
                reasons.extend(levels.findings);
                reasons.extend(gate.map(|gate| {
                    let asked = rules::image_requirement(catalog, host, gate);
                    asked.unwrap_or_else(Finding::from)
                }));
                Ok(Self {
                    gpu_supported_by_driver: true,
                    cuda: Some(CudaLevels {
                        native: levels.native,
                        native_release: levels.native_release,
                        minor: levels.minor,
                        forward: levels.forward,
                    }),
                    tensorflow: Some(levels.tensorflow),
                    cudnn_below: levels.cudnn_below,
                    image: gate.map(|gate| gate_answer(catalog, host, gate)),
                    reasons,
                })
            }
            Err(refusal) => {
                reasons.push(refusal.into());
                Ok(Self {
                    gpu_supported_by_driver: false,
                    cuda: None,
                    tensorflow: None,
                    cudnn_below: None,
                    image: None,
                    reasons,
                })
            }
        }
    }
}
