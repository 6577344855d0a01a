//! Images and bases that others made: read as they arrive, into the same store as our own builds.

use std::io;

use bytes::Bytes;
use tfleet_proto::model::name::{ReleaseName, VariantId};
use tfleet_proto::wire;
use tfleet_proto::wire::add_image_request::Request as FromOperator;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};
use tracing::info;

use super::super::Foresight;
use super::declined::Declined;
use super::releases::wire_release;
use super::{Answers, OperatorService, incoming};
use crate::artifact::Received;
use crate::build::{BuildError, Builds, ImageSource};
use crate::store::{BuildPhase, Origin, Store, VariantBuild};

/// Pieces of at most 1 MiB that wait for the store.
const PIECES_WAITING: usize = 4;
const EVENTS_WAITING: usize = 4;
/// The one variant of an image that others built.
const ADDED_VARIANT: &str = "image";

type Events = mpsc::Sender<Result<wire::AddImageEvent, Status>>;

impl OperatorService {
    pub(super) async fn add_image(
        &self,
        mut incoming: Streaming<wire::AddImageRequest>,
        by: String,
    ) -> Result<Answers<wire::AddImageEvent>, Declined> {
        let start = read_start(&mut incoming).await?;
        let name: ReleaseName = start
            .name
            .parse()
            .map_err(|error| Declined::field("start.name", format!("{error}")))?;
        let added = Added {
            name,
            origin: Origin::Added {
                needs_gpu: start.needs_gpu,
                cuda: (!start.cuda.is_empty()).then_some(start.cuda),
            },
            by,
            foresight: self.foresight.clone(),
        };
        let (builds, store) = (self.builds.clone(), self.store.clone());
        let (events, answers) = mpsc::channel(EVENTS_WAITING);
        let source = self.source(start.engine_image, incoming);
        self.tasks.spawn(async move {
            let outcome = added.take(&builds, &store, source, &events).await;
            finish(&events, outcome).await;
        });
        Ok(Box::pin(ReceiverStream::new(answers)))
    }

    pub(super) async fn import_base(
        &self,
        mut incoming: Streaming<wire::AddImageRequest>,
        by: String,
    ) -> Result<Answers<wire::AddImageEvent>, Declined> {
        let start = read_start(&mut incoming).await?;
        if start.name.is_empty() {
            return Err(Declined::field("start.name", "is required"));
        }
        let (name, builds) = (start.name, self.builds.clone());
        let (events, answers) = mpsc::channel(EVENTS_WAITING);
        let source = self.source(start.engine_image, incoming);
        self.tasks.spawn(async move {
            let told = |bytes| tell(&events, bytes);
            let outcome = builds.import_base(&name, source, &told).await;
            let outcome = outcome.map(|Received { artifact, .. }| {
                info!(base = name, %artifact, by, "a base was imported");
                wire::AddImageEvent {
                    activity: "imported".to_owned(),
                    base: name,
                    ..Default::default()
                }
            });
            finish(&events, outcome.map_err(Declined::from)).await;
        });
        Ok(Box::pin(ReceiverStream::new(answers)))
    }

    fn source(
        &self,
        engine_image: String,
        incoming: Streaming<wire::AddImageRequest>,
    ) -> ImageSource {
        if !engine_image.is_empty() {
            return ImageSource::Engine(engine_image);
        }
        let (pieces, receiver) = mpsc::channel(PIECES_WAITING);
        self.tasks.spawn(incoming::pass_on(incoming, pieces, data));
        ImageSource::Archive(receiver)
    }
}

/// An image that becomes a release.
struct Added {
    name: ReleaseName,
    origin: Origin,
    by: String,
    foresight: Foresight,
}

impl Added {
    async fn take(
        self,
        builds: &Builds,
        store: &Store,
        source: ImageSource,
        events: &Events,
    ) -> Result<wire::AddImageEvent, Declined> {
        let told = |bytes| tell(events, bytes);
        let Received { artifact, index } = builds.add_image(source, &told).await?;
        let variant: VariantId = ADDED_VARIANT
            .parse()
            .map_err(|error| Declined::field("start.name", format!("{error}")))?;
        let build = VariantBuild {
            phase: BuildPhase::Done,
            artifact: Some(artifact),
            content_bytes: index.content_bytes(),
            stored_bytes: index.frame_bytes(),
            ..VariantBuild::waiting(variant)
        };
        let created = store
            .create_release(self.name, self.origin, vec![build], self.by.clone())
            .await?;
        let release = created.release();
        info!(release = %release.reference, %artifact, by = self.by, "an image was added");
        self.foresight.stored(artifact);
        Ok(wire::AddImageEvent {
            activity: "stored".to_owned(),
            done_bytes: index.content_bytes(),
            release: Some(wire_release(&release)),
            ..Default::default()
        })
    }
}

fn data(message: wire::AddImageRequest) -> io::Result<Bytes> {
    match message.request {
        Some(FromOperator::Data(data)) => Ok(data),
        Some(FromOperator::Start(_)) | None => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "only data follows the first message",
        )),
    }
}

async fn read_start(
    incoming: &mut Streaming<wire::AddImageRequest>,
) -> Result<wire::AddImageStart, Declined> {
    let first = incoming::first(incoming).await?;
    match first.and_then(|first| first.request) {
        Some(FromOperator::Start(start)) => Ok(start),
        _ => Err(Declined::field("start", "must be the first message")),
    }
}

/// A caller that is slow to hear of progress hears of less.
fn tell(events: &Events, done_bytes: u64) {
    let event = wire::AddImageEvent {
        activity: "storing".to_owned(),
        done_bytes,
        ..Default::default()
    };
    let _ = events.try_send(Ok(event));
}

/// A caller that is gone finds the outcome in the list of releases.
async fn finish(events: &Events, outcome: Result<wire::AddImageEvent, Declined>) {
    if let Err(Declined::Build(error)) = &outcome
        && !matches!(error, BuildError::Cancelled)
    {
        tracing::warn!(error = %error.failure(), "an image was not taken");
    }
    let _ = events.send(outcome.map_err(Status::from)).await;
}
