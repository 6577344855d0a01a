//! The sourced facts: CUDA toolkits, GPUs, drivers, TensorFlow releases, wheel sets and bases.
//!
//! They are data files, one per noun, because NVIDIA and TensorFlow publish new rows monthly and an operator must be able
//! to add one without a compiler. [`Catalog::builtin`] is what this crate ships; [`Catalog::with_overlay`] puts an
//! operator's file on top: a row with the same key replaces ours, any other is added. A key that no row has is an error,
//! so that a misspelt one cannot pass for a fact.

mod cuda;
mod cuda_base;
mod cudnn;
mod driver;
mod file;
mod gpu;
mod image;
mod image_tag;
mod lookup;
mod symptom;
mod table;
mod tensorflow;

use std::sync::LazyLock;

pub use cuda::{CudaToolkit, CudaWheels};
pub use cuda_base::CudaBase;
pub use cudnn::CudnnSupport;
pub use driver::{BranchKind, DriverBranch, ForwardCompat};
pub use gpu::{Capability, ForwardSupport, GpuClass, GpuProduct, Rebrand};
pub use image::{Image, ImageStatus, RequireBrands};
pub use image_tag::{ImageLookupError, ImageTag};
pub use lookup::GpuLookupError;
pub use symptom::Symptom;
pub use table::{Row, Table};
pub use tensorflow::{Base, DriverCompiles, TensorflowGap, TensorflowRelease};

use file::CatalogFile;
use image::ImageRow;

/// Every fact that the rules and the planner use. Cheap to share, never changed in place.
#[derive(Debug, Clone, Default)]
pub struct Catalog {
    pub(crate) cuda: Table<CudaToolkit>,
    pub(crate) cuda_bases: Table<CudaBase>,
    pub(crate) cuda_wheels: Table<CudaWheels>,
    pub(crate) cudnn: Table<CudnnSupport>,
    pub(crate) capabilities: Table<Capability>,
    pub(crate) gpus: Table<GpuProduct>,
    pub(crate) driver_branches: Table<DriverBranch>,
    pub(crate) forward_compat: Table<ForwardCompat>,
    pub(crate) tensorflow: Table<TensorflowRelease>,
    pub(crate) tensorflow_gaps: Table<TensorflowGap>,
    pub(crate) bases: Table<Base>,
    pub(crate) images: Table<Image>,
    pub(crate) require_brands: Table<RequireBrands>,
    pub(crate) symptoms: Table<Symptom>,
}

/// A data file that cannot become part of the catalog.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// Not TOML, or a row with an unknown, missing or malformed key.
    #[error("cannot read the catalog file {file}")]
    Parse {
        /// The file's name, as the caller gave it.
        file: String,
        /// What the parser says, with line and column.
        source: Box<toml::de::Error>,
    },
    /// A row that contradicts another one.
    #[error("the catalog does not hold together: {row} {problem}")]
    Inconsistent {
        /// The row, such as `[[tensorflow]] 2.15`.
        row: String,
        /// What is wrong with it.
        problem: String,
    },
}

const BUILTIN: [(&str, &str); 11] = [
    ("base.toml", include_str!("../data/base.toml")),
    ("cuda.toml", include_str!("../data/cuda.toml")),
    ("cuda_base.toml", include_str!("../data/cuda_base.toml")),
    ("cudnn.toml", include_str!("../data/cudnn.toml")),
    ("driver.toml", include_str!("../data/driver.toml")),
    ("forward.toml", include_str!("../data/forward.toml")),
    ("gpu.toml", include_str!("../data/gpu.toml")),
    ("image.toml", include_str!("../data/image.toml")),
    ("symptom.toml", include_str!("../data/symptom.toml")),
    ("tensorflow.toml", include_str!("../data/tensorflow.toml")),
    ("wheels.toml", include_str!("../data/wheels.toml")),
];

impl Catalog {
    /// The catalog that this crate ships.
    #[must_use]
    pub fn builtin() -> &'static Self {
        static CATALOG: LazyLock<Catalog> = LazyLock::new(|| {
            #[expect(
                clippy::expect_used,
                reason = "the files are part of the program, and a test reads them"
            )]
            Catalog::read_builtin().expect("the built-in catalog is well formed")
        });
        &CATALOG
    }

    fn read_builtin() -> Result<Self, CatalogError> {
        let mut catalog = Self::default();
        for (name, text) in BUILTIN {
            catalog.merge(CatalogFile::parse(name, text)?);
        }
        catalog.validated()
    }

    /// This catalog with the rows of an operator's file on top. `file` names it in errors; `text` is its content.
    ///
    /// # Errors
    /// If the text is not a catalog file, or its rows do not fit the others.
    pub fn with_overlay(&self, file: &str, text: &str) -> Result<Self, CatalogError> {
        let mut catalog = self.clone();
        catalog.merge(CatalogFile::parse(file, text)?);
        catalog.validated()
    }

    fn merge(&mut self, file: CatalogFile) {
        self.cuda.merge(file.cuda);
        self.cuda_bases.merge(file.cuda_base);
        self.cuda_wheels.merge(file.cuda_wheels);
        self.cudnn.merge(file.cudnn);
        self.capabilities.merge(file.capability);
        self.gpus.merge(file.gpu);
        self.driver_branches.merge(file.driver_branch);
        self.forward_compat.merge(file.forward_compat);
        self.tensorflow.merge(file.tensorflow);
        self.tensorflow_gaps.merge(file.tensorflow_gap);
        self.bases.merge(file.base);
        let images = file.image.into_iter().flat_map(ImageRow::each);
        self.images.merge(images.collect());
        self.require_brands.merge(file.require_brands);
        self.symptoms.merge(file.symptom);
    }

    /// What one row says about another must be true of it; otherwise planning would fail late and far from the cause.
    fn validated(self) -> Result<Self, CatalogError> {
        for release in self.tensorflow.rows() {
            release.validate(&self)?;
        }
        for base in self.cuda_bases.rows() {
            base.validate(&self)?;
        }
        for wheels in self.cuda_wheels.rows() {
            wheels.validate(&self)?;
        }
        for gpu in self.gpus.rows() {
            gpu.validate(&self)?;
        }
        for image in self.images.rows() {
            image.validate(&self)?;
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests;
