//! Serving chunks of images to other hosts, and fetching from them.
//!
//! Only where the host's policy allows it. Hosts know each other by the keys that the coordinator names, for one artifact
//! at a time; nothing but chunks of that artifact is given to anybody.

mod incoming;
mod listener;
mod neighbour;
mod serving;
mod share;

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tempfile::NamedTempFile;
use tfleet_proto::channel::ClientIdentity;
use tfleet_proto::model::artifact::Chunk;
use tfleet_proto::model::digest::Digest;
use tokio::sync::watch;
use tokio_util::task::TaskTracker;

use crate::identity::Credentials;

pub use incoming::{Incoming, IncomingError};
pub use listener::{Listener, ListenerError};
pub use neighbour::{Artifact, Ear, Event, Request, Said, converse};
pub use share::Share;

/// Where frames are, and where they come to.
pub trait Frames: Send + Sync + std::fmt::Debug + 'static {
    /// Whether the zstd frame of a chunk is there, and right. Blocks.
    fn verify(&self, chunk: &Chunk) -> bool;

    /// `length` bytes of it from `offset` on; `None` if they are not there. Blocks.
    fn read(&self, chunk: &Chunk, offset: u64, length: usize) -> Option<Bytes>;

    /// An empty file for a frame that comes.
    fn land(&self) -> io::Result<NamedTempFile>;
}

/// This host among others. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Peers {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// Where others reach this host; zero: nowhere.
    port: u16,
    credentials: watch::Receiver<Arc<Credentials>>,
    shares: Mutex<BTreeMap<Digest, Arc<Share>>>,
    tasks: TaskTracker,
}

impl Peers {
    /// Serves nothing yet; `port` is the one of the [`Listener`], or zero without one.
    pub fn new(port: u16, credentials: watch::Receiver<Arc<Credentials>>) -> Self {
        Self {
            inner: Arc::new(Inner {
                port,
                credentials,
                shares: Mutex::default(),
                tasks: TaskTracker::new(),
            }),
        }
    }

    /// Where others reach this host. Zero: nowhere, also while its certificate is one from before hosts served others.
    pub fn port(&self) -> u16 {
        match self.inner.credentials.borrow().may_serve {
            true => self.inner.port,
            false => 0,
        }
    }

    /// Owns what goes on beside the requests of others.
    pub fn tasks(&self) -> &TaskTracker {
        &self.inner.tasks
    }

    /// With the newest certificate.
    pub fn identity(&self) -> ClientIdentity {
        self.inner.credentials.borrow().client_identity()
    }

    /// Serves an artifact until [`Peers::unshare`], instead of what was served of it before.
    pub fn share(
        &self,
        artifact: Digest,
        chunks: Arc<[Chunk]>,
        frames: Arc<dyn Frames>,
    ) -> Arc<Share> {
        let share = Arc::new(Share::new(chunks, frames, self.inner.tasks.clone()));
        if let Some(before) = self.shared().insert(artifact, share.clone()) {
            before.end();
        }
        share
    }

    /// Whether it is served now.
    pub fn shares(&self, artifact: &Digest) -> bool {
        self.shared().contains_key(artifact)
    }

    /// Ends this share; another one of the same artifact stays.
    pub fn unshare(&self, artifact: &Digest, share: &Arc<Share>) {
        share.end();
        let mut shares = self.shared();
        if shares
            .get(artifact)
            .is_some_and(|current| Arc::ptr_eq(current, share))
        {
            shares.remove(artifact);
        }
    }

    /// Ends all shares but this one, and gives what they were.
    pub fn end_others(&self, artifact: &Digest) -> Vec<Digest> {
        let mut others = Vec::new();
        self.retain(|shared| {
            let stays = shared == artifact;
            if !stays {
                others.push(*shared);
            }
            stays
        });
        others
    }

    /// Ends the shares of all other artifacts than those that `wanted` takes, and gives those that go on.
    pub fn retain(&self, mut wanted: impl FnMut(&Digest) -> bool) -> Vec<Digest> {
        let mut shares = self.shared();
        shares.retain(|artifact, share| {
            let stays = wanted(artifact);
            if !stays {
                share.end();
            }
            stays
        });
        shares.keys().copied().collect()
    }

    fn find(&self, artifact: &Digest) -> Option<Arc<Share>> {
        self.shared().get(artifact).cloned()
    }

    fn shared(&self) -> MutexGuard<'_, BTreeMap<Digest, Arc<Share>>> {
        self.inner
            .shares
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
