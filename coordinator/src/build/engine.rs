//! A builder's engine: the few things that builds ask of it.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bollard::models::BuildInfo;
use bollard::query_parameters::{
    BuildImageOptionsBuilder, BuilderVersion, CreateImageOptionsBuilder, ImportImageOptionsBuilder,
    ListImagesOptionsBuilder, PruneBuildOptionsBuilder, RemoveImageOptionsBuilder,
};
use bollard::{API_DEFAULT_VERSION, Docker, body_stream, body_try_stream};
use bytes::Bytes;
use futures::{Stream, StreamExt as _};
use tfleet_compat::Architecture;
use tfleet_proto::model::digest::Digest;
use tokio::sync::{OnceCell, RwLock, mpsc};
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;

use super::BuildError;
use super::context::Context;
use super::error::PULL;

mod container;

pub use container::{ContainerRequest, START};

/// bollard's own time-out covers a whole upload, so it must never strike; [`STALL`] watches progress instead.
const WHOLE_REQUEST_SECONDS: u64 = 7 * 24 * 3600;

/// An engine of 20.10 unpacks a whole image before the first byte of a save; five minutes fit 5 GB on a slow disk.
const STALL: Duration = Duration::from_secs(900);

/// The connection to a builder's engine. Cheap to clone.
#[derive(Debug, Clone)]
pub struct BuilderEngine {
    docker: Docker,
    /// Whether what an earlier life of the coordinator left was removed.
    tidied: Arc<OnceCell<()>>,
    /// Read by whoever builds, written by whoever gives back what BuildKit keeps.
    steps: Arc<RwLock<()>>,
    pub endpoint: String,
    pub architecture: Architecture,
}

/// What a build step needs besides its context.
#[derive(Debug, Clone)]
pub struct BuildRequest {
    /// The tag that the image gets.
    pub reference: String,
    pub network: String,
    /// Names the BuildKit session; unique per build.
    pub session: String,
    /// The Dockerfile's `ARG`s.
    pub arguments: HashMap<String, String>,
}

impl BuilderEngine {
    /// Prepares the connection; nothing is sent yet.
    ///
    /// # Errors
    /// If `endpoint` is not `unix://PATH` or `tcp://HOST:PORT`. The configuration allows the latter on this machine alone.
    pub fn new(endpoint: &str, architecture: Architecture) -> Result<Self, BuildError> {
        let docker = if endpoint.starts_with("unix://") {
            Docker::connect_with_unix(endpoint, WHOLE_REQUEST_SECONDS, API_DEFAULT_VERSION)
        } else {
            Docker::connect_with_http(endpoint, WHOLE_REQUEST_SECONDS, API_DEFAULT_VERSION)
        };
        let docker = docker.map_err(|source| BuildError::Engine {
            endpoint: endpoint.to_owned(),
            operation: "be reached",
            source,
        })?;
        Ok(Self {
            docker,
            tidied: Arc::default(),
            steps: Arc::default(),
            endpoint: endpoint.to_owned(),
            architecture,
        })
    }

    /// The image's diff IDs, or none if the engine has no such image.
    pub async fn diff_ids(&self, reference: &str) -> Result<Option<Vec<Digest>>, BuildError> {
        let image = match self.docker.inspect_image(reference).await {
            Ok(image) => image,
            Err(bollard::errors::Error::DockerResponseServerError {
                status_code: 404, ..
            }) => return Ok(None),
            Err(source) => return Err(self.failed("look for an image", source)),
        };
        let layers = image
            .root_fs
            .and_then(|root| root.layers)
            .unwrap_or_default();
        Ok(layers.iter().map(|layer| layer.parse().ok()).collect())
    }

    /// Bytes of the image's layers, as the engine counts them.
    pub async fn image_bytes(&self, reference: &str) -> Result<u64, BuildError> {
        let image = self.docker.inspect_image(reference).await;
        let image = image.map_err(|source| self.failed("look for an image", source))?;
        Ok(image
            .size
            .and_then(|bytes| u64::try_from(bytes).ok())
            .unwrap_or(0))
    }

