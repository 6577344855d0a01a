//! Where the built imitations and the agent are.

use std::path::{Path, PathBuf};

use super::error::LabError;

/// A folder of built binaries, such as `target/debug`.
#[derive(Clone, Debug)]
pub struct Programs {
    folder: PathBuf,
}

const REMEDY: &str = "build it: cargo build --workspace";

impl Programs {
    pub fn in_folder(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
        }
    }

    /// The folder that this program runs from. Test programs lie one folder deeper than what they test.
    pub fn beside_this_program() -> Result<Self, LabError> {
        let own = std::env::current_exe().map_err(|source| LabError::File {
            operation: "find",
            path: PathBuf::from("/proc/self/exe"),
            source,
        })?;
        let folder = own.parent().unwrap_or(Path::new("/"));
        Ok(Self::in_folder(match folder.file_name() {
            Some(name) if name == "deps" => folder.parent().unwrap_or(folder),
            _ => folder,
        }))
    }

    pub fn fake_nvml(&self) -> Result<PathBuf, LabError> {
        self.built("libtfleet_fake_nvml.so")
    }

    pub fn fake_runtime(&self) -> Result<PathBuf, LabError> {
        self.built("tfleet-fake-nvidia-runtime")
    }

    pub fn fake_smi(&self) -> Result<PathBuf, LabError> {
        self.built("tfleet-fake-nvidia-smi")
    }

    pub fn lab(&self) -> Result<PathBuf, LabError> {
        self.built("tfleet-lab")
    }

    pub fn agent(&self) -> Result<PathBuf, LabError> {
        self.built("tfleet-agent")
    }

    pub fn coordinator(&self) -> Result<PathBuf, LabError> {
        self.built("tfleet-coordinator")
    }

    pub fn operator(&self) -> Result<PathBuf, LabError> {
        self.built("tfleet")
    }

    fn built(&self, name: &str) -> Result<PathBuf, LabError> {
        let path = self.folder.join(name);
        if path.is_file() {
            return Ok(path);
        }
        Err(LabError::MissingFile {
            path,
            remedy: REMEDY,
        })
    }
}
