//! What is asked of a build: a recipe, and what the release and the site add to it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use serde::Serialize;
use tfleet_compat::{BaseImage, Recipe};
use tfleet_proto::model::digest::Digest;

use super::BuildError;
use super::dockerfile::Dockerfile;
use super::flavour::{self, Flavour};
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
    // Left out where nothing was asked, so that such an order has the digest that it always had.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub flavours: BTreeSet<Flavour>,
    /// Keys that may come in by SSH, as they stand in `authorized_keys`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authorized_keys: Option<String>,
    /// Built on top of all that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dockerfile: Option<Dockerfile>,
}

/// What a release adds to its recipes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Additions {
    pub python_packages: Vec<String>,
    pub debian_packages: Vec<String>,
    pub environment: BTreeMap<String, String>,
    pub ports: Vec<u16>,
    pub base: Option<String>,
    pub flavours: BTreeSet<Flavour>,
    pub authorized_keys: Option<String>,
    pub dockerfile: Option<Dockerfile>,
}

impl Order {
    /// The recipe with the release's additions, its flavours' and the site's where the release says nothing else.
    ///
    /// # Errors
    /// If the site's `bashrc` cannot be read, or the additions do not fit together.
    pub fn new(recipe: Recipe, additions: Additions, site: &Site) -> Result<Self, BuildError> {
        let additions = flavoured(additions)?;
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
            flavours: additions.flavours,
            authorized_keys: additions.authorized_keys,
            dockerfile: additions.dockerfile,
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

/// The additions with those of their flavours.
fn flavoured(mut additions: Additions) -> Result<Additions, BuildError> {
    additions.flavours.remove(&Flavour::Runtime);
    if additions.authorized_keys.is_some() && !additions.flavours.contains(&Flavour::Ssh) {
        return Err(BuildError::Additions {
            what: "authorised keys are for the flavour ssh".to_owned(),
            remedy: "add --flavour ssh, or leave out --authorized-keys",
        });
    }
    for flavour in &additions.flavours {
        let addition = flavour.addition();
        if let Some(base) = &additions.base
            && !addition.debian_packages.is_empty()
        {
            return Err(BuildError::Additions {
                what: format!(
                    "the flavour {flavour} is made of the Debian packages {}, and the base {base} takes none",
                    addition.debian_packages.join(", ")
                ),
                remedy: "leave out --base, or leave out the flavour and install and start them with --dockerfile",
            });
        }
        let packages = (&addition.python_packages, &addition.debian_packages);
        additions.python_packages.extend(packages.0.iter().cloned());
        additions.debian_packages.extend(packages.1.iter().cloned());
    }
    let ports = flavour::service_ports(&additions.flavours).map(|port| port.container);
    additions.ports.extend(ports);
    Ok(additions)
}

#[cfg(test)]
mod tests;
