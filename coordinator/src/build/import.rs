//! Images that others built, and bases: into the same store, by the same way.

use std::io;

use bytes::Bytes;
use tfleet_compat::Architecture;
use tokio::sync::mpsc;

use super::engine::BuilderEngine;
use super::pipe::PipeReader;
use super::{BuildError, Builds, deb, disk, transfer};
use crate::artifact::{Origin, Received, Secrets};

/// Pieces of a package that wait for the store.
const PIECES_WAITING: usize = 4;

/// Where an image comes from.
#[derive(Debug)]
pub enum ImageSource {
    /// The archive's bytes as they arrive. An error among them ends the import.
    Archive(mpsc::Receiver<io::Result<Bytes>>),
    /// An image of one of the builders' engines.
    Engine(String),
}

impl Builds {
    /// Takes exactly one image into the store. `progress` is told the bytes of layers stored so far.
    ///
    /// # Errors
    /// If there is no such image, it is refused, or there is no room for it. An archive's size is known only at its end,
    /// so that it is refused when the disk is full but for the spare.
    pub async fn add_image(
        &self,
        source: ImageSource,
        progress: &(dyn Fn(u64) + Sync),
    ) -> Result<Received, BuildError> {
        self.take(source, Origin::Foreign, progress).await
    }

    /// Takes an image, a root file system or a Debian package, and makes it what `name` stands for in a release: a base,
    /// or the compat package of that name. What has no program and says no architecture counts as the first builder's.
    ///
    /// # Errors
    /// As [`Builds::add_image`].
    pub async fn import_base(
        &self,
        name: &str,
        source: ImageSource,
        progress: &(dyn Fn(u64) + Sync),
    ) -> Result<Received, BuildError> {
        let architecture = self
            .inner
            .engines
            .keys()
            .next()
            .copied()
            .unwrap_or(Architecture::X86_64);
        let source = match source {
            ImageSource::Archive(pieces) => {
                let (out, files) = mpsc::channel(PIECES_WAITING);
                self.inner.tasks.spawn(deb::unpacked(pieces, out));
                ImageSource::Archive(files)
            }
            engine @ ImageSource::Engine(_) => engine,
        };
        let received = self
            .take(source, Origin::RootFileSystem { architecture }, progress)
            .await?;
        self.inner.bases.import(name, received.artifact)?;
        Ok(received)
    }

    async fn take(
        &self,
        source: ImageSource,
        origin: Origin,
        progress: &(dyn Fn(u64) + Sync),
    ) -> Result<Received, BuildError> {
        let artifacts = &self.inner.artifacts;
        match source {
            ImageSource::Archive(pieces) => {
                let reader = PipeReader::new(pieces);
                transfer::take(reader, artifacts, origin, Secrets::default(), progress).await
            }
            ImageSource::Engine(reference) => {
                let engine = self.engine_with(&reference).await?;
                let image_bytes = engine.image_bytes(&reference).await?;
                disk::check(transfer::needs(engine, artifacts, image_bytes).await?, None)?;
                let secrets = Secrets::default();
                transfer::store(
                    engine,
                    &reference,
                    artifacts,
                    Origin::Engine,
                    secrets,
                    progress,
                )
                .await
            }
        }
    }

    async fn engine_with(&self, reference: &str) -> Result<&BuilderEngine, BuildError> {
        for engine in self.inner.engines.values() {
            if engine.diff_ids(reference).await?.is_some() {
                return Ok(engine);
            }
        }
        Err(BuildError::NoImage {
            reference: reference.to_owned(),
        })
    }
}
