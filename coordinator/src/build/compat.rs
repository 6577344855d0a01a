//! The compat libraries of an image: the user-mode half of a newer driver, from NVIDIA's `cuda-compat` package.
//!
//! The package is imported as a base is, unpacked, under its own name; so it is stored, bundled and named by its content
//! as bases are. Its folder of libraries becomes the last layer with files of its own kind, so that an image shares all
//! layers before it with the same variant without the package.

use tfleet_compat::{Architecture, CompatPackage, DriverVersion};
use tfleet_proto::model::artifact::ArtifactIndex;
use tfleet_proto::model::digest::Digest;

use super::lock::LockedCompat;
use super::order::Order;
use super::{BuildError, Inner, Lock};
use crate::artifact::{
    ArchiveError, Artifacts, Entries, Kind, LayerContent, TarError, architecture_of,
};

/// What every CUDA program opens of a driver.
pub const DRIVER_LIBRARY: &str = "libcuda.so.1";

/// How the file begins that [`DRIVER_LIBRARY`] leads to; the driver's version follows.
const VERSIONED: &str = "libcuda.so.";

impl Inner {
    /// The compat package that `order` needs, as it is imported; none: it needs none.
    ///
    /// # Errors
    /// If it is not imported, or what was imported under its name is something else.
    pub(super) async fn compat(&self, order: &Order) -> Result<Option<LockedCompat>, BuildError> {
        let Some(package) = package(order).cloned() else {
            return Ok(None);
        };
        let architecture = order.recipe.architecture;
        let artifact = self.imported_compat(order)?;
        let Some((artifact, index)) = artifact else {
            return Err(BuildError::Compat {
                package: package.package,
                why: format!("is not imported for {architecture}"),
            });
        };
        let store = self.artifacts.clone();
        let looked = tokio::task::spawn_blocking(move || {
            locked(&store, artifact, &index, &package, architecture).map(Some)
        });
        looked.await.map_err(|_| BuildError::Cancelled)?
    }

    /// The unpacked compat package of a lock; none: it has none.
    ///
    /// # Errors
    /// If its content is gone; the error says how to bring it back.
    pub(super) fn locked_compat(&self, lock: &Lock) -> Result<Option<ArtifactIndex>, BuildError> {
        let Some(compat) = &lock.compat else {
            return Ok(None);
        };
        let index = self.artifacts.known(&compat.artifact)?;
        let index = index.ok_or_else(|| BuildError::MissingBase {
            base: compat.package.clone(),
            artifact: compat.artifact,
        })?;
        Ok(Some(index))
    }

    /// What the name of the order's compat package stands for: with the architecture at its end, or else as it is.
    pub(super) fn imported_compat(
        &self,
        order: &Order,
    ) -> Result<Option<(Digest, ArtifactIndex)>, BuildError> {
        let Some(package) = package(order) else {
            return Ok(None);
        };
        let own = own_name(&package.package, order.recipe.architecture);
        for name in [&own, &package.package] {
            if let Some(artifact) = self.bases.stands_for(name)?
                && let Some(index) = self.artifacts.known(&artifact)?
            {
                return Ok(Some((artifact, index)));
            }
        }
        Ok(None)
    }
}

/// The name of a package where its own is that of another architecture's.
pub fn own_name(package: &str, architecture: Architecture) -> String {
    format!("{package}-{architecture}")
}

fn package(order: &Order) -> Option<&CompatPackage> {
    order.recipe.cuda.as_ref()?.compat.as_ref()
}

/// Looks at every file of an unpacked package, and checks that it is the one that was meant.
fn locked(
    store: &Artifacts,
    artifact: Digest,
    index: &ArtifactIndex,
    package: &CompatPackage,
    architecture: Architecture,
) -> Result<LockedCompat, BuildError> {
    let refused = |why: String| BuildError::Compat {
        package: package.package.clone(),
        why,
    };
    let found = find(store, index)?;
    let Some(Found {
        folder,
        driver,
        architecture: of,
    }) = found
    else {
        return Err(refused(format!(
            "was imported without its libraries: there is no …/compat/{VERSIONED}VERSION in it"
        )));
    };
    if driver.branch() != package.branch {
        return Err(refused(format!(
            "was imported with libraries of driver {driver}; the package is of R{}",
            package.branch
        )));
    }
    if of != Some(architecture) {
        return Err(refused(format!(
            "was imported with libraries that are not for {architecture}"
        )));
    }
    let is_plain =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b'/');
    if !folder.bytes().all(is_plain) {
        return Err(refused(format!("has its libraries in {folder:?}")));
    }
    Ok(LockedCompat {
        package: package.package.clone(),
        driver,
        artifact,
        diff_ids: index.diff_ids().collect(),
        folder,
    })
}

#[derive(Debug, PartialEq, Eq)]
struct Found {
    /// Absolute.
    folder: String,
    driver: DriverVersion,
    architecture: Option<Architecture>,
}

/// The driver library in a folder called `compat`.
fn find(store: &Artifacts, index: &ArtifactIndex) -> Result<Option<Found>, BuildError> {
    for layer in &index.layers {
        let mut entries = Entries::new(LayerContent::new(store, layer));
        while let Some(node) = entries.next_node().map_err(ArchiveError::from)? {
            let path = String::from_utf8_lossy(&node.path).into_owned();
            let Some((folder, name)) = path.rsplit_once('/') else {
                continue;
            };
            let version = name.strip_prefix(VERSIONED);
            // `libcuda.so.1` itself reads as a version too.
            let version = version.filter(|version| version.contains('.'));
            let driver = version.and_then(|version| version.parse().ok());
            let (Kind::File, true, Some(driver)) = (node.kind, folder.ends_with("/compat"), driver)
            else {
                continue;
            };
            let architecture = architecture_of(entries.content());
            let architecture =
                architecture.map_err(|error| ArchiveError::from(TarError::Read(error)))?;
            return Ok(Some(Found {
                folder: format!("/{folder}"),
                driver,
                architecture,
            }));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests;
