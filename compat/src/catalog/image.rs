//! NVIDIA's CUDA images: what a tag holds, whether it can still be pulled, and what it asks of a host.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{Catalog, CatalogError, Row};
use crate::gate::ImageGate;
use crate::host::Architecture;
use crate::require::Requirement;
use crate::version::{CudaRelease, CudnnVersion};

/// The tags of one CUDA release on one distribution.
#[derive(Debug, Clone)]
pub struct Image {
    /// The release, as the tag writes it.
    pub cuda: CudaRelease,
    /// The distribution, as the tag writes it, such as `ubuntu22.04`.
    pub distribution: String,
    /// What images there are: `base`, `runtime`, `devel`, `cudnn-runtime` and so on.
    pub flavours: Vec<String>,
    /// The cuDNN of the flavours that begin with a word: `cudnn8` → 8.9.6.50.
    pub cudnn: BTreeMap<String, CudnnVersion>,
    /// Whether it can be pulled.
    pub status: ImageStatus,
    /// The month in which it was deleted, where known.
    pub deleted_since: Option<String>,
    /// `NVIDIA_REQUIRE_CUDA` for each architecture, brand sets not yet written out.
    require: Require,
    /// What a reader should know about the row.
    pub note: Option<String>,
    /// Where the row comes from.
    pub source: String,
}

/// Whether NVIDIA's public registries still have a tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ImageStatus {
    /// They have it, and it gets updates.
    Supported,
    /// They have it, and it gets no updates.
    Unsupported,
    /// They have it no more.
    Deleted,
    /// Others build on it; NVIDIA's list that the catalog was made from is older.
    Unverified,
}

/// Rows as a data file has them: one for several distributions.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ImageRow {
    cuda: CudaRelease,
    distributions: Vec<String>,
    flavours: Vec<String>,
    #[serde(default)]
    cudnn: BTreeMap<String, CudnnVersion>,
    status: ImageStatus,
    deleted_since: Option<String>,
    #[serde(default)]
    require: Require,
    note: Option<String>,
    source: String,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Require {
    x86_64: Option<String>,
    aarch64: Option<String>,
}

/// Brands that NVIDIA's images list together for a driver branch.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RequireBrands {
    /// The set's name in this catalog.
    pub name: String,
    /// The brands, in the order in which the images list them.
    pub brands: Vec<String>,
    /// Where the row comes from.
    pub source: String,
}

impl Row for Image {
    type Key = (CudaRelease, String);

    fn key(&self) -> Self::Key {
        (self.cuda.clone(), self.distribution.clone())
    }
}

impl Row for RequireBrands {
    type Key = String;

    fn key(&self) -> String {
        self.name.clone()
    }
}

impl ImageRow {
    pub(super) fn each(self) -> impl Iterator<Item = Image> {
        self.distributions
            .clone()
            .into_iter()
            .map(move |distribution| Image {
                cuda: self.cuda.clone(),
                distribution,
                flavours: self.flavours.clone(),
                cudnn: self.cudnn.clone(),
                status: self.status,
                deleted_since: self.deleted_since.clone(),
                require: self.require.clone(),
                note: self.note.clone(),
                source: self.source.clone(),
            })
    }
}

impl Image {
    /// Whether the tag can still be pulled, in a sentence's part; none: it can, and is kept up to date.
    #[must_use]
    pub fn warning(&self) -> Option<String> {
        match (self.status, &self.deleted_since) {
            (ImageStatus::Supported, _) => None,
            (ImageStatus::Unsupported, _) => {
                Some("NVIDIA no longer updates it and will delete it".to_owned())
            }
            (ImageStatus::Deleted, Some(since)) => Some(format!(
                "NVIDIA deleted it from the public registries in {since}"
            )),
            (ImageStatus::Deleted, None) => {
                Some("NVIDIA has deleted it from the public registries".to_owned())
            }
            (ImageStatus::Unverified, _) => {
                Some("it is newer than the list that the catalog was made from".to_owned())
            }
        }
    }

    /// The text of `NVIDIA_REQUIRE_CUDA`; none: not known, or there is no image for the architecture.
    #[must_use]
    pub fn require(&self, catalog: &Catalog, architecture: Architecture) -> Option<String> {
        let compact = match architecture {
            Architecture::X86_64 => self.require.x86_64.as_ref(),
            Architecture::Aarch64 => self.require.aarch64.as_ref(),
        };
        catalog.written_out(compact?).ok()
    }

    /// What the image's environment says on an architecture; none as for [`Image::require`].
    #[must_use]
    pub fn gate(&self, catalog: &Catalog, architecture: Architecture) -> Option<ImageGate> {
        let require = self.require(catalog, architecture)?;
        let environment = [
            format!("CUDA_VERSION={}", self.cuda),
            format!("NVIDIA_REQUIRE_CUDA={require}"),
            "NVIDIA_VISIBLE_DEVICES=all".to_owned(),
        ];
        Some(ImageGate::from_environment(
            environment.iter().map(String::as_str),
        ))
    }

    pub(super) fn validate(&self, catalog: &Catalog) -> Result<(), CatalogError> {
        let problem = |problem| CatalogError::Inconsistent {
            row: format!("[[image]] {}-{}", self.cuda, self.distribution),
            problem,
        };
        for compact in [&self.require.x86_64, &self.require.aarch64]
            .into_iter()
            .flatten()
        {
            let text = catalog.written_out(compact).map_err(problem)?;
            if let Err(error) = text.parse::<Requirement>() {
                return Err(problem(format!("requires what no host can read: {error}")));
            }
        }
        let is_flavour = |word: &String| {
            let start = format!("{word}-");
            self.flavours
                .iter()
                .any(|flavour| flavour.starts_with(&start))
        };
        match self.cudnn.keys().find(|word| !is_flavour(word)) {
            Some(word) => Err(problem(format!(
                "has a cuDNN for {word}, and no such flavour"
            ))),
            None => Ok(()),
        }
    }
}

impl Catalog {
    /// A requirement with each `SET@BRANCH` written out as the images have it.
    fn written_out(&self, compact: &str) -> Result<String, String> {
        let mut words = Vec::new();
        for word in compact.split(' ') {
            let Some((name, branch)) = word.split_once('@') else {
                words.push(word.to_owned());
                continue;
            };
            let set = self
                .require_brands
                .get(&name.to_owned())
                .ok_or_else(|| format!("names {name:?}, which has no [[require_brands]] row"))?;
            let next = branch
                .parse::<u32>()
                .ok()
                .and_then(|branch| branch.checked_add(1))
                .ok_or_else(|| format!("names {branch:?}, which is no driver branch"))?;
            let alternatives = set
                .brands
                .iter()
                .map(|brand| format!("brand={brand},driver>={branch},driver<{next}"));
            words.extend(alternatives);
        }
        Ok(words.join(" "))
    }
}
