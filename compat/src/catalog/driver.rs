//! Driver branches, and the compat packages that run on them.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{Catalog, CudaToolkit, Row};
use crate::version::{ComputeCapability, CudaVersion, DriverVersion};

/// One driver branch.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DriverBranch {
    /// The branch's number, such as 535.
    pub branch: u32,
    /// The CUDA level that its drivers print.
    pub reports_cuda: CudaVersion,
    /// How NVIDIA maintains it, where known.
    pub kind: Option<BranchKind>,
    /// When it ends, as NVIDIA prints it.
    pub end_of_life: Option<String>,
    /// What a reader should know about the row.
    pub note: Option<String>,
    /// Where the CUDA level comes from.
    pub source: String,
    /// Where kind and end come from.
    pub source_of_life: Option<String>,
}

/// How a driver branch is maintained.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum BranchKind {
    /// Long-term support.
    #[serde(rename = "LTS")]
    LongTerm,
    /// Production branch.
    #[serde(rename = "PB")]
    Production,
    /// New-feature branch.
    #[serde(rename = "NFB")]
    NewFeature,
}

/// One document's word on which host branches a compat package runs.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ForwardCompat {
    /// The CUDA level that the package gives.
    pub cuda: CudaVersion,
    /// The package's name.
    pub package: String,
    /// The driver branch that the package is the user-mode half of.
    pub package_branch: u32,
    /// Host branches that it runs on.
    pub host_branches: Vec<u32>,
    /// The oldest driver within a host branch, where one is asked for.
    #[serde(default)]
    pub host_branch_min: BTreeMap<String, DriverVersion>,
    /// Host branches that the document refuses.
    #[serde(default)]
    pub refused_branches: Vec<u32>,
    /// Host branches that the document accepts and another of NVIDIA's contradicts.
    #[serde(default)]
    pub disputed_branches: Vec<u32>,
    /// The compute capabilities of the GPUs that the document limits the package to; empty: it names none.
    #[serde(default)]
    pub capabilities: Vec<ComputeCapability>,
    /// The kind of document.
    pub basis: String,
    /// No longer in NVIDIA's current guide.
    #[serde(default)]
    pub historic: bool,
    /// What a reader should know about the row.
    pub note: Option<String>,
    /// Where the row comes from.
    pub source: String,
}

impl Row for DriverBranch {
    type Key = u32;

    fn key(&self) -> u32 {
        self.branch
    }
}

impl Row for ForwardCompat {
    type Key = (CudaVersion, String, String);

    fn key(&self) -> Self::Key {
        (self.cuda, self.basis.clone(), self.source.clone())
    }
}

impl ForwardCompat {
    /// Whether the document promises that the package works. What an image's start-up check lets pass is no promise.
    #[must_use]
    pub fn is_promised(&self) -> bool {
        self.basis != "image-require"
    }

    /// Whether the document lets the package run on such GPUs.
    #[must_use]
    pub fn is_for(&self, capability: ComputeCapability) -> bool {
        self.capabilities.is_empty() || self.capabilities.contains(&capability)
    }
}

impl Catalog {
    /// The CUDA level that a driver prints, by its branch. A driver newer than the catalog counts as the newest branch
    /// known, one between two branches as the older; none for one older than all. It is the driver's own level and no
    /// promise for the GPU.
    #[must_use]
    pub fn cuda_level_of(&self, driver: &DriverVersion) -> Option<CudaVersion> {
        self.driver_branches
            .rows()
            .rfind(|row| row.branch <= driver.branch())
            .map(|row| row.reports_cuda)
    }

    /// Whether a driver's branch is newer than any that the catalog knows.
    #[must_use]
    pub fn is_newer_than_known(&self, driver: &DriverVersion) -> bool {
        self.driver_branches
            .rows()
            .next_back()
            .is_some_and(|newest| driver.branch() > newest.branch)
    }

    /// The newest toolkit that a driver runs natively, whatever the GPU: what it can compile intermediate code of.
    #[must_use]
    pub fn newest_native(&self, driver: &DriverVersion) -> Option<&CudaToolkit> {
        self.cuda.rows().rfind(|toolkit| {
            toolkit
                .driver
                .as_ref()
                .is_some_and(|needed| driver >= needed)
        })
    }
}