    /// Fetches an image from its registry. `progress` gets the engine's words, and ends the pull with an error of its
    /// own: the registry tells no sizes beforehand.
    pub async fn pull(
        &self,
        reference: &str,
        progress: impl Fn(Option<&str>) -> Result<(), BuildError>,
    ) -> Result<(), BuildError> {
        let (image, version) = split_reference(reference);
        let options = CreateImageOptionsBuilder::default()
            .from_image(image)
            .tag(version)
            .build();
        let mut answers = self.docker.create_image(Some(options), None, None);
        while let Some(answer) = self.next(&mut answers, PULL).await? {
            let answer = answer.map_err(|source| self.failed(PULL, source))?;
            let words = answer.status.filter(|_| answer.progress_detail.is_none());
            progress(words.as_deref())?;
        }
        Ok(())
    }

    /// Loads an archive and reads the engine's answer to its end: a failure comes inside a successful response.
    pub async fn load(&self, archive: mpsc::Receiver<Bytes>) -> Result<(), BuildError> {
        let options = ImportImageOptionsBuilder::default().quiet(true).build();
        let body = body_stream(ReceiverStream::new(archive));
        let mut answers = self.docker.import_image(options, body, None);
        let mut said = String::new();
        while let Some(answer) = self.next(&mut answers, "load a base").await? {
            let answer = answer.map_err(|source| self.failed("load a base", source))?;
            if let Some(error) = answer.error_detail.and_then(|detail| detail.message) {
                return Err(self.refused("load a base", error));
            }
            said.push_str(&answer.stream.unwrap_or_default());
        }
        if said.contains("Loaded image") && !said.contains("Error unpacking") {
            Ok(())
        } else {
            Err(self.refused("load a base", said))
        }
    }

