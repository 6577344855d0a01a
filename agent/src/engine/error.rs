//! What goes wrong with an engine, and what a person is told about it.

use bollard::errors::Error as ClientError;
use tfleet_proto::model::failure::Failure;

use super::refusal::Refusal;

#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    #[error("the Docker Engine at {endpoint} does not answer")]
    Down {
        endpoint: String,
        #[source]
        source: ClientError,
    },
    /// The engine said no, in its own words.
    #[error("the engine cannot {operation}: {message}")]
    Refused {
        operation: &'static str,
        refusal: Refusal,
        message: String,
    },
    /// The engine's answer makes no sense to the client.
    #[error("the engine's answer to the request to {operation} cannot be read")]
    Answer {
        operation: &'static str,
        #[source]
        source: ClientError,
    },
    /// The answer lacks what every engine says.
    #[error("the engine's answer to the request to {operation} lacks {what}")]
    Incomplete {
        operation: &'static str,
        what: &'static str,
    },
    /// It may do it yet.
    #[error("the engine did not {operation} within {seconds} seconds")]
    Slow {
        operation: &'static str,
        seconds: u64,
    },
    #[error("the engine neither took nor said anything for {seconds} s while it loaded an image")]
    Stalled { seconds: u64 },
    #[error("the engine has another image under {reference} than the one that it was given")]
    WrongImage { reference: String },
    #[error(
        "nvidia-docker 1 cannot be used: this engine needs the nvidia runtime to give GPUs to containers"
    )]
    VolumePlugin,
}

impl EngineError {
    pub(super) fn from_client(endpoint: &str, operation: &'static str, error: ClientError) -> Self {
        match error {
            ClientError::DockerResponseServerError {
                status_code,
                message,
            } => Self::refused(operation, Refusal::of(status_code, &message), message),
            ClientError::DockerStreamError { error } => {
                Self::refused(operation, Refusal::of(500, &error), error)
            }
            ClientError::JsonDataError { .. }
            | ClientError::JsonSerdeError { .. }
            | ClientError::StrParseError { .. }
            | ClientError::APIVersionParseError {} => Self::Answer {
                operation,
                source: error,
            },
            source => Self::Down {
                endpoint: endpoint.to_owned(),
                source,
            },
        }
    }

    pub(super) fn refused(
        operation: &'static str,
        refusal: Refusal,
        message: impl Into<String>,
    ) -> Self {
        Self::Refused {
            operation,
            refusal,
            message: message.into().trim().to_owned(),
        }
    }

    /// What the engine refused, if it did.
    pub fn refusal(&self) -> Option<Refusal> {
        match self {
            Self::Refused { refusal, .. } => Some(*refusal),
            _ => None,
        }
    }

    /// For the operator.
    pub fn failure(&self) -> Failure {
        match self {
            Self::Down { source, .. } => Failure::new("engine-down", format!("{self}: {source}"))
                .with_remedy("start it (`systemctl start docker`), or correct `engine` in the agent's configuration"),
            Self::Refused { refusal, message, .. } => refusal.failure(self.to_string(), message),
            Self::Answer { source, .. } => Failure::new("engine-answer", format!("{self}: {source}"))
                .with_remedy("see the agent's log; tested engines are 20.10 to 28.5"),
            Self::Incomplete { .. } => {
                Failure::new("engine-answer", self.to_string()).with_remedy("tested engines are 20.10 to 28.5")
            }
            Self::Stalled { .. } => Failure::new("engine-stalled", self.to_string())
                .with_remedy("look for a full or failing disk on the host, and restart the engine"),
            Self::Slow { .. } => Failure::new("engine-slow", self.to_string())
                .with_remedy("see the engine's log and the host's load; if it is stuck, restart the engine"),
            Self::WrongImage { .. } => Failure::new("image-mismatch", self.to_string())
                .with_remedy("remove the image on the host and let it be delivered again"),
            Self::VolumePlugin => Failure::new("runtime-missing", self.to_string()).with_remedy(INSTALL_RUNTIME),
        }
    }
}

pub(super) const INSTALL_RUNTIME: &str = "install nvidia-container-toolkit, run `nvidia-ctk runtime configure --runtime=docker`, and restart docker";
