//! Finding an image by a reference as people write it.

use std::cmp::Reverse;

use super::{Catalog, Image, ImageStatus};
use crate::version::{CudaRelease, CudnnVersion};

/// One tag of NVIDIA's.
#[derive(Debug, Clone)]
pub struct ImageTag<'a> {
    /// The tag, such as `12.4.1-base-ubuntu22.04`.
    pub tag: String,
    /// What is in it beside CUDA's runtime, such as `cudnn-devel`.
    pub flavour: &'a str,
    /// What is known about the release on the distribution.
    pub image: &'a Image,
}

/// Why a reference does not say which image is meant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImageLookupError {
    /// Another repository than NVIDIA's for CUDA.
    #[error(
        "{reference:?} is not one of NVIDIA's CUDA images (nvidia/cuda:TAG), so what it requires is not known: \
         give its NVIDIA_REQUIRE_CUDA instead"
    )]
    OtherRepository {
        /// The reference.
        reference: String,
    },
    /// A repository and no tag.
    #[error(
        "{reference:?} names no tag: write one out, such as nvidia/cuda:12.4.1-base-ubuntu22.04"
    )]
    NoTag {
        /// The reference.
        reference: String,
    },
    /// No such tag.
    #[error("no image nvidia/cuda:{tag} is known; nearest are {}", candidates.join(", "))]
    UnknownTag {
        /// The tag.
        tag: String,
        /// Tags like it, the nearest first.
        candidates: Vec<String>,
    },
}

const REPOSITORY: &str = "nvidia/cuda";
const CANDIDATES: usize = 4;

impl ImageTag<'_> {
    /// The cuDNN in the image; none where there is none, or its version is not known.
    #[must_use]
    pub fn cudnn(&self) -> Option<&CudnnVersion> {
        let (word, _) = self.flavour.split_once('-')?;
        self.image.cudnn.get(word)
    }
}

impl Catalog {
    /// The image that a reference means: a tag alone, or with `nvidia/cuda:`, a registry before it and a digest behind.
    ///
    /// # Errors
    /// If it is in another repository, has no tag, or no such tag is known.
    pub fn image(&self, reference: &str) -> Result<ImageTag<'_>, ImageLookupError> {
        let tag = tag_of(reference)?;
        let unknown = || ImageLookupError::UnknownTag {
            tag: tag.to_owned(),
            candidates: self.nearest(tag),
        };
        let asked = Parts::of(tag).ok_or_else(unknown)?;
        self.images
            .rows()
            .filter(|image| image.cuda.to_string() == asked.cuda)
            .filter(|image| image.distribution == asked.distribution)
            .find_map(|image| {
                let flavour = image
                    .flavours
                    .iter()
                    .find(|flavour| *flavour == asked.flavour)?;
                Some(ImageTag {
                    tag: tag.to_owned(),
                    flavour,
                    image,
                })
            })
            .ok_or_else(unknown)
    }

    /// Every image that is known, by release and distribution.
    pub fn images(&self) -> impl Iterator<Item = &Image> {
        self.images.rows()
    }

    /// Tags that can be pulled and are like this one.
    fn nearest(&self, tag: &str) -> Vec<String> {
        let mut words = tag.split('-');
        let release: Option<CudaRelease> = words.next().and_then(|word| word.parse().ok());
        let rest: Vec<&str> = words.collect();
        let likeness = |image: &Image, flavour: &str| {
            let asked_for = tag.split('-').next().unwrap_or_default();
            let cuda = release.as_ref().map_or(0, |release| {
                let (asked, known) = (release.level(), image.cuda.level());
                if asked_for == image.cuda.to_string() {
                    7
                } else if asked == known {
                    5
                } else if asked.major() == known.major() {
                    2
                } else {
                    0
                }
            });
            let distribution = rest.last().map_or(0, |asked| {
                if *asked == image.distribution {
                    3
                } else if family(asked) == family(&image.distribution) {
                    1
                } else {
                    0
                }
            });
            let parts: Vec<&str> = flavour.split('-').collect();
            let other = parts.iter().filter(|part| !rest.contains(part)).count();
            let same = parts.len() - other;
            let whole = if other == 0 { 2 } else { 0 };
            (cuda + distribution + whole, Reverse(other), same)
        };
        let mut known: Vec<_> = self
            .images
            .rows()
            .filter(|image| image.status != ImageStatus::Deleted)
            .flat_map(|image| image.flavours.iter().map(move |flavour| (image, flavour)))
            .map(|(image, flavour)| (likeness(image, flavour), image, flavour))
            .collect();
        known.sort_by_key(|(likeness, image, _)| Reverse((*likeness, image.cuda.clone())));
        known
            .into_iter()
            .take(CANDIDATES)
            .map(|(_, image, flavour)| format!("{}-{flavour}-{}", image.cuda, image.distribution))
            .collect()
    }
}

/// A distribution without its release: `ubuntu` for `ubuntu22.04`.
fn family(distribution: &str) -> &str {
    distribution.trim_end_matches(|letter: char| !letter.is_alphabetic())
}

/// A tag's three parts. Flavours have dashes of their own, releases and distributions none.
struct Parts<'a> {
    cuda: &'a str,
    flavour: &'a str,
    distribution: &'a str,
}

impl<'a> Parts<'a> {
    fn of(tag: &'a str) -> Option<Self> {
        let (cuda, rest) = tag.split_once('-')?;
        let (flavour, distribution) = rest.rsplit_once('-')?;
        Some(Self {
            cuda,
            flavour,
            distribution,
        })
    }
}

/// `[REGISTRY/][…/]nvidia/cuda:TAG[@DIGEST]`, or a tag alone, which begins with a number.
fn tag_of(reference: &str) -> Result<&str, ImageLookupError> {
    let named = reference.split('@').next().unwrap_or_default();
    let is_tag = named.starts_with(|first: char| first.is_ascii_digit());
    if is_tag && !named.contains(['/', ':']) {
        return Ok(named);
    }
    // A colon before the last slash belongs to the registry's port.
    let slash = named.rfind('/').map_or(0, |slash| slash + 1);
    let (repository, tag) = match named[slash..].split_once(':') {
        Some((name, tag)) => (&named[..slash + name.len()], Some(tag)),
        None => (named, None),
    };
    let is_nvidias = repository
        .strip_suffix(REPOSITORY)
        .is_some_and(|before| before.is_empty() || before.ends_with('/'));
    match tag {
        _ if !is_nvidias => Err(ImageLookupError::OtherRepository {
            reference: reference.to_owned(),
        }),
        None | Some("") => Err(ImageLookupError::NoTag {
            reference: reference.to_owned(),
        }),
        Some(tag) => Ok(tag),
    }
}

#[cfg(test)]
mod tests;
