//! Bases: what an image stands on, each an artifact in the store, put into the builder's engine when a build needs it.
//!
//! Whether it was bootstrapped from Debian packages, imported, taken from the engine or pulled, a base passes the same
//! normalisation and is named by its content. So a builder that lost it gets it again without a mirror, two builders
//! have the same one, and its layers in the store are those of every image built on it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tfleet_compat::Architecture;
use tfleet_proto::model::artifact::ArtifactIndex;
use tfleet_proto::model::digest::Digest;
use tokio::sync::Mutex;

use super::BuildError;
use super::disk::{self, Need};
use super::engine::BuilderEngine;
use super::log::BuildLog;
use super::order::Order;
use super::pipe;
use super::records::read_record;
use super::sources::Sources;
use super::transfer;
use crate::artifact::{Artifacts, Origin, rebuild, write_whole};

mod bootstrap;
mod survey;

pub use survey::Survey;

/// How the files of bases with a name begin.
const NAMED: &str = "named-";

/// The bases that this coordinator knows.
#[derive(Debug, Clone)]
pub struct Bases {
    folder: PathBuf,
    artifacts: Artifacts,
    /// Releases are built a few variants at once, and these share their base: one makes it, the others wait for it.
    making: Arc<Mutex<()>>,
}

/// A base, and what the lock must know of it.
#[derive(Debug, Clone)]
pub struct Base {
    pub artifact: Digest,
    pub index: ArtifactIndex,
    pub survey: Survey,
}

/// What stands in a base's file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    artifact: Digest,
    /// An operator gave it: nothing that happens to have its name in an engine or a registry may take its place.
    #[serde(default)]
    imported: bool,
    /// What it was imported as; the file's name has only its digest. None: it has no name, or an older version wrote this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<String>,
}

impl Bases {
    /// Opens the records in `folder`.
    ///
    /// # Errors
    /// If it cannot be created.
    pub fn open(folder: PathBuf, artifacts: Artifacts) -> Result<Self, BuildError> {
        std::fs::create_dir_all(&folder).map_err(BuildError::io("create", &folder))?;
        Ok(Self {
            folder,
            artifacts,
            making: Arc::default(),
        })
    }

    /// The base that `order` asks for, made if there is none yet.
    ///
    /// # Errors
    /// If it cannot be bootstrapped or fetched, or lacks the recipe's Python.
    pub async fn obtain(
        &self,
        order: &Order,
        engine: &BuilderEngine,
        sources: &Sources,
        log: &BuildLog,
        progress: &(dyn Fn(&str, u64) + Sync),
    ) -> Result<Base, BuildError> {
        let name = record_name(order);
        let _making = self.making.lock().await;
        let artifact = match self.known(&name)? {
            Some(artifact) => artifact,
            None => {
                if let (Some(base), Some(Record { imported: true, .. })) =
                    (&order.base, self.read(&name)?)
                {
                    return Err(BuildError::Base {
                        base: base.clone(),
                        why: "was imported, and its stored content is incomplete or damaged: import it again".to_owned(),
                    });
                }
                let artifact = match &order.base {
                    None => self.bootstrap(order, sources, log, progress).await?,
                    Some(reference) => {
                        self.taken_from_engine(reference, engine, log, progress)
                            .await?
                    }
                };
                let record = Record {
                    artifact,
                    imported: false,
                    name: None,
                };
                self.remember(&name, &record)?;
                artifact
            }
        };
        self.open_base(artifact, order).await
    }

    /// The base of a lock.
    ///
    /// # Errors
    /// If its artifact is gone.
    pub async fn locked(&self, artifact: Digest, order: &Order) -> Result<Base, BuildError> {
        self.open_base(artifact, order).await
    }

    /// The file that says what the base of `order` is.
    pub fn record(&self, order: &Order) -> PathBuf {
        self.folder.join(record_name(order))
    }

    /// The base that `order` asks for, if it is there already.
    ///
    /// # Errors
    /// If its record cannot be read.
    pub fn of(&self, order: &Order) -> Result<Option<Digest>, BuildError> {
        self.known(&record_name(order))
    }

