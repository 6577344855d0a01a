//! Wheels for a build: out of the vault, into which each is fetched once, by its hash.
//!
//! Install steps are fed with files alone. So no credential of an index reaches a builder, a builder needs no way to an
//! index, and what was built once can be built again without one. pip fetches: it takes hashes, knows every kind of index,
//! proxy and certificate, chooses for another Python and architecture, and is there already, since uv comes by it. uv
//! itself only fetches what it unpacks at once.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures::future::try_join_all;
use tempfile::TempDir;
use tokio::process::Command;
use tokio::sync::Mutex;
use tokio::time::{MissedTickBehavior, interval};

use super::BuildError;
use super::lock::LockedWheel;
use super::lock::wheel::{Target, platforms};
use super::log::BuildLog;
use super::resolver::{in_turn, need_pip, run_logged};
use super::sources::{Index, Sources};
use crate::vault::{Kind, Vault};

/// pips at once: one alone waits for the index as long as it downloads, and more only share the line.
const FETCHES_AT_ONCE: usize = 4;
/// What a wheel costs besides its bytes, so that the many small ones are shared out too.
const BYTES_PER_WHEEL: u64 = 4 << 20;
const TELL_EVERY: Duration = Duration::from_millis(500);

/// Where builds take wheels from. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Wheels {
    vault: Vault,
    /// What is fetched goes here, and goes with the last clone: a site that keeps no wheels.
    passing: Option<Arc<(Vault, TempDir)>>,
    /// One build at a time fetches: what two variants share, the second finds.
    fetching: Arc<Mutex<()>>,
}

impl Wheels {
    /// Wheels that are kept in `vault`.
    pub fn kept(vault: Vault) -> Self {
        Self {
            vault,
            passing: None,
            fetching: Arc::default(),
        }
    }

    /// The same for one build, after which what it fetched goes.
    ///
    /// # Errors
    /// If there is no place for them.
    pub fn passing(&self) -> Result<Self, BuildError> {
        let folder = self.vault.workplace()?;
        let vault = Vault::open(folder.path())?;
        Ok(Self {
            vault: self.vault.clone(),
            passing: Some(Arc::new((vault, folder))),
            fetching: Arc::default(),
        })
    }

    /// The folder on whose disk they are.
    pub fn root(&self) -> &Path {
        self.vault.root()
    }

