//! The vault, and bundles on their way out and in.

mod contents;

use bytes::Bytes;
use tfleet_proto::model::name::ReleaseQuery;
use tfleet_proto::wire;
use tfleet_proto::wire::export_bundle_request::Request as FromOperator;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};
use tracing::info;

use super::declined::Declined;
use super::releases::wire_release;
use super::{Answers, OperatorService, incoming};
use crate::build::pipe::{PipeReader, from_writer};
use crate::build::{BuildError, Builds};
use crate::bundle::{self, Arrived, BundleError, Document, Have};
use crate::store::{Origin, Release, Store};
use crate::vault::Vault;

/// Pieces of at most 1 MiB that wait.
const PIECES_WAITING: usize = 4;
const PIECE_BYTES: usize = 1 << 20;
/// The list of a site with a hundred TB of images.
const LARGEST_HAVE_BYTES: usize = 2 << 30;

type Pieces = Answers<wire::BundlePiece>;

impl OperatorService {
    pub(super) async fn list_vault(&self) -> Result<wire::ListVaultResponse, Declined> {
        let releases = self.store.releases().await?;
        let (builds, vault, artifacts) = (
            self.builds.clone(),
            self.vault.clone(),
            self.artifacts.clone(),
        );
        blocking(move || contents::listed(&builds, &vault, &artifacts, &releases)).await
    }

    pub(super) async fn list_have(&self) -> Result<Pieces, Declined> {
        let (artifacts, vault) = (self.artifacts.clone(), self.vault.clone());
        let text = blocking(move || bundle::have(&artifacts, &vault))
            .await?
            .json();
        let total_bytes = text.len() as u64;
        let (sender, pieces) = mpsc::channel(PIECES_WAITING);
        self.tasks.spawn(async move {
            let mut text = Bytes::from(text);
            let mut first = total_bytes;
            while !text.is_empty() {
                let data = text.split_to(text.len().min(PIECE_BYTES));
                let piece = wire::BundlePiece {
                    data,
                    total_bytes: std::mem::take(&mut first),
                };
                if sender.send(Ok(piece)).await.is_err() {
                    return;
                }
            }
        });
        Ok(Box::pin(ReceiverStream::new(pieces)))
    }

    pub(super) async fn export_bundle(
        &self,
        mut incoming: Streaming<wire::ExportBundleRequest>,
        by: String,
    ) -> Result<Pieces, Declined> {
        let start = read_start(&mut incoming).await?;
        if start.releases.is_empty() {
            return Err(Declined::field(
                "start.releases",
                "name at least one release",
            ));
        }
        let mut releases: Vec<Release> = Vec::new();
        for (index, name) in start.releases.iter().enumerate() {
            let field = format!("start.releases[{index}]");
            let release = self.release(&field, name).await?;
            if !releases
                .iter()
                .any(|other| other.reference == release.reference)
            {
                releases.push(release);
            }
        }
        let have = read_have(&mut incoming).await?;
        let (artifacts, vault) = (self.artifacts.clone(), self.vault.clone());
        let with_wheels = start.wheels;
        let contents =
            blocking(move || bundle::gather(&releases, &artifacts, &vault, &have, with_wheels))
                .await?;
        let total_bytes = contents.bytes();
        info!(
            releases = start.releases.join(", "),
            total_bytes, by, "a bundle is exported"
        );
        let (sender, pieces) = mpsc::channel(PIECES_WAITING);
        let (writer, mut written) = from_writer();
        let writing = tokio::task::spawn_blocking(move || {
            contents
                .write(writer)?
                .finish()
                .map_err(|_| BundleError::Stopping)
        });
        self.tasks.spawn(async move {
            let mut first = total_bytes;
            while let Some(data) = written.recv().await {
                let piece = wire::BundlePiece {
                    data,
                    total_bytes: std::mem::take(&mut first),
                };
                if sender.send(Ok(piece)).await.is_err() {
                    return;
                }
            }
            let written = writing.await.unwrap_or(Err(BundleError::Stopping));
            if let Err(error) = written {
                tracing::warn!(error = %error.failure(), "a bundle was not written");
                let _ = sender.send(Err(Declined::from(error).into())).await;
            }
        });
        Ok(Box::pin(ReceiverStream::new(pieces)))
    }

