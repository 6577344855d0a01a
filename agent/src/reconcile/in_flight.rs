//! The delivery that runs beside the loop: at most one, since two loads at once are slower than one after the other.

use jiff::Timestamp;
use tfleet_proto::model::desired::DesiredImage;
use tfleet_proto::model::digest::Digest;
use tfleet_proto::model::failure::Failure;
use tfleet_proto::wire::artifacts_client::ArtifactsClient;
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;

use crate::artifact::{Delivered, Delivery, DeliveryError, ImageProgress};

#[derive(Default)]
pub(super) struct InFlight {
    current: Option<Current>,
    /// Holds one task at most; dropping it ends the task.
    tasks: JoinSet<Result<Delivered, DeliveryError>>,
    ended: Option<Result<Result<Delivered, DeliveryError>, JoinError>>,
}

struct Current {
    image: DesiredImage,
    progress: watch::Receiver<ImageProgress>,
    started_at: Timestamp,
    cancel: CancellationToken,
}

/// What a report says about the delivery.
pub(super) struct Sight {
    pub artifact: Digest,
    pub started_at: Timestamp,
    pub progress: ImageProgress,
}

/// How a delivery ended.
pub(super) struct Outcome {
    pub image: DesiredImage,
    pub started_at: Timestamp,
    pub progress: ImageProgress,
    /// `Err(None)`: it was called off.
    pub result: Result<Delivered, Option<Failure>>,
}

impl InFlight {
    /// Begins a delivery. There must be none.
    pub fn begin(&mut self, delivery: Delivery, channel: Channel, image: DesiredImage) {
        let (sender, progress) = watch::channel(ImageProgress::default());
        let cancel = CancellationToken::new();
        let (artifact, tags, token) = (image.artifact, image.tags.clone(), cancel.clone());
        self.tasks.spawn(async move {
            let client = ArtifactsClient::new(channel);
            delivery
                .deliver(client, &artifact, &tags, sender, token)
                .await
        });
        self.current = Some(Current {
            image,
            progress,
            started_at: Timestamp::now(),
            cancel,
        });
    }

    pub fn artifact(&self) -> Option<Digest> {
        self.current.as_ref().map(|current| current.image.artifact)
    }

    pub fn sight(&self) -> Option<Sight> {
        self.current.as_ref().map(|current| Sight {
            artifact: current.image.artifact,
            started_at: current.started_at,
            progress: *current.progress.borrow(),
        })
    }

    pub fn call_off(&self) {
        if let Some(current) = &self.current {
            current.cancel.cancel();
        }
    }

    /// Waits until the delivery has ended; for ever while there is none. Dropping it loses nothing.
    pub async fn finished(&mut self) {
        if self.ended.is_some() {
            return;
        }
        match self.tasks.join_next().await {
            Some(ended) => self.ended = Some(ended),
            None => std::future::pending().await,
        }
    }

    /// How the delivery ended, once.
    pub fn take_outcome(&mut self) -> Option<Outcome> {
        let ended = self.ended.take().or_else(|| self.tasks.try_join_next())?;
        let Current {
            image,
            progress,
            started_at,
            cancel,
        } = self.current.take()?;
        let result = match ended {
            Ok(Ok(delivered)) => Ok(delivered),
            _ if cancel.is_cancelled() => Err(None),
            Ok(Err(error)) => Err(Some(error.failure())),
            Err(ended) => {
                tracing::error!(error = %ended, "a delivery died");
                Err(Some(Failure::new(
                    "delivery-died",
                    "the delivery of the image ended by a fault of the agent",
                )))
            }
        };
        let progress = *progress.borrow();
        Some(Outcome {
            image,
            started_at,
            progress,
            result,
        })
    }
}
