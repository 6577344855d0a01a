//! Reads the resolver's answer (`pylock.toml`, PEP 751) and keeps the one wheel of each package that will be installed.

use serde::Deserialize;
use tfleet_proto::model::digest::Digest;

use super::LockedWheel;
use super::wheel::{Target, rank};

#[derive(Debug, thiserror::Error)]
pub enum PylockError {
    #[error("the resolver's answer is not a pylock file")]
    Toml(#[from] toml::de::Error),
    #[error("the resolver chose {name} {version}, of which no wheel fits")]
    NoWheel { name: String, version: String },
    #[error("the package index gives no SHA-256 for {file}")]
    NoHash { file: String },
}

#[derive(Deserialize)]
struct Pylock {
    #[serde(default)]
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    #[serde(default)]
    version: String,
    #[serde(default)]
    wheels: Vec<Wheel>,
}

#[derive(Deserialize)]
struct Wheel {
    name: Option<String>,
    url: Option<String>,
    path: Option<String>,
    #[serde(default)]
    size: u64,
    #[serde(default)]
    hashes: Hashes,
}

#[derive(Default, Deserialize)]
struct Hashes {
    sha256: Option<String>,
}

/// The wheels for `target`.
///
/// # Errors
/// If the text is not a pylock, or a package has no wheel that fits and has a SHA-256.
pub fn read_pylock(text: &str, target: &Target) -> Result<Vec<LockedWheel>, PylockError> {
    let lock: Pylock = toml::from_str(text)?;
    lock.packages
        .into_iter()
        .map(|package| package.choose(target))
        .collect()
}

impl Package {
    fn choose(self, target: &Target) -> Result<LockedWheel, PylockError> {
        let best = self
            .wheels
            .iter()
            .filter_map(|wheel| {
                let file = wheel.file()?;
                Some((rank(&file, target)?, file, wheel))
            })
            .min_by(|(one, one_file, _), (other, other_file, _)| {
                (one, one_file).cmp(&(other, other_file))
            });
        let Some((_, file, wheel)) = best else {
            return Err(PylockError::NoWheel {
                name: self.name,
                version: self.version,
            });
        };
        let sha256 = wheel
            .hashes
            .sha256
            .as_deref()
            .and_then(|text| Digest::from_hex(text).ok());
        let Some(sha256) = sha256 else {
            return Err(PylockError::NoHash { file });
        };
        Ok(LockedWheel {
            name: self.name,
            version: self.version,
            file,
            sha256,
            size_bytes: wheel.size,
            url: wheel.url.clone(),
        })
    }
}

impl Wheel {
    /// The file's name: given, or the last part of where it lies.
    fn file(&self) -> Option<String> {
        if let Some(name) = &self.name {
            return Some(name.clone());
        }
        let place = self.url.as_ref().or(self.path.as_ref())?;
        let place = place.split(['?', '#']).next()?;
        let name = place.rsplit('/').next()?;
        // Local versions have a plus sign, which URLs carry encoded.
        Some(name.replace("%2B", "+").replace("%2b", "+"))
    }
}
