//! What becomes of chunks that came.

use std::sync::PoisonError;

use tempfile::NamedTempFile;
use tfleet_proto::model::swarm::ChunkNumber;
use tracing::warn;

use super::super::super::DeliveryError;
use super::super::super::fetch::CORRUPTED_AT_MOST;
use super::super::super::interruption::FetchError;
use super::super::super::patience::Patience;
use super::super::super::spool::RefusedFrame;
use super::super::verification::{Verified, corrupted};
use super::Driver;
use crate::swarm::Source;

impl Driver {
    pub(super) fn came(&mut self, source: Source, number: ChunkNumber, frame: NamedTempFile) {
        let chunk = self.chunks[number.0 as usize];
        self.verification.add(source, number, chunk, frame);
    }

    pub(super) fn verified(&mut self, verified: Verified) -> Result<(), DeliveryError> {
        let Verified {
            source,
            number,
            outcome,
        } = verified;
        match outcome {
            Ok(()) => {
                if source == Source::Coordinator {
                    self.named.remove(&number);
                }
                (self.patience, self.corrupted) = (Patience::new(), 0);
                if self.download.arrived(source, number, self.now()) {
                    let content_bytes = self.chunks[number.0 as usize].content_bytes;
                    self.progress
                        .send_modify(|progress| progress.fetched_bytes += content_bytes);
                    self.arrived
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .insert(number);
                    self.share.gained(number);
                }
                Ok(())
            }
            Err(RefusedFrame::Corrupted) => self.bad(source, number),
            Err(RefusedFrame::Spool(error)) => Err(error.into()),
        }
    }

    /// What came was not what the index says. A host that sends such is left; the coordinator gets another chance.
    pub(super) fn bad(&mut self, source: Source, number: ChunkNumber) -> Result<(), DeliveryError> {
        self.download.corrupt(source, number, self.now());
        if let Source::Peer(peer) = source {
            let host = self.lines.hang_up(peer);
            warn!(
                host,
                chunk = number.0,
                "another host sent a damaged chunk; nothing more is fetched from it"
            );
            return Ok(());
        }
        self.named.remove(&number);
        self.corrupted += 1;
        let interruption = corrupted(&self.layers, number);
        warn!(artifact = %self.artifact, %interruption, "a chunk is refused");
        if self.corrupted < CORRUPTED_AT_MOST {
            return Ok(());
        }
        Err(FetchError::new(self.artifact, interruption).into())
    }
}
