//! Why the lab could not do something.

use std::io;
use std::path::{Path, PathBuf};

#[derive(Debug, thiserror::Error)]
pub enum LabError {
    #[error("the lab makes network namespaces and mounts: run it as root")]
    NotRoot,
    #[error("{program} is not installed: apt-get install {package}")]
    MissingProgram {
        program: &'static str,
        package: &'static str,
    },
    #[error("{path} is missing: {remedy}")]
    MissingFile { path: PathBuf, remedy: &'static str },
    #[error("cannot {operation} {path}")]
    File {
        operation: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    #[error("cannot start `{command}`")]
    Spawn { command: String, source: io::Error },
    #[error("`{command}` failed ({status}): {output}")]
    Command {
        command: String,
        status: std::process::ExitStatus,
        output: String,
    },
    #[error("{what} ended while it started; its log {log} ends with:\n{tail}")]
    Ended {
        what: String,
        log: PathBuf,
        tail: String,
    },
    #[error("{what} does not answer on {socket}; its log {log} ends with:\n{tail}")]
    Silent {
        what: String,
        socket: PathBuf,
        log: PathBuf,
        tail: String,
    },
    #[error("process {pid} ({what}) does not end")]
    Undying { what: String, pid: i32 },
    #[error("{path} is not a valid lab description")]
    Description {
        path: PathBuf,
        source: Box<toml::de::Error>,
    },
    #[error("{0}")]
    BadDescription(String),
    #[error("there is no host `{0}` in this lab")]
    UnknownHost(String),
    #[error("the lab has no builder engine: set `builder` in its description")]
    NoBuilder,
    #[error("all {0} test labs are in use on this machine")]
    NoFreeLab(u8),
    #[error(transparent)]
    Gpu(#[from] tfleet_fake_gpu::GpuFileError),
    #[error("cannot hide symbols of {path}: {reason}")]
    Library { path: PathBuf, reason: String },
}

/// Names the operation and the path of an I/O error.
pub(super) fn at<'a>(
    operation: &'static str,
    path: &'a Path,
) -> impl FnOnce(io::Error) -> LabError + use<'a> {
    move |source| LabError::File {
        operation,
        path: path.to_owned(),
        source,
    }
}
