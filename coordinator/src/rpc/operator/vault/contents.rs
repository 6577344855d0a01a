//! What the vault has: bases, wheels, locks, and the images that were built.

use std::collections::BTreeMap;

use tfleet_compat::Architecture;
use tfleet_proto::model::digest::Digest;
use tfleet_proto::wire;

use crate::artifact::Artifacts;
use crate::build::{Builds, installer};
use crate::bundle::BundleError;
use crate::store::Release;
use crate::vault::{Kind, Vault};

/// # Errors
/// If a store cannot be read.
pub fn listed(
    builds: &Builds,
    vault: &Vault,
    artifacts: &Artifacts,
    releases: &[Release],
) -> Result<wire::ListVaultResponse, BundleError> {
    let sizes = |artifact: &Digest| -> Result<(u64, u64), BundleError> {
        let index = artifacts.known(artifact)?;
        Ok(index.map_or((0, 0), |index| (index.content_bytes(), index.frame_bytes())))
    };
    let kept = vault.kept(Kind::Wheel)?;
    let has_wheel = |digest: &Digest| kept.iter().any(|wheel| wheel.digest == *digest);
    let mut files: BTreeMap<Digest, String> = BTreeMap::new();
    let mut locks = Vec::new();
    let mut bases: BTreeMap<Digest, Vec<String>> = BTreeMap::new();
    for (digest, lock) in builds.locks()? {
        for artifact in lock.foundations() {
            bases.entry(artifact).or_default();
        }
        for wheel in lock.wheels() {
            files.insert(wheel.sha256, wheel.file.clone());
        }
        let missing = lock.wheels().filter(|wheel| !has_wheel(&wheel.sha256));
        locks.push(wire::VaultLock {
            digest: digest.to_string(),
            variant: lock.recipe.clone(),
            wheels: count(lock.wheels().count()),
            missing_wheels: count(missing.count()),
            base_is_there: lock
                .foundations()
                .map(|artifact| artifacts.known(&artifact))
                .collect::<Result<Vec<_>, _>>()?
                .iter()
                .all(Option::is_some),
            artifact: builds
                .became(&digest)?
                .map_or_else(String::new, |artifact| artifact.to_string()),
        });
    }
    for wheel in [Architecture::X86_64, Architecture::Aarch64].map(installer) {
        files.insert(wheel.sha256, wheel.file);
    }
    for (name, artifact) in builds.named_bases()? {
        bases.entry(artifact).or_default().push(name);
    }
    let mut images: BTreeMap<Digest, Vec<String>> = BTreeMap::new();
    for release in releases {
        for build in &release.builds {
            if let Some(artifact) = build.artifact {
                let name = format!("{} {}", release.reference, build.variant);
                images.entry(artifact).or_default().push(name);
            }
        }
    }
    let bases = bases.into_iter().map(|(artifact, names)| {
        let (content_bytes, stored_bytes) = sizes(&artifact)?;
        Ok(wire::VaultBase {
            artifact: artifact.to_string(),
            names,
            content_bytes,
            stored_bytes,
        })
    });
    let images = images.into_iter().map(|(artifact, releases)| {
        let (content_bytes, stored_bytes) = sizes(&artifact)?;
        Ok(wire::VaultImage {
            artifact: artifact.to_string(),
            releases,
            content_bytes,
            stored_bytes,
        })
    });
    let wheels = kept.iter().map(|wheel| wire::VaultWheel {
        digest: wheel.digest.to_string(),
        size_bytes: wheel.size_bytes,
        file: files.get(&wheel.digest).cloned().unwrap_or_default(),
    });
    Ok(wire::ListVaultResponse {
        bases: bases.collect::<Result<_, BundleError>>()?,
        wheels: wheels.collect(),
        locks,
        images: images.collect::<Result<_, BundleError>>()?,
    })
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