    pub(super) async fn import_bundle(
        &self,
        incoming: Streaming<wire::ImportBundleRequest>,
        by: String,
    ) -> Result<Answers<wire::ImportBundleEvent>, Declined> {
        let (pieces, received) = mpsc::channel(PIECES_WAITING);
        let data = |message: wire::ImportBundleRequest| Ok(message.data);
        self.tasks.spawn(incoming::pass_on(incoming, pieces, data));
        let (events, answers) = mpsc::channel(PIECES_WAITING);
        let import = Importing {
            builds: self.builds.clone(),
            vault: self.vault.clone(),
            store: self.store.clone(),
        };
        self.tasks.spawn(async move {
            let outcome = import.run(PipeReader::new(received), &events, &by).await;
            if let Err(Declined::Bundle(error)) = &outcome {
                tracing::warn!(error = %error.failure(), "a bundle was not taken");
            }
            // A caller that is gone finds the releases in their list.
            let _ = events.send(outcome.map_err(Status::from)).await;
        });
        Ok(Box::pin(ReceiverStream::new(answers)))
    }
}

/// One bundle on its way in.
struct Importing {
    builds: Builds,
    vault: Vault,
    store: Store,
}

type Events = mpsc::Sender<Result<wire::ImportBundleEvent, Status>>;

impl Importing {
    async fn run(
        self,
        input: PipeReader,
        events: &Events,
        by: &str,
    ) -> Result<wire::ImportBundleEvent, Declined> {
        let (builds, vault, store) = (self.builds.clone(), self.vault, self.store.clone());
        let told = events.clone();
        let handle = Handle::current();
        let arrived = blocking(move || {
            let approve = |documents: &[Document]| handle.block_on(check(&store, documents));
            let progress = |done_bytes| {
                let event = wire::ImportBundleEvent {
                    done_bytes,
                    imported: None,
                };
                // A caller that is slow to hear of progress hears of less.
                let _ = told.try_send(Ok(event));
            };
            bundle::receive(input, builds.artifacts(), &vault, &approve, &progress)
        })
        .await?;
        let Arrived {
            releases,
            chunk_bytes,
            wheel_bytes,
            ..
        } = arrived;
        for release in &releases {
            remember(&self.builds, release)?;
        }
        let new = self.store.import_releases(releases.clone()).await?;
        for release in &new {
            info!(%release, by, "a release came in a bundle");
        }
        let releases = releases.iter().map(|release| wire::Release {
            existed: !new.contains(&release.reference),
            ..wire_release(release)
        });
        Ok(wire::ImportBundleEvent {
            done_bytes: chunk_bytes + wheel_bytes,
            imported: Some(wire::ImportedBundle {
                releases: releases.collect(),
                chunk_bytes,
                wheel_bytes,
            }),
        })
    }
}

/// Makes builds know what the release's locks became and which base has its name, where nothing else has it.
fn remember(builds: &Builds, release: &Release) -> Result<(), BuildError> {
    let base = match &release.origin {
        Origin::Planned { request, .. } => request.base.as_deref(),
        Origin::Added { .. } => None,
    };
    for build in &release.builds {
        if let (Some(lock), Some(artifact)) = (&build.lock, &build.artifact) {
            builds.remember(lock, artifact, base)?;
        }
    }
    Ok(())
}

/// None of the releases may be here with other content.
async fn check(store: &Store, documents: &[Document]) -> Result<(), BundleError> {
    for document in documents {
        let query = ReleaseQuery::Exact(document.reference());
        let here = store.release(query).await;
        let here = here.map_err(|error| BundleError::State(error.to_string()))?;
        if let Some(here) = here {
            document.check_against(&here)?;
        }
    }
    Ok(())
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, BundleError> + Send + 'static,
) -> Result<T, Declined> {
    let done = tokio::task::spawn_blocking(work).await;
    Ok(done.map_err(|_| Declined::Stopping)??)
}

async fn read_start(
    incoming: &mut Streaming<wire::ExportBundleRequest>,
) -> Result<wire::ExportBundleStart, Declined> {
    let first = incoming::first(incoming).await?;
    match first.and_then(|first| first.request) {
        Some(FromOperator::Start(start)) => Ok(start),
        _ => Err(Declined::field("start", "must be the first message")),
    }
}

/// The other site's list; none is one of nothing.
async fn read_have(incoming: &mut Streaming<wire::ExportBundleRequest>) -> Result<Have, Declined> {
    let mut text = Vec::new();
    while let Some(message) = incoming.message().await.map_err(Box::new)? {
        match message.request {
            Some(FromOperator::Have(data)) if text.len() + data.len() <= LARGEST_HAVE_BYTES => {
                text.extend_from_slice(&data);
            }
            Some(FromOperator::Have(_)) => {
                return Err(Declined::field("have", "is longer than any site's list"));
            }
            Some(FromOperator::Start(_)) | None => {
                return Err(Declined::field(
                    "have",
                    "only the list follows the first message",
                ));
            }
        }
    }
    if text.is_empty() {
        return Ok(Have::default());
    }
    Ok(Have::from_json(&text)?)
}
