//! Images: which there are, their names.

use std::sync::PoisonError;

use bollard::errors::Error as ClientError;
use bollard::query_parameters::{
    ListImagesOptionsBuilder, RemoveImageOptionsBuilder, TagImageOptionsBuilder,
};
use tfleet_proto::model::digest::Digest;
use tfleet_proto::model::inventory::EngineImage;
use tracing::warn;

use super::{Engine, EngineError, Refusal};

/// One image, found by a reference or an identifier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundImage {
    pub engine_id: String,
    pub diff_ids: Vec<Digest>,
    /// What the image's configuration sets, as NAME=VALUE.
    pub environment: Vec<String>,
}

/// What an engine calls an image that has no name.
const NO_NAME: &str = "<none>:<none>";

impl Engine {
    pub async fn images(&self) -> Result<Vec<EngineImage>, EngineError> {
        let docker = self.quick().await?;
        let options = ListImagesOptionsBuilder::default().build();
        let summaries = self
            .ask("list its images", docker.list_images(Some(options)))
            .await?;
        let mut images = Vec::with_capacity(summaries.len());
        for summary in summaries {
            // One that is removed meanwhile, or is broken, hides no other.
            let Some(diff_ids) = self.diff_ids(&summary.id).await? else {
                continue;
            };
            images.push(EngineImage {
                engine_id: summary.id,
                tags: summary
                    .repo_tags
                    .into_iter()
                    .filter(|tag| tag != NO_NAME)
                    .collect(),
                diff_ids,
                size_bytes: u64::try_from(summary.size).unwrap_or_default(),
            });
        }
        self.forget_diff_ids_except(&images);
        Ok(images)
    }

    /// Looks for one image.
    pub async fn find_image(&self, name: &str) -> Result<Option<FoundImage>, EngineError> {
        let docker = self.quick().await?;
        let image = match docker.inspect_image(name).await {
            Ok(image) => image,
            Err(ClientError::DockerResponseServerError {
                status_code: 404, ..
            }) => return Ok(None),
            Err(error) => return Err(self.failed("look at an image", error)),
        };
        let incomplete = |what| EngineError::Incomplete {
            operation: "look at an image",
            what,
        };
        let layers = image
            .root_fs
            .and_then(|root| root.layers)
            .unwrap_or_default();
        let diff_ids: Result<Vec<Digest>, _> = layers.iter().map(|layer| layer.parse()).collect();
        Ok(Some(FoundImage {
            environment: image
                .config
                .and_then(|config| config.env)
                .unwrap_or_default(),
            engine_id: image.id.ok_or(incomplete("its identifier"))?,
            diff_ids: diff_ids.map_err(|_| incomplete("its layers as SHA-256 digests"))?,
        }))
    }

    /// Gives an image one more name, "repository:tag"; an image that had it loses it.
    pub async fn tag(&self, image_id: &str, reference: &str) -> Result<(), EngineError> {
        let docker = self.quick().await?;
        let (repository, tag) = reference.rsplit_once(':').unwrap_or((reference, "latest"));
        let options = TagImageOptionsBuilder::default()
            .repo(repository)
            .tag(tag)
            .build();
        self.ask("tag an image", docker.tag_image(image_id, Some(options)))
            .await
    }

    /// Takes a name from an image, and removes the image with its last one. Says nothing if there is none.
    pub async fn remove_image(&self, name: &str) -> Result<(), EngineError> {
        let docker = self.quick().await?;
        let options = RemoveImageOptionsBuilder::default().build();
        match docker.remove_image(name, Some(options), None).await {
            Ok(_)
            | Err(ClientError::DockerResponseServerError {
                status_code: 404, ..
            }) => Ok(()),
            Err(error) => Err(self.failed("remove an image", error)),
        }
    }

    async fn diff_ids(&self, engine_id: &str) -> Result<Option<Vec<Digest>>, EngineError> {
        let known = self
            .diff_ids
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(engine_id)
            .cloned();
        if known.is_some() {
            return Ok(known);
        }
        let found = match self.find_image(engine_id).await {
            Ok(found) => found,
            Err(
                error @ EngineError::Refused {
                    refusal: Refusal::Other,
                    ..
                },
            ) => {
                warn!(image = engine_id, %error, "an image is left out because the engine cannot show it");
                None
            }
            Err(error) => return Err(error),
        };
        Ok(found.map(|found| {
            let mut known = self.diff_ids.lock().unwrap_or_else(PoisonError::into_inner);
            known.insert(engine_id.to_owned(), found.diff_ids.clone());
            found.diff_ids
        }))
    }

    fn forget_diff_ids_except(&self, images: &[EngineImage]) {
        let mut known = self.diff_ids.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() > images.len() {
            known.retain(|id, _| images.iter().any(|image| image.engine_id == *id));
        }
    }
}
