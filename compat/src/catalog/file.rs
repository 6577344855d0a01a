//! What a data file may contain: any of the tables, and nothing else.

use serde::Deserialize;

use super::{
    Base, Capability, CatalogError, CudaBase, CudaToolkit, CudaWheels, CudnnSupport, DriverBranch,
    ForwardCompat, GpuProduct, RequireBrands, Symptom, TensorflowGap, TensorflowRelease,
    image::ImageRow,
};

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct CatalogFile {
    pub base: Vec<Base>,
    pub capability: Vec<Capability>,
    pub cuda: Vec<CudaToolkit>,
    pub cuda_base: Vec<CudaBase>,
    pub cuda_wheels: Vec<CudaWheels>,
    pub cudnn: Vec<CudnnSupport>,
    pub driver_branch: Vec<DriverBranch>,
    pub forward_compat: Vec<ForwardCompat>,
    pub gpu: Vec<GpuProduct>,
    pub image: Vec<ImageRow>,
    pub require_brands: Vec<RequireBrands>,
    pub symptom: Vec<Symptom>,
    pub tensorflow: Vec<TensorflowRelease>,
    pub tensorflow_gap: Vec<TensorflowGap>,
}

impl CatalogFile {
    pub fn parse(name: &str, text: &str) -> Result<Self, CatalogError> {
        toml::from_str(text).map_err(|source| CatalogError::Parse {
            file: name.to_owned(),
            source: Box::new(source),
        })
    }
}
