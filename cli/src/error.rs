//! What can go wrong for an operator: what failed, why, what to do next, and the exit status that tells scripts.

use std::error::Error as _;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use tfleet_proto::channel::ConnectError;
use tfleet_proto::convert::Refusal;
use tonic::{Code, Status};

/// How a command ended, for scripts. `tfleet --help` lists these.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitStatus {
    Ok,
    /// The command was carried out, and some hosts or variants failed or are pending.
    Partial,
    /// The command line or an input file cannot be understood.
    Usage,
    /// The coordinator cannot be reached, or does not accept our certificate.
    Unreachable,
    NotFound,
    /// The coordinator refused: something has to be done first.
    Refused,
    /// Anything else.
    Failed,
    /// `exec` on one host ends as the command did.
    OfCommand(u8),
}

/// See the module comment. `Display` says what failed; [`Error::why`] and [`Error::remedy`] the rest.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{0}")]
    Usage(String),
    #[error("there are no credentials")]
    NoCredentials { looked_at: Vec<PathBuf> },
    #[error("cannot {action} {}", path.display())]
    File {
        action: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    #[error("the credentials in {} cannot be used: {why}", path.display())]
    Credentials { path: PathBuf, why: String },
    #[error("not connected to the coordinator")]
    Connect(#[source] Box<ConnectError>),
    #[error("cannot {action}")]
    Call {
        action: &'static str,
        source: Box<Status>,
    },
    #[error("the coordinator's answer cannot be understood")]
    Answer(#[from] Refusal),
    #[error("the coordinator ended the answer too early while we wanted to {action}")]
    Cut { action: &'static str },
    #[error("{what}")]
    Failed {
        what: String,
        why: String,
        remedy: String,
    },
    #[error("cannot write the output")]
    Output(#[source] io::Error),
    #[error("cannot use the terminal")]
    Terminal(#[source] io::Error),
}

impl Error {
    /// For `map_err`: what we wanted when the call failed.
    pub fn call(action: &'static str) -> impl Fn(Status) -> Self {
        move |status| Self::Call {
            action,
            source: Box::new(status),
        }
    }

    pub fn file(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File {
            action,
            path,
            source,
        }
    }

    pub fn why(&self) -> Option<String> {
        match self {
            Self::NoCredentials { looked_at } => {
                let looked_at: Vec<_> = looked_at
                    .iter()
                    .map(|path| path.display().to_string())
                    .collect();
                Some(format!(
                    "none of these files exists: {}",
                    looked_at.join(", ")
                ))
            }
            Self::Connect(error) => Some(chain(error.as_ref())),
            Self::Call { source, .. } => Some(match lost_connection(source) {
                Some(error) => chain(error),
                None if connection_broke(source) => {
                    format!(
                        "the connection to the coordinator broke: {}",
                        source.message()
                    )
                }
                None => source.message().to_owned(),
            }),
            Self::Failed { why, .. } => Some(why.clone()),
            _ => self.source().map(chain),
        }
    }

    pub fn remedy(&self) -> Option<String> {
        let remedy = match self {
            Self::NoCredentials { .. } => {
                "on the coordinator's machine run as root, or ask for a file: tfleet operator issue YOUR-NAME --out FILE"
            }
            Self::Connect(error) => error.remedy(),
            Self::Call { source, .. } => match (lost_connection(source), source.code()) {
                (Some(error), _) => error.remedy(),
                (None, _) if connection_broke(source) => {
                    "check that tfleet-coordinator runs, and try again; what was asked before goes on"
                }
                (None, Code::Unauthenticated | Code::PermissionDenied) => {
                    "ask another operator for new credentials: tfleet operator issue YOUR-NAME --out FILE"
                }
                (None, Code::Unimplemented) => {
                    "the coordinator is of another version; compare tfleet --version with tfleet fleet"
                }
                (None, Code::Internal | Code::Unknown | Code::DataLoss) => {
                    "the coordinator's log has the details"
                }
                _ => return None,
            },
            Self::Answer(_) | Self::Cut { .. } => "compare tfleet --version with tfleet fleet",
            Self::Failed { remedy, .. } if remedy.is_empty() => return None,
            Self::Failed { remedy, .. } => remedy,
            Self::Usage(_)
            | Self::File { .. }
            | Self::Credentials { .. }
            | Self::Output(_)
            | Self::Terminal(_) => return None,
        };
        Some(remedy.to_owned())
    }

    pub fn exit_status(&self) -> ExitStatus {
        match self {
            Self::Usage(_) => ExitStatus::Usage,
            Self::NoCredentials { .. } | Self::Credentials { .. } | Self::Connect(_) => {
                ExitStatus::Unreachable
            }
            Self::Call { source, .. } => match source.code() {
                Code::InvalidArgument | Code::OutOfRange => ExitStatus::Usage,
                Code::Unavailable | Code::Unauthenticated | Code::PermissionDenied => {
                    ExitStatus::Unreachable
                }
                Code::NotFound => ExitStatus::NotFound,
                Code::FailedPrecondition | Code::AlreadyExists | Code::ResourceExhausted => {
                    ExitStatus::Refused
                }
                _ if connection_broke(source) => ExitStatus::Unreachable,
                _ => ExitStatus::Failed,
            },
            Self::Failed { .. } => ExitStatus::Partial,
            // A path that was typed wrongly, as a shell's tools see it.
            Self::File { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                ExitStatus::Usage
            }
            Self::File { .. }
            | Self::Answer(_)
            | Self::Cut { .. }
            | Self::Output(_)
            | Self::Terminal(_) => ExitStatus::Failed,
        }
    }
}

/// Whether the connection ended, and not the coordinator's word: only what our own side made of a broken stream has a
/// source.
fn connection_broke(status: &Status) -> bool {
    status.source().is_some()
}

/// The reason why the channel could not be dialled again, where that is what happened.
fn lost_connection(status: &Status) -> Option<&ConnectError> {
    ConnectError::in_chain(status)
}

/// The error and what caused it, on one line.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        let part = source.to_string();
        if !text.ends_with(&part) {
            text.push_str(": ");
            text.push_str(&part);
        }
        next = source.source();
    }
    text
}

impl ExitStatus {
    pub fn code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Partial => 1,
            Self::Usage => 2,
            Self::Unreachable => 3,
            Self::NotFound => 4,
            Self::Refused => 5,
            Self::Failed => 6,
            Self::OfCommand(code) => code,
        }
    }

    /// Ok when everything went well for every host.
    pub fn all_well(well: bool) -> Self {
        if well { Self::Ok } else { Self::Partial }
    }
}

impl From<ExitStatus> for ExitCode {
    fn from(status: ExitStatus) -> Self {
        status.code().into()
    }
}

#[cfg(test)]
mod tests;