    /// About how many bytes of these are not there yet. Looks at names alone: whether what is there is whole is looked at
    /// when it is needed.
    pub fn absent_bytes<'a>(&self, wheels: impl Iterator<Item = &'a LockedWheel>) -> u64 {
        wheels
            .filter(|wheel| self.provided(wheel).is_err())
            .map(LockedWheel::expected_bytes)
            .sum()
    }

    /// Those that are not there yet. Every byte of the others is read and is what the lock says.
    ///
    /// # Errors
    /// If the vault cannot be read.
    pub async fn missing(&self, wheels: Vec<LockedWheel>) -> Result<Vec<LockedWheel>, BuildError> {
        let here = self.clone();
        let looked = tokio::task::spawn_blocking(move || {
            let mut seen = BTreeSet::new();
            let mut missing = Vec::new();
            for wheel in wheels {
                if seen.insert(wheel.sha256) && here.find(&wheel)?.is_none() {
                    missing.push(wheel);
                }
            }
            Ok(missing)
        });
        looked.await.map_err(|_| BuildError::Cancelled)?
    }

    /// Sees to it that all `wheels` are there. `progress` is told the bytes that came.
    ///
    /// # Errors
    /// If one is missing and no index gives it.
    pub async fn provide(
        &self,
        wheels: Vec<LockedWheel>,
        target: &Target,
        sources: &Sources,
        log: &BuildLog,
        progress: &(dyn Fn(u64) + Sync),
    ) -> Result<(), BuildError> {
        let all = wheels.len();
        let _turn = self.fetching.lock().await;
        let missing = self.missing(wheels).await?;
        if missing.is_empty() {
            log.line(format!("all {all} wheels are in the vault"));
            return Ok(());
        }
        log.line(format!("fetching {} of {all} wheels", missing.len()));
        need_pip(Path::new("python3")).await?;
        let workplace = self.target_vault().workplace()?;
        let shares = shares(missing);
        let folders: Vec<_> = (0..shares.len())
            .map(|number| workplace.path().join(number.to_string()))
            .collect();
        let fetches = shares
            .iter()
            .zip(&folders)
            .map(|(share, folder)| self.fetch(share, folder, target, sources, log));
        let told = async {
            let mut ticks = interval(TELL_EVERY);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                progress(
                    folders
                        .iter()
                        .map(|folder| bytes_below(&folder.join("tmp")))
                        .sum(),
                );
            }
        };
        // Both may be dropped at any point: what is not in the vault yet lies in the workplace, which goes.
        tokio::select! {
            fetched = try_join_all(fetches) => fetched.map(drop),
            () = told => Ok(()),
        }
    }

    /// Where a wheel lies, if it is there and whole.
    ///
    /// # Errors
    /// If the vault cannot be read.
    pub fn find(&self, wheel: &LockedWheel) -> Result<Option<(PathBuf, u64)>, BuildError> {
        let passing = self.passing.as_ref().map(|passing| &passing.0);
        for vault in passing.into_iter().chain([&self.vault]) {
            if let Some(kept) = vault.verify(Kind::Wheel, &wheel.sha256)? {
                return Ok(Some((
                    vault.path(Kind::Wheel, &wheel.sha256),
                    kept.size_bytes,
                )));
            }
        }
        Ok(None)
    }

    /// Where a wheel lies that [`Wheels::provide`] has just looked at, and its bytes.
    ///
    /// # Errors
    /// If it went away since.
    pub fn provided(&self, wheel: &LockedWheel) -> Result<(PathBuf, u64), BuildError> {
        let passing = self.passing.as_ref().map(|passing| &passing.0);
        let vaults = passing.into_iter().chain([&self.vault]);
        let mut paths = vaults.map(|vault| vault.path(Kind::Wheel, &wheel.sha256));
        let found = paths.find_map(|path| {
            let bytes = fs::metadata(&path).ok()?.len();
            Some((path, bytes))
        });
        found.ok_or_else(|| BuildError::Wheel {
            file: wheel.file.clone(),
            why: "is gone from the vault",
        })
    }

    fn target_vault(&self) -> &Vault {
        match &self.passing {
            Some(passing) => &passing.0,
            None => &self.vault,
        }
    }

    async fn fetch(
        &self,
        share: &[LockedWheel],
        folder: &Path,
        target: &Target,
        sources: &Sources,
        log: &BuildLog,
    ) -> Result<(), BuildError> {
        let (fetched, temporary) = (folder.join("wheels"), folder.join("tmp"));
        for path in [&fetched, &temporary] {
            fs::create_dir_all(path).map_err(BuildError::io("create", path))?;
        }
        let pip = |requirements: &Path, index: &Index| {
            let mut command = Command::new("python3");
            command.args(["-m", "pip", "--disable-pip-version-check", "--no-input"]);
            command.args(["download", "--quiet", "--progress-bar", "off", "--no-deps"]);
            command.args([
                "--no-cache-dir",
                "--require-hashes",
                "--only-binary",
                ":all:",
                // The resolver has asked that. Pip takes 3.9 for 3.9.0, and some wheels want a later one.
                "--ignore-requires-python",
            ]);
            let (major, minor) = target.python;
            command.args(["--implementation", "cp", "--python-version"]);
            command.arg(format!("{major}.{minor}"));
            for platform in platforms(target) {
                command.args(["--platform", &platform]);
            }
            command.arg("--dest").arg(&fetched);
            command.arg("--requirement").arg(requirements);
            command.env("TMPDIR", &temporary);
            pip_environment(&mut command, index, sources);
            command
        };
        // The resolver has just said where they are; reading the indexes once more takes longer than the small ones do.
        let by_url: Option<String> = share.iter().map(LockedWheel::requirement_by_url).collect();
        if let Some(text) = by_url {
            let requirements = folder.join("by-url.txt");
            fs::write(&requirements, text).map_err(BuildError::io("write", &requirements))?;
            let command = pip(&requirements, &sources.all_indexes());
            if run_logged(command, "python3", log).await?.success() {
                return self.take(share.to_vec(), fetched).await;
            }
            log.line("fetching wheels from where they were failed, asking the indexes");
        }
        let requirements = folder.join("requirements.txt");
        let text: String = share.iter().map(LockedWheel::requirement).collect();
        fs::write(&requirements, text).map_err(BuildError::io("write", &requirements))?;
        let fetch = |index: &Index| pip(&requirements, index);
        in_turn(&sources.indexes, log, "python3", "fetching wheels", fetch).await?;
        self.take(share.to_vec(), fetched).await
    }

    /// Moves what pip left in `folder` into the vault, and sees to it that this is all of `share`.
    async fn take(&self, share: Vec<LockedWheel>, folder: PathBuf) -> Result<(), BuildError> {
        let vault = self.target_vault().clone();
        let taken = tokio::task::spawn_blocking(move || {
            let mut came = BTreeSet::new();
            let entries = fs::read_dir(&folder).map_err(BuildError::io("read", &folder))?;
            for entry in entries {
                let path = entry.map_err(BuildError::io("read", &folder))?.path();
                came.insert(vault.take(Kind::Wheel, &path)?.digest);
            }
            match share
                .into_iter()
                .find(|wheel| !came.contains(&wheel.sha256))
            {
                Some(wheel) => Err(BuildError::Wheel {
                    file: wheel.file,
                    why: "was not among what the package index sent",
                }),
                None => Ok(()),
            }
        });
        taken.await.map_err(|_| BuildError::Cancelled)?
    }
}

