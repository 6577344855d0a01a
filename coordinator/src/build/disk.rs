//! Whether disks have room for what a build is about to put on them.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::BuildError;
use super::log::BuildLog;
use crate::artifact::{free_bytes, spare_bytes};

/// What lands in a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Need {
    pub folder: PathBuf,
    pub bytes: u64,
}

/// A folder's disk as it is now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Disk {
    pub device: u64,
    pub free_bytes: u64,
    /// Kept for logs, the database and everything else that shares the disk.
    pub spare_bytes: u64,
}

/// What one disk is asked for, all in all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Demand {
    /// The first of the folders on it.
    pub folder: PathBuf,
    /// The spare included.
    pub needed_bytes: u64,
    pub free_bytes: u64,
}

/// Of an image, what its chunks take: CUDA's libraries and TensorFlow shrink to two fifths.
pub fn stored_bytes_estimate(image_bytes: u64) -> u64 {
    image_bytes / 5 * 2
}

impl Need {
    pub fn new(folder: &Path, bytes: u64) -> Self {
        Self {
            folder: folder.to_owned(),
            bytes,
        }
    }
}

impl Demand {
    pub fn is_met(&self) -> bool {
        self.needed_bytes <= self.free_bytes
    }
}

/// Needs on the same disk add up.
pub fn demands(needs: &[(Need, Disk)]) -> Vec<Demand> {
    let mut demands: Vec<(u64, Demand)> = Vec::new();
    for (need, disk) in needs {
        match demands
            .iter_mut()
            .find(|(device, _)| *device == disk.device)
        {
            Some((_, demand)) => {
                demand.needed_bytes = demand.needed_bytes.saturating_add(need.bytes);
            }
            None => demands.push((
                disk.device,
                Demand {
                    folder: need.folder.clone(),
                    needed_bytes: need.bytes.saturating_add(disk.spare_bytes),
                    free_bytes: disk.free_bytes,
                },
            )),
        }
    }
    demands.into_iter().map(|(_, demand)| demand).collect()
}

/// Refuses what would fill a disk, before anything is put on it. What is asked for and what is there goes to `log`.
///
/// # Errors
/// [`BuildError::Disk`] with the numbers, or if a file system does not say them.
pub fn check(needs: Vec<Need>, log: Option<&BuildLog>) -> Result<(), BuildError> {
    let needs = needs
        .into_iter()
        .map(|need| Ok((Disk::of(&need.folder)?, need)))
        .map(|pair: Result<_, BuildError>| pair.map(|(disk, need)| (need, disk)))
        .collect::<Result<Vec<_>, _>>()?;
    for demand in demands(&needs) {
        if let Some(log) = log {
            log.line(format!(
                "disk at {}: about {} bytes are needed, {} are free",
                demand.folder.display(),
                demand.needed_bytes,
                demand.free_bytes
            ));
        }
        if !demand.is_met() {
            return Err(BuildError::Disk {
                path: demand.folder,
                needed_bytes: demand.needed_bytes,
                free_bytes: demand.free_bytes,
            });
        }
    }
    Ok(())
}

impl Disk {
    fn of(folder: &Path) -> Result<Self, BuildError> {
        let metadata = fs::metadata(folder).map_err(BuildError::io("look at", folder))?;
        Ok(Self {
            device: metadata.dev(),
            free_bytes: free_bytes(folder)?,
            spare_bytes: spare_bytes(folder)?,
        })
    }
}

#[cfg(test)]
mod tests;