    /// What a name stands for that somebody imported something by.
    ///
    /// # Errors
    /// If its record cannot be read.
    pub fn stands_for(&self, name: &str) -> Result<Option<Digest>, BuildError> {
        let record = self.read(&named(name))?;
        let imported = record.filter(|record| record.imported);
        Ok(imported.map(|record| record.artifact))
    }

    /// Makes `artifact` the base that `name` stands for.
    pub fn import(&self, name: &str, artifact: Digest) -> Result<(), BuildError> {
        let record = Record {
            artifact,
            imported: true,
            name: Some(name.to_owned()),
        };
        self.remember(&named(name), &record)
    }

    /// The same, unless the name stands for something already.
    pub fn import_if_new(&self, name: &str, artifact: Digest) -> Result<(), BuildError> {
        match self.read(&named(name))? {
            Some(_) => Ok(()),
            None => self.import(name, artifact),
        }
    }

    /// Names of imported bases, and what they stand for.
    ///
    /// # Errors
    /// If a record cannot be read.
    pub fn imported(&self) -> Result<Vec<(String, Digest)>, BuildError> {
        let mut found = Vec::new();
        let entries = std::fs::read_dir(&self.folder);
        for entry in entries.map_err(BuildError::io("read", &self.folder))? {
            let entry = entry.map_err(BuildError::io("read", &self.folder))?;
            let file = entry.file_name().to_string_lossy().into_owned();
            if !file.starts_with(NAMED) || file.contains('.') {
                continue;
            }
            if let Some(Record {
                artifact,
                imported: true,
                name,
            }) = self.read(&file)?
            {
                found.push((name.unwrap_or_default(), artifact));
            }
        }
        found.sort();
        Ok(found)
    }

    /// Sees to it that the engine has the base, and gives the reference for `FROM`.
    ///
    /// # Errors
    /// If the engine does not take it.
    pub async fn place(
        &self,
        artifact: Digest,
        index: &ArtifactIndex,
        engine: &BuilderEngine,
        log: &BuildLog,
    ) -> Result<String, BuildError> {
        let reference = format!("tfleet/base:{}", artifact.short());
        let wanted: Vec<_> = index.diff_ids().collect();
        let _making = self.making.lock().await;
        if engine.diff_ids(&reference).await?.as_ref() == Some(&wanted) {
            return Ok(reference);
        }
        log.line(format!("loading {reference} into the builder"));
        let (mut writer, archive) = pipe::from_writer();
        let (store, index, tag) = (self.artifacts.clone(), index.clone(), reference.clone());
        let written = tokio::task::spawn_blocking(move || {
            rebuild(&store, &index, &tag, &mut writer)?;
            writer.finish().map_err(crate::artifact::RebuildError::from)
        });
        let (written, loaded) = tokio::join!(written, engine.load(archive));
        // An engine that refuses stops reading, which breaks the pipe: its own words say more.
        loaded?;
        written.map_err(|_| BuildError::Cancelled)??;
        match engine.diff_ids(&reference).await? {
            Some(diff_ids) if diff_ids == wanted => Ok(reference),
            _ => Err(BuildError::Base {
                base: reference,
                why: "has other layers once loaded".to_owned(),
            }),
        }
    }

    /// Takes an image of the engine, pulled first if it is not there.
    async fn taken_from_engine(
        &self,
        reference: &str,
        engine: &BuilderEngine,
        log: &BuildLog,
        progress: &(dyn Fn(&str, u64) + Sync),
    ) -> Result<Digest, BuildError> {
        if engine.diff_ids(reference).await?.is_none() {
            log.line(format!("pulling {reference}"));
            progress(&format!("pulling {reference}"), 0);
            let root = engine.data_root().await?;
            let watch = |words: Option<&str>| {
                if let Some(words) = words {
                    log.line(words);
                }
                // Only the spare has to stay.
                let needs = root.iter().map(|root| Need::new(root, 0)).collect();
                disk::check(needs, None)
            };
            watch(None)?;
            engine.pull(reference, watch).await?;
        }
        let image_bytes = engine.image_bytes(reference).await?;
        disk::check(
            transfer::needs(engine, &self.artifacts, image_bytes).await?,
            Some(log),
        )?;
        log.line(format!("storing {reference}"));
        let activity = format!("storing {reference}");
        let received = transfer::store(
            engine,
            reference,
            &self.artifacts,
            Origin::Engine,
            Default::default(),
            &|bytes| {
                progress(&activity, bytes);
            },
        )
        .await?;
        Ok(received.artifact)
    }

