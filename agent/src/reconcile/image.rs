//! What is done to images: delivered, tagged, forgotten, and what is left of a delivery that did not end well.

use std::collections::BTreeSet;

use jiff::Timestamp;
use tfleet_proto::model::desired::{DesiredImage, DesiredState};
use tfleet_proto::model::digest::Digest;
use tfleet_proto::model::failure::Failure;
use tracing::{info, warn};

use super::Reconciler;
use super::act::{not_written, refused};
use super::in_flight::Outcome;
use crate::artifact::{is_loading, loading_reference};
use crate::ledger::ImageDeed;
use crate::steps::Subject;

/// The code of a failure that a new session cures.
pub(super) const NO_SESSION: &str = "coordinator-unreachable";

impl Reconciler {
    pub(super) async fn begin_delivery(&mut self, image: DesiredImage) -> Result<(), Failure> {
        let channel = self.ends.channel.borrow().clone().ok_or_else(|| {
            Failure::new(
                NO_SESSION,
                "the image cannot be fetched while there is no session with the coordinator",
            )
        })?;
        // A death between its tags and its note would leave an image that nobody knows of.
        self.deeds
            .note_delivery(image.artifact, image.tags.clone())
            .await
            .map_err(not_written)?;
        info!(release = %image.release, variant = %image.variant, artifact = %image.artifact.short(), "fetching an image");
        self.in_flight.begin(self.delivery.clone(), channel, image);
        Ok(())
    }

    /// Notes how a delivery ended.
    pub(super) async fn note_outcome(&mut self, outcome: Outcome) {
        let Outcome {
            image,
            started_at,
            progress,
            result,
        } = outcome;
        let subject = Subject::Image(image.artifact);
        let noted = match result {
            Ok(delivered) => {
                info!(release = %image.release, variant = %image.variant, wire_bytes = progress.wire_bytes, peer_bytes = progress.peer_bytes, "an image is here");
                let deed = ImageDeed {
                    engine_id: delivered.image_id,
                    tags: image.tags,
                    content_bytes: progress.content_bytes,
                    present_bytes: progress.present_bytes,
                    fetched_bytes: progress.fetched_bytes,
                    kept_bytes: progress.kept_bytes,
                    wire_bytes: progress.wire_bytes,
                    peer_bytes: progress.peer_bytes,
                    started_at: Some(started_at),
                    finished_at: Timestamp::now(),
                };
                self.deeds
                    .note_image(image.artifact, deed)
                    .await
                    .map_err(|error| Some(not_written(error)))
            }
            Err(failure) => Err(failure),
        };
        match noted {
            Ok(()) => self.holds.done(&subject),
            Err(Some(failure)) => self.hold_back(subject, failure),
            Err(None) => info!(artifact = %image.artifact.short(), "a delivery was called off"),
        }
    }

    /// That we give a tag is noted before it is given: one that we gave and do not know of would stay for ever.
    pub(super) async fn tag(
        &mut self,
        artifact: Digest,
        engine_id: &str,
        references: Vec<String>,
    ) -> Result<(), Failure> {
        if let Some(mut deed) = self.deeds.images().get(&artifact).cloned() {
            deed.tags.extend(
                references
                    .iter()
                    .filter(|tag| !deed.tags.contains(tag))
                    .cloned()
                    .collect::<Vec<_>>(),
            );
            self.deeds
                .note_image(artifact, deed)
                .await
                .map_err(not_written)?;
        }
        for reference in references {
            self.engine
                .tag(engine_id, &reference)
                .await
                .map_err(refused)?;
        }
        Ok(())
    }

    pub(super) async fn forget_image(
        &mut self,
        artifact: Digest,
        names: &[String],
    ) -> Result<(), Failure> {
        for name in names {
            self.engine.remove_image(name).await.map_err(refused)?;
        }
        info!(artifact = %artifact.short(), "an image that nobody wants was removed");
        self.deeds
            .forget_image(&artifact)
            .await
            .map_err(not_written)
    }

    /// What a finished delivery brought is noted; one that nobody wants any more is called off.
    pub(super) async fn settle_delivery(&mut self, desired: Option<&DesiredState>) {
        if let Some(desired) = desired
            && let Some(artifact) = self.in_flight.artifact()
            && desired
                .images
                .iter()
                .all(|image| image.artifact != artifact)
        {
            self.in_flight.call_off();
        }
        if let Some(outcome) = self.in_flight.take_outcome() {
            self.note_outcome(outcome).await;
        }
    }

    /// What earlier deliveries left of images that nobody wants any more is removed, once for each desired state.
    pub(super) async fn drop_remains(&mut self, desired: Option<&DesiredState>) {
        let Some(desired) = desired else { return };
        let generation = (desired.incarnation, desired.generation);
        if self.in_flight.artifact().is_some() {
            return;
        }
        if self.tidied == Some(generation) {
            if let Err(error) = self.delivery.yield_room().await {
                let reason: &dyn std::error::Error = &error;
                warn!(error = reason, "kept chunks cannot make room");
            }
            return;
        }
        self.tidied = Some(generation);
        let wanted: BTreeSet<Digest> = desired.images.iter().map(|image| image.artifact).collect();
        if let Err(error) = self.delivery.keep_only(wanted.clone()).await {
            let reason: &dyn std::error::Error = &error;
            warn!(
                error = reason,
                "what remains of earlier deliveries cannot be removed"
            );
        }
        if let Err(failure) = self.drop_unfinished(&wanted).await {
            warn!(%failure, "an image whose delivery was not finished cannot be removed now");
        }
    }

    /// A delivery that was called off, or that died with an earlier life of this agent, may have left its image in the
    /// engine: under the name for images that are not whole yet, or under tags that it gave and did not note.
    async fn drop_unfinished(&mut self, wanted: &BTreeSet<Digest>) -> Result<(), Failure> {
        let images = self.engine.images().await.map_err(refused)?;
        let is_there = |name: &String| images.iter().any(|image| image.tags.contains(name));
        // A wanted one is taken up again where it stands.
        let kept: BTreeSet<String> = wanted.iter().map(loading_reference).collect();
        let unfinished = images.iter().flat_map(|image| &image.tags);
        for name in unfinished.filter(|name| is_loading(name) && !kept.contains(*name)) {
            self.engine.remove_image(name).await.map_err(refused)?;
            info!(name, "removed an image that was never finished");
        }
        let unwanted = self.deeds.deliveries().iter();
        let unwanted: Vec<(Digest, Vec<String>)> = unwanted
            .filter(|(artifact, _)| !wanted.contains(artifact))
            .map(|(artifact, tags)| (*artifact, tags.clone()))
            .collect();
        for (artifact, tags) in unwanted {
            for tag in tags.iter().filter(|tag| is_there(tag)) {
                // By now it may be another's. One that shall have it and is not here gets it with its delivery; until
                // then it would only keep this one from being removed, and then leave it without any name.
                let mut known = self.deeds.images().values();
                if known.any(|deed| deed.tags.contains(tag)) {
                    continue;
                }
                self.engine.remove_image(tag).await.map_err(refused)?;
                info!(
                    tag,
                    "removed an image whose delivery an earlier life of this agent did not note"
                );
            }
            self.deeds
                .forget_delivery(&artifact)
                .await
                .map_err(not_written)?;
        }
        Ok(())
    }
}
