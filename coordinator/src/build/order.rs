//! What is asked of a build: a recipe, and what the release and the site add to it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use serde::Serialize;
use tfleet_compat::{BaseImage, Recipe};
use tfleet_proto::model::digest::Digest;

use super::BuildError;
use crate::config::Site;

/// Everything that decides what a build will be, before versions are resolved. Its digest names the build's log and
/// its cached lock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Order {
    pub recipe: Recipe,
    /// Further Python requirements, PEP 508.
    pub python_packages: BTreeSet<String>,
    /// Further Debian packages.
    pub debian_packages: BTreeSet<String>,
    pub environment: BTreeMap<String, String>,
    pub ports: BTreeSet<u16>,
    /// None: bootstrapped from Debian packages. Otherwise an imported base, an image of the engine, or a registry's.
    pub base: Option<String>,
    /// Text of root's `.bashrc`.
    pub bashrc: Option<String>,
}

/// What a release adds to its recipes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Additions {
    pub python_packages: Vec<String>,
    pub debian_packages: Vec<String>,
    pub environment: BTreeMap<String, String>,
    pub ports: Vec<u16>,
    pub base: Option<String>,
}

impl Order {
    /// The recipe with the release's additions, and the site's where the release says nothing else.
    ///
    /// # Errors
    /// If the site's `bashrc` cannot be read.
    pub fn new(recipe: Recipe, additions: Additions, site: &Site) -> Result<Self, BuildError> {
        let bashrc = match &site.bashrc {
            Some(path) => {
                Some(fs::read_to_string(path).map_err(BuildError::io("read build.bashrc", path))?)
            }
            None => None,
        };
        // A recipe that stands on an imported base names it; a release may name another that brings the same.
        let base = additions.base.or_else(|| match &recipe.base {
            BaseImage::Imported(name) => Some(name.clone()),
            BaseImage::Distribution { .. } => None,
        });
        if let Some(base) = &base
            && !additions.debian_packages.is_empty()
        {
            return Err(BuildError::Base {
                base: base.clone(),
                why: "takes no further Debian packages: they are bootstrapped with the base, so leave out one of the two"
                    .to_owned(),
            });
        }
        let of_site = if base.is_none() {
            site.extra_packages.as_slice()
        } else {
            &[]
        };
        let debian_packages = of_site
            .iter()
            .cloned()
            .chain(additions.debian_packages)
            .collect();
        let mut environment = site.environment.clone();
        environment.extend(additions.environment);
        Ok(Self {
            recipe,
            python_packages: additions.python_packages.into_iter().collect(),
            debian_packages,
            environment,
            ports: additions.ports.into_iter().collect(),
            base,
            bashrc,
        })
    }

    /// Names the order.
    #[expect(
        clippy::expect_used,
        reason = "structs of strings and numbers can always be written as JSON"
    )]
    pub fn digest(&self) -> Digest {
        Digest::of(&serde_json::to_vec(self).expect("an order is valid JSON"))
    }
}