    /// Sends the image's archive piece by piece until `pieces` is no longer read.
    pub async fn save(
        &self,
        reference: &str,
        pieces: mpsc::Sender<io::Result<Bytes>>,
    ) -> Result<(), BuildError> {
        let mut archive = Box::pin(self.docker.export_image(reference));
        while let Some(piece) = self.next(&mut archive, "save an image").await? {
            let piece = piece.map_err(|source| self.failed("save an image", source))?;
            if pieces.send(Ok(piece)).await.is_err() {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Builds with BuildKit and hands each of the engine's messages to `observe`. Dropping the future ends the build.
    pub async fn build(
        &self,
        context: Context,
        request: &BuildRequest,
        mut observe: impl FnMut(BuildInfo),
    ) -> Result<(), BuildError> {
        let options = BuildImageOptionsBuilder::default()
            .dockerfile("Dockerfile")
            .t(&request.reference)
            .version(BuilderVersion::BuilderBuildKit)
            .session(&request.session)
            .buildargs(&request.arguments)
            .networkmode(&request.network)
            .rm(true)
            .build();
        let mut messages = Box::pin(self.docker.build_image(
            options,
            None,
            Some(body_try_stream(context.stream())),
        ));
        while let Some(message) = self.next(&mut messages, "build an image").await? {
            observe(message.map_err(|source| self.failed("build an image", source))?);
        }
        Ok(())
    }

    /// The words of each step that made the image, the last first.
    pub async fn history(&self, reference: &str) -> Result<Vec<String>, BuildError> {
        let history = self.docker.image_history(reference).await;
        let history = history.map_err(|source| self.failed("tell an image's history", source))?;
        Ok(history.into_iter().map(|step| step.created_by).collect())
    }

    /// The image's environment, "NAME=VALUE".
    pub async fn environment(&self, reference: &str) -> Result<Vec<String>, BuildError> {
        let image = self.docker.inspect_image(reference).await;
        let image = image.map_err(|source| self.failed("look for an image", source))?;
        Ok(image
            .config
            .and_then(|config| config.env)
            .unwrap_or_default())
    }

    /// Removes all containers with `label`, whose value is the tag that they run from, and all tags of `repository`, but
    /// what is in use, once in the life of this value and of its clones.
    pub async fn remove_once(
        &self,
        repository: &str,
        label: &str,
        is_in_use: impl Fn(&str) -> bool,
    ) -> Result<(), BuildError> {
        let remove = || async {
            self.remove_labelled(label, &is_in_use).await?;
            for tag in self.tags(repository).await? {
                if is_in_use(&tag) {
                    continue;
                }
                tracing::info!(endpoint = self.endpoint, tag, "removing what a build left");
                self.remove(&tag).await?;
            }
            Ok::<_, BuildError>(())
        };
        self.tidied.get_or_try_init(remove).await.copied()
    }

    async fn tags(&self, repository: &str) -> Result<Vec<String>, BuildError> {
        let filters = HashMap::from([("reference", vec![repository])]);
        let options = ListImagesOptionsBuilder::default().filters(&filters);
        let images = self.docker.list_images(Some(options.build())).await;
        let images = images.map_err(|source| self.failed("list its images", source))?;
        let tags = images.into_iter().flat_map(|image| image.repo_tags);
        // An image may have tags of other repositories too.
        let of_repository = |tag: &String| {
            tag.rsplit_once(':')
                .is_some_and(|(name, _)| name == repository)
        };
        Ok(tags.filter(of_repository).collect())
    }

    /// Removes a tag, and the image with its last one.
    pub async fn remove(&self, reference: &str) -> Result<(), BuildError> {
        let options = RemoveImageOptionsBuilder::default().force(true).build();
        match self
            .docker
            .remove_image(reference, Some(options), None)
            .await
        {
            Ok(_)
            | Err(bollard::errors::Error::DockerResponseServerError {
                status_code: 404, ..
            }) => Ok(()),
            Err(source) => Err(self.failed("remove an image", source)),
        }
    }

    /// As long as this is held, BuildKit keeps what it has. A context that was sent and not yet read is to it one more
    /// thing that nobody uses.
    pub async fn keep_build_steps(&self) -> impl Drop + use<> {
        Arc::clone(&self.steps).read_owned().await
    }

    /// Gives back what BuildKit keeps of finished builds: the blobs are the cache, and the engine's copy of 5 GB of
    /// layers would be a second one. The API of older engines cannot name only ours. None: other builds are under way, and
    /// the last of them does it.
    pub async fn forget_build_steps(&self) -> Result<Option<u64>, BuildError> {
        let Ok(_alone) = self.steps.try_write() else {
            return Ok(None);
        };
        let options = PruneBuildOptionsBuilder::default().all(true).build();
        let pruned = self.docker.prune_build(Some(options)).await;
        let pruned = pruned.map_err(|source| self.failed("forget build steps", source))?;
        let freed = pruned.space_reclaimed;
        Ok(Some(
            freed
                .and_then(|bytes| u64::try_from(bytes).ok())
                .unwrap_or(0),
        ))
    }

    /// Where the engine keeps its data, if that is on this machine. A TCP port and a socket may both lead to another
    /// one, where the same path means another disk.
    pub async fn data_root(&self) -> Result<Option<PathBuf>, BuildError> {
        if !self.endpoint.starts_with("unix://") {
            return Ok(None);
        }
        let info = self
            .docker
            .info()
            .await
            .map_err(|source| self.failed("say what it is", source))?;
        let id = info.id.unwrap_or_default();
        Ok(info
            .docker_root_dir
            .map(PathBuf::from)
            .filter(|root| root.is_dir() && !belongs_to_another(root, &id)))
    }

    async fn next<S: Stream + Unpin>(
        &self,
        stream: &mut S,
        operation: &'static str,
    ) -> Result<Option<S::Item>, BuildError> {
        timeout(STALL, stream.next())
            .await
            .map_err(|_| self.stalled(operation))
    }

    fn stalled(&self, operation: &'static str) -> BuildError {
        BuildError::Stalled {
            endpoint: self.endpoint.clone(),
            operation,
            seconds: STALL.as_secs(),
        }
    }

    fn failed(&self, operation: &'static str, source: bollard::errors::Error) -> BuildError {
        BuildError::Engine {
            endpoint: self.endpoint.clone(),
            operation,
            source,
        }
    }

    fn refused(&self, operation: &'static str, error: String) -> BuildError {
        self.failed(
            operation,
            bollard::errors::Error::DockerStreamError { error },
        )
    }
}

/// Whether an engine with another ID than `id` keeps its data there. Engines before 23.0 leave no ID in it.
fn belongs_to_another(root: &Path, id: &str) -> bool {
    std::fs::read_to_string(root.join("engine-id")).is_ok_and(|found| found.trim() != id)
}

/// An image's name, and its digest, tag or `latest`. As with the engine's own client, a digest wins over a tag beside it.
fn split_reference(reference: &str) -> (&str, &str) {
    let (tagged, digest) = match reference.split_once('@') {
        Some((tagged, digest)) => (tagged, Some(digest)),
        None => (reference, None),
    };
    // A colon before the last slash is that of a registry's port.
    let (name, tag) = match tagged.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, tag),
        _ => (tagged, "latest"),
    };
    (name, digest.unwrap_or(tag))
}

#[cfg(test)]
mod tests;