    async fn open_base(&self, artifact: Digest, order: &Order) -> Result<Base, BuildError> {
        let (store, python) = (self.artifacts.clone(), order.recipe.python.to_string());
        let shown = shown(order);
        let opened = tokio::task::spawn_blocking(move || {
            let index = store
                .index(&artifact)?
                .ok_or_else(|| BuildError::MissingBase {
                    base: shown.clone(),
                    artifact,
                })?;
            let survey = Survey::of(&store, &index)?;
            if !survey.pythons.contains_key(&python) {
                return Err(BuildError::Base {
                    base: shown,
                    why: format!("has no Python {python}"),
                });
            }
            Ok(Base {
                artifact,
                index,
                survey,
            })
        });
        opened.await.map_err(|_| BuildError::Cancelled)?
    }

    /// The environment that a named base's configuration sets.
    pub fn environment(&self, name: &str) -> Option<Vec<String>> {
        #[derive(serde::Deserialize)]
        struct Image {
            config: Option<Configuration>,
        }
        #[derive(serde::Deserialize)]
        struct Configuration {
            #[serde(rename = "Env")]
            environment: Option<Vec<String>>,
        }
        let artifact = self.read(&named(name)).ok()??.artifact;
        let index = self.artifacts.index(&artifact).ok()??;
        let image: Image = serde_json::from_str(&index.config).ok()?;
        Some(image.config?.environment.unwrap_or_default())
    }

    /// A base whose blobs are gone or damaged is none.
    fn known(&self, name: &str) -> Result<Option<Digest>, BuildError> {
        let Some(record) = self.read(name)? else {
            return Ok(None);
        };
        let known = self.artifacts.known(&record.artifact)?;
        Ok(known.map(|_| record.artifact))
    }

    fn read(&self, name: &str) -> Result<Option<Record>, BuildError> {
        read_record(&self.folder.join(name))
    }

    fn remember(&self, file: &str, record: &Record) -> Result<(), BuildError> {
        let path = self.folder.join(file);
        let text = serde_json::to_vec(record).map_err(|error| BuildError::Format {
            file: path.display().to_string(),
            why: error.to_string(),
        })?;
        Ok(write_whole(&path, &[&text])?)
    }
}

/// The record of the base of that name.
fn named(name: &str) -> String {
    format!("{NAMED}{}", Digest::of(name.as_bytes()).hex())
}

/// The order's base in words.
pub fn shown(order: &Order) -> String {
    let base = order.base.clone();
    base.unwrap_or_else(|| order.recipe.base.to_string())
}

fn record_name(order: &Order) -> String {
    match &order.base {
        Some(name) => named(name),
        None => {
            let packages = bootstrap::further_packages(order);
            let extras = Digest::of(packages.join(" ").as_bytes()).short();
            let (suite, architecture) = (order.recipe.base.short_name(), order.recipe.architecture);
            format!(
                "bootstrap-{}-{suite}-{architecture}-{extras}",
                bootstrap::TEMPLATE
            )
        }
    }
}

/// The packages of `dpkg`'s status file, for the lock.
pub type Packages = BTreeMap<String, String>;

/// Debian's name of an architecture.
fn debian_architecture(architecture: Architecture) -> &'static str {
    match architecture {
        Architecture::X86_64 => "amd64",
        Architecture::Aarch64 => "arm64",
    }
}