/// Makes pip use this index of `sources` and nothing of the machine's own configuration, which `sources` has read.
pub fn pip_environment(command: &mut Command, index: &Index, sources: &Sources) {
    // Trying the same index again would only delay the next one.
    let retries = if sources.indexes.len() > 1 { "0" } else { "2" };
    command.env_remove("PIP_FIND_LINKS");
    command.env("PIP_CONFIG_FILE", "/dev/null");
    command.env("PIP_RETRIES", retries);
    command.env("PIP_DEFAULT_TIMEOUT", sources.stall_seconds.to_string());
    if let Some(url) = &index.url {
        command.env("PIP_INDEX_URL", url);
    }
    command.env("PIP_EXTRA_INDEX_URL", index.extra_urls.join(" "));
    command.envs(sources.ca_bundle.iter().map(|path| ("PIP_CERT", path)));
    command.envs(sources.proxy.iter().map(|proxy| ("PIP_PROXY", proxy)));
    // What is fetched has a hash, so an index without TLS is as good, and uv takes one too.
    let plain: Vec<_> = index
        .url
        .iter()
        .chain(&index.extra_urls)
        .filter_map(|url| plain_host(url))
        .collect();
    command.env("PIP_TRUSTED_HOST", plain.join(" "));
}

/// The host of a URL without TLS.
fn plain_host(url: &str) -> Option<&str> {
    let authority = url.strip_prefix("http://")?.split('/').next()?;
    let host = authority.rsplit('@').next()?;
    if host.starts_with('[') {
        return host.split_inclusive(']').next();
    }
    host.split(':').next()
}

/// Parts of about the same weight, in each of which a package is named once: pip takes no two versions of one.
fn shares(mut wheels: Vec<LockedWheel>) -> Vec<Vec<LockedWheel>> {
    wheels.sort_by_key(|wheel| std::cmp::Reverse(wheel.expected_bytes()));
    let mut shares: Vec<(u64, Vec<LockedWheel>)> = Vec::new();
    for wheel in wheels {
        let weight = wheel.expected_bytes() + BYTES_PER_WHEEL;
        let has_place = |share: &&mut (u64, Vec<LockedWheel>)| {
            !share.1.iter().any(|other| other.name == wheel.name)
        };
        let is_full = shares.len() >= FETCHES_AT_ONCE;
        let lightest = shares
            .iter_mut()
            .filter(has_place)
            .min_by_key(|share| share.0);
        match lightest {
            Some(share) if is_full => {
                share.0 += weight;
                share.1.push(wheel);
            }
            _ => shares.push((weight, vec![wheel])),
        }
    }
    shares.into_iter().map(|(_, share)| share).collect()
}

/// Bytes of all files below a folder. What goes while one looks is not counted.
fn bytes_below(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| {
            let metadata = entry.metadata().ok()?;
            Some(if metadata.is_dir() {
                bytes_below(&entry.path())
            } else {
                metadata.len()
            })
        })
        .sum()
}

#[cfg(test)]
mod tests;
