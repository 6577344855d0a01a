//! The vault's contents, and what bundles did.

use std::path::Path;

use serde::Serialize;
use tfleet_proto::convert::Refusal;
use tfleet_proto::wire;

use super::quantity::bytes;
use super::release::Release;
use super::{Cell, Grid, Tabular, Tone};

/// `tfleet vault ls`.
#[derive(Debug, Serialize)]
pub struct Vault {
    pub bases: Vec<Base>,
    pub locks: Vec<Lock>,
    pub images: Vec<Image>,
    pub wheels: Vec<Wheel>,
}

#[derive(Debug, Serialize)]
pub struct Base {
    pub artifact: String,
    /// What it was imported as.
    pub names: Vec<String>,
    pub content_bytes: u64,
    /// Zero: it is gone.
    pub stored_bytes: u64,
}

#[derive(Debug, Serialize)]
pub struct Lock {
    pub lock: String,
    pub variant: String,
    pub wheels: u32,
    pub missing_wheels: u32,
    pub base_is_there: bool,
    pub artifact: Option<String>,
}

#[derive(Debug, Serialize)]
pub struct Image {
    pub artifact: String,
    /// "train:v1 tf2.15.1-cpu".
    pub releases: Vec<String>,
    pub content_bytes: u64,
    /// Zero: it is gone.
    pub stored_bytes: u64,
}

#[derive(Debug, Serialize)]
pub struct Wheel {
    pub digest: String,
    pub file: Option<String>,
    pub size_bytes: u64,
}

/// `tfleet vault export`.
#[derive(Debug, Serialize)]
pub struct BundleWritten<'a> {
    pub bundle: &'a Path,
    pub releases: &'a [String],
    pub bytes: u64,
}

/// `tfleet vault import`.
#[derive(Debug, Serialize)]
pub struct Imported {
    pub releases: Vec<Release>,
    pub chunk_bytes: u64,
    pub wheel_bytes: u64,
}

impl BundleWritten<'_> {
    pub fn words(&self) -> String {
        let (releases, size) = (self.releases.join(", "), bytes(self.bytes));
        format!("{releases}: {size} in {}", self.bundle.display())
    }
}

impl From<wire::ListVaultResponse> for Vault {
    fn from(answer: wire::ListVaultResponse) -> Self {
        let base = |base: wire::VaultBase| Base {
            artifact: base.artifact,
            names: base.names,
            content_bytes: base.content_bytes,
            stored_bytes: base.stored_bytes,
        };
        let lock = |lock: wire::VaultLock| Lock {
            lock: lock.digest,
            variant: lock.variant,
            wheels: lock.wheels,
            missing_wheels: lock.missing_wheels,
            base_is_there: lock.base_is_there,
            artifact: Some(lock.artifact).filter(|artifact| !artifact.is_empty()),
        };
        let image = |image: wire::VaultImage| Image {
            artifact: image.artifact,
            releases: image.releases,
            content_bytes: image.content_bytes,
            stored_bytes: image.stored_bytes,
        };
        let wheel = |wheel: wire::VaultWheel| Wheel {
            digest: wheel.digest,
            file: Some(wheel.file).filter(|file| !file.is_empty()),
            size_bytes: wheel.size_bytes,
        };
        Self {
            bases: answer.bases.into_iter().map(base).collect(),
            locks: answer.locks.into_iter().map(lock).collect(),
            images: answer.images.into_iter().map(image).collect(),
            wheels: answer.wheels.into_iter().map(wheel).collect(),
        }
    }
}

impl TryFrom<wire::ImportedBundle> for Imported {
    type Error = Refusal;

    fn try_from(imported: wire::ImportedBundle) -> Result<Self, Refusal> {
        let releases = imported.releases.into_iter().map(Release::try_from);
        Ok(Self {
            releases: releases.collect::<Result<_, _>>()?,
            chunk_bytes: imported.chunk_bytes,
            wheel_bytes: imported.wheel_bytes,
        })
    }
}

impl Lock {
    fn state(&self) -> Cell {
        match (self.base_is_there, self.missing_wheels) {
            (true, 0) => Cell::from("without a network").toned(Tone::Good),
            (true, missing) => Cell::from(format!("{missing} wheels are missing")),
            (false, _) => Cell::from("its base is missing").toned(Tone::Bad),
        }
    }
}

impl Tabular for Vault {
    fn grids(&self) -> Vec<Grid> {
        let size = |count: u64| Cell::maybe((count > 0).then(|| bytes(count)));
        let bases = self.bases.iter().map(|base| {
            vec![
                Cell::from(short(&base.artifact)),
                Cell::maybe((!base.names.is_empty()).then(|| base.names.join(", "))),
                size(base.content_bytes),
                size(base.stored_bytes),
            ]
        });
        let locks = self.locks.iter().map(|lock| {
            vec![
                Cell::from(short(&lock.lock)),
                Cell::from(lock.variant.as_str()),
                Cell::from(lock.wheels.to_string()),
                lock.state(),
                Cell::maybe(lock.artifact.as_deref().map(short)),
            ]
        });
        let images = self.images.iter().map(|image| {
            vec![
                Cell::from(short(&image.artifact)),
                Cell::from(image.releases.join(", ")),
                size(image.content_bytes),
                size(image.stored_bytes),
            ]
        });
        let wheels = self.wheels.iter().map(|wheel| {
            vec![
                Cell::from(short(&wheel.digest)),
                Cell::maybe(wheel.file.as_deref()),
                size(wheel.size_bytes),
            ]
        });
        vec![
            Grid::new(["BASE", "IMPORTED AS", "CONTENT", "STORED"])
                .when_empty("no bases")
                .with_rows(bases),
            Grid::new(["LOCK", "VARIANT", "WHEELS", "CAN BE BUILT AGAIN", "IMAGE"])
                .when_empty("no locks")
                .with_rows(locks),
            Grid::new(["IMAGE", "RELEASES", "CONTENT", "STORED"])
                .when_empty("no images")
                .with_rows(images),
            Grid::new(["WHEEL", "FILE", "SIZE"])
                .when_empty("no wheels")
                .with_rows(wheels),
        ]
    }
}

impl Tabular for Imported {
    fn grids(&self) -> Vec<Grid> {
        let rows = self.releases.iter().map(|release| {
            vec![
                Cell::from(release.release.as_str()),
                Cell::from(if release.existed { "was there" } else { "new" }),
                Cell::from(release.builds.len().to_string()),
                Cell::from(release.plan.assignments.len().to_string()),
            ]
        });
        vec![
            Grid::new(["RELEASE", "STATE", "VARIANTS", "HOSTS"])
                .when_empty("no releases")
                .with_rows(rows),
        ]
    }
}

/// Enough digits of a digest for a person to tell two apart.
fn short(digest: &str) -> String {
    let digits = digest.trim_start_matches("sha256:");
    digits.chars().take(12).collect()
}
