//! What earlier builds left: the lock that an order resolved to, and the artifact that a lock became.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tfleet_proto::model::artifact::ArtifactIndex;
use tfleet_proto::model::digest::Digest;

use super::lock::TEMPLATE;
use super::{BuildError, Built, Inner, Lock, Order, base};
use crate::artifact::write_whole;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Done {
    artifact: Digest,
}

impl Inner {
    pub(super) fn log_path(&self, order: &Digest) -> PathBuf {
        self.folder.join("logs").join(order.hex())
    }

    fn lock_path(&self, order: &Digest) -> PathBuf {
        self.folder.join("locks").join(order.hex())
    }

    fn done_path(&self, lock: &Digest) -> PathBuf {
        self.folder.join("done").join(lock.hex())
    }

    /// The lock that the order resolved to before; none if this version would build it otherwise, its base is gone, or
    /// the base's name stands for another one by now.
    pub(super) fn known_lock(&self, order: &Order) -> Result<Option<Lock>, BuildError> {
        let Some(lock) = read_record::<Lock>(&self.lock_path(&order.digest()))? else {
            return Ok(None);
        };
        let is_renamed = match &order.base {
            Some(_) => self.bases.of(order)? != Some(lock.base.artifact),
            // A bootstrapped base is kept by its lock: newer packages must not turn up in a rebuild.
            None => false,
        };
        let compat = self.imported_compat(order)?.map(|(artifact, _)| artifact);
        let usable = lock.template == TEMPLATE
            && !is_renamed
            && lock.compat.as_ref().map(|compat| compat.artifact) == compat
            && self.artifacts.known(&lock.base.artifact)?.is_some();
        Ok(usable.then_some(lock))
    }

    /// The lock of that digest, to be built again.
    ///
    /// # Errors
    /// If it is not kept, another version made it, or its base is gone; the error says how to bring the base back.
    pub(super) fn kept_lock(&self, order: &Order, digest: &Digest) -> Result<Lock, BuildError> {
        let refused = |why: String| BuildError::Format {
            file: format!("the lock {digest}"),
            why,
        };
        let text = self.vault.lock(digest)?;
        let text = text.ok_or_else(|| refused("it is not in the vault".to_owned()))?;
        let lock: Lock =
            serde_json::from_slice(&text).map_err(|error| refused(error.to_string()))?;
        if lock.template != TEMPLATE {
            return Err(refused(format!(
                "it was made for images of template {}, this version makes {TEMPLATE}: plan a new revision",
                lock.template
            )));
        }
        if self.artifacts.known(&lock.base.artifact)?.is_none() {
            return Err(BuildError::MissingBase {
                base: base::shown(order),
                artifact: lock.base.artifact,
            });
        }
        Ok(lock)
    }

    /// What the lock became before; none if any of that is gone or was found damaged.
    pub(super) fn known_build(&self, lock: &Digest) -> Result<Option<Built>, BuildError> {
        let Some(done) = read_record::<Done>(&self.done_path(lock))? else {
            return Ok(None);
        };
        let built = |index: ArtifactIndex| Built {
            lock: *lock,
            artifact: done.artifact,
            content_bytes: index.content_bytes(),
            stored_bytes: index.frame_bytes(),
            cached: true,
        };
        Ok(self.artifacts.known(&done.artifact)?.map(built))
    }

    /// What the order became before, if nothing of that is gone.
    pub(super) fn known(&self, order: &Order) -> Result<Option<Built>, BuildError> {
        match self.known_lock(order)? {
            Some(lock) => self.known_build(&lock.digest()),
            None => Ok(None),
        }
    }

    pub(super) fn keep_lock(&self, order: &Digest, lock: &Lock) -> Result<(), BuildError> {
        Ok(write_whole(
            &self.lock_path(order),
            &[&lock.canonical_json()],
        )?)
    }

    pub(super) fn keep_build(&self, lock: &Digest, artifact: &Digest) -> Result<(), BuildError> {
        let text = format!("{{\"artifact\":\"{artifact}\"}}");
        Ok(write_whole(&self.done_path(lock), &[text.as_bytes()])?)
    }

    /// Forgets what the order was resolved to, and the base that was bootstrapped for it, if that was before `time`. What
    /// was built of them stays.
    pub(super) fn forget_older(&self, order: &Order, time: Timestamp) -> Result<(), BuildError> {
        remove_older(&self.lock_path(&order.digest()), time)?;
        match &order.base {
            Some(_) => Ok(()),
            None => remove_older(&self.bases.record(order), time),
        }
    }
}

fn remove_older(path: &Path, time: Timestamp) -> Result<(), BuildError> {
    let written = match fs::metadata(path).and_then(|metadata| metadata.modified()) {
        Ok(written) => written,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(BuildError::io("look at", path)(error)),
    };
    if Timestamp::try_from(written).is_ok_and(|written| written >= time) {
        return Ok(());
    }
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(BuildError::io("remove", path)(error))
        }
        _ => Ok(()),
    }
}

pub(super) fn read_record<T: for<'de> Deserialize<'de>>(
    path: &Path,
) -> Result<Option<T>, BuildError> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(BuildError::io("read", path)(error)),
    };
    let malformed = |error: serde_json::Error| BuildError::Format {
        file: path.display().to_string(),
        why: error.to_string(),
    };
    serde_json::from_slice(&text).map(Some).map_err(malformed)
}
