//! What builds keep, for whoever lists it or brings more of it.

use tfleet_proto::model::digest::Digest;

use super::{BuildError, Builds, Lock, compat};
use crate::vault::Kind;

impl Builds {
    /// Whether what [`super::Freshness::Of`] needs is there: the lock.
    ///
    /// # Errors
    /// If the vault cannot be read.
    pub fn keeps_lock(&self, lock: &Digest) -> Result<bool, BuildError> {
        Ok(self.inner.vault.lock(lock)?.is_some())
    }

    /// All locks of the vault that can be read.
    ///
    /// # Errors
    /// If the vault cannot be read.
    pub fn locks(&self) -> Result<Vec<(Digest, Lock)>, BuildError> {
        let vault = &self.inner.vault;
        let mut locks = Vec::new();
        for kept in vault.kept(Kind::Lock)? {
            let Some(text) = vault.lock(&kept.digest)? else {
                continue;
            };
            match serde_json::from_slice(&text) {
                Ok(lock) => locks.push((kept.digest, lock)),
                // One of a newer version, brought by a bundle.
                Err(error) => {
                    tracing::warn!(lock = %kept.digest, %error, "a lock cannot be understood");
                }
            }
        }
        Ok(locks)
    }

    /// The artifact that a lock became, if all of it is there.
    ///
    /// # Errors
    /// If a record cannot be read.
    pub fn became(&self, lock: &Digest) -> Result<Option<Digest>, BuildError> {
        let built = self.inner.known_build(lock)?;
        Ok(built.map(|built| built.artifact))
    }

    /// Names of imported bases, and what they stand for. A name that nobody wrote down is empty.
    ///
    /// # Errors
    /// If a record cannot be read.
    pub fn named_bases(&self) -> Result<Vec<(String, Digest)>, BuildError> {
        self.inner.bases.imported()
    }

    /// Knows from here on what a lock became elsewhere, and that its base has the name `base`, and its compat package
    /// that of the package, unless these stand for others here.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn remember(
        &self,
        lock: &Digest,
        artifact: &Digest,
        base: Option<&str>,
    ) -> Result<(), BuildError> {
        let inner = &self.inner;
        inner.keep_build(lock, artifact)?;
        let Some(text) = inner.vault.lock(lock)? else {
            return Ok(());
        };
        let lock: Lock = serde_json::from_slice(&text).map_err(|error| BuildError::Format {
            file: format!("the lock {lock}"),
            why: error.to_string(),
        })?;
        let keep_name = |name: &str, artifact: Digest| match inner.artifacts.known(&artifact)? {
            Some(_) => inner.bases.import_if_new(name, artifact),
            None => Ok(()),
        };
        if let Some(name) = base {
            keep_name(name, lock.base.artifact)?;
        }
        if let Some(compat) = &lock.compat {
            // The plain name may be that of another architecture's package here.
            let other = inner.bases.stands_for(&compat.package)?;
            let is_taken = other.is_some_and(|other| other != compat.artifact);
            let name = if is_taken {
                compat::own_name(&compat.package, lock.architecture)
            } else {
                compat.package.clone()
            };
            keep_name(&name, compat.artifact)?;
        }
        Ok(())
    }
}
