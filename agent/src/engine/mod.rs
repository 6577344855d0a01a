//! The Docker Engine, as far as the agent needs it.
//!
//! The client never sends an API version, but one is negotiated all the same before the first request, so that a client
//! that begins to send one is not refused by an old engine.

mod container;
mod created;
mod error;
mod events;
mod exec;
mod facts;
mod image;
mod load;
mod logs;
mod owned;
mod refusal;

use std::collections::HashMap;
use std::future::Future;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bollard::{API_DEFAULT_VERSION, Docker};
use tfleet_proto::model::digest::Digest;
use tokio::sync::OnceCell;
use tokio::time::timeout;

pub use container::longest_grace;
pub use created::CreatedContainer;
pub use error::EngineError;
pub use exec::{ExecCommand, ExecInput, Output, TerminalSize};
pub use facts::{ApiVersion, EngineFacts};
pub use image::FoundImage;
pub use load::ArchivePiece;
pub use logs::LogsRequest;
pub use owned::{ContainerState, OwnedContainer};
pub use refusal::Refusal;

/// How long a silent engine is waited for.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// For questions that an engine answers at once, also while it is busy.
    pub answer: Duration,
    /// For making, starting and removing a container. Each takes seconds; an engine that needs longer for it is stuck, and
    /// one that is waited for any longer keeps the whole host waiting. What it does after that is seen at the next look.
    pub container_step: Duration,
    /// For one that neither takes nor says anything while it loads an image. Newer ones unpack a layer of several
    /// gigabytes without a word, which took minutes on the slowest disk that we saw.
    pub load: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            answer: Duration::from_secs(120),
            container_step: Duration::from_secs(120),
            load: Duration::from_secs(15 * 60),
        }
    }
}

/// For what lasts: the client's time-out covers a whole upload, or the wait for the first line of a log. Loads have a
/// watchdog of their own.
const LASTING: Duration = Duration::from_secs(30 * 24 * 3600);

/// The connection to an engine. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Engine {
    endpoint: Arc<str>,
    docker: Docker,
    patience: Patience,
    negotiated: Arc<OnceCell<()>>,
    /// Diff IDs by the image's identifier, which is a digest of what holds them.
    diff_ids: Arc<Mutex<HashMap<String, Vec<Digest>>>>,
    containerd_root: Option<Arc<Path>>,
}

impl Engine {
    /// Prepares the connection to "unix://PATH" or "tcp://HOST:PORT"; nothing is sent yet.
    pub fn connect(endpoint: &str) -> Result<Self, EngineError> {
        let patience = Patience::default();
        let seconds = patience.answer.as_secs();
        let docker = if endpoint.starts_with("unix://") {
            // The socket may be missing now and come with the engine.
            Docker::connect_with_unix(endpoint, seconds, API_DEFAULT_VERSION)
        } else {
            Docker::connect_with_http(endpoint, seconds, API_DEFAULT_VERSION)
        };
        let docker = docker.map_err(|source| EngineError::Down {
            endpoint: endpoint.to_owned(),
            source,
        })?;
        Ok(Self {
            endpoint: endpoint.into(),
            docker,
            patience,
            negotiated: Arc::default(),
            diff_ids: Arc::default(),
            containerd_root: None,
        })
    }

    /// Where containerd keeps its data, if the host's owner says so.
    #[must_use]
    pub fn with_containerd_root(mut self, root: Option<&Path>) -> Self {
        self.containerd_root = root.map(Arc::from);
        self
    }

    /// The same engine, waited for as long as this.
    #[must_use]
    pub fn with_patience(self, patience: Patience) -> Self {
        Self {
            docker: self.docker.with_timeout(patience.answer),
            patience,
            ..self
        }
    }

    pub async fn ping(&self) -> Result<(), EngineError> {
        let docker = self.quick().await?;
        self.ask("answer", docker.ping()).await.map(drop)
    }

    async fn quick(&self) -> Result<Docker, EngineError> {
        self.negotiated
            .get_or_try_init(|| async {
                self.ask("tell its version", self.docker.clone().negotiate_version())
                    .await
                    .map(drop)
            })
            .await?;
        Ok(self.docker.clone())
    }

    async fn lasting(&self) -> Result<Docker, EngineError> {
        Ok(self.quick().await?.with_timeout(LASTING))
    }

    /// Waits for an answer at most so long.
    async fn within<T>(
        &self,
        limit: Duration,
        operation: &'static str,
        answer: impl Future<Output = Result<T, EngineError>>,
    ) -> Result<T, EngineError> {
        timeout(limit, answer).await.unwrap_or_else(|_| {
            Err(EngineError::Slow {
                operation,
                seconds: limit.as_secs(),
            })
        })
    }

    /// `operation` completes "the engine cannot …".
    async fn ask<T>(
        &self,
        operation: &'static str,
        answer: impl Future<Output = Result<T, bollard::errors::Error>>,
    ) -> Result<T, EngineError> {
        answer.await.map_err(|error| self.failed(operation, error))
    }

    fn failed(&self, operation: &'static str, error: bollard::errors::Error) -> EngineError {
        EngineError::from_client(&self.endpoint, operation, error)
    }
}

#[cfg(test)]
pub(crate) mod stub;
#[cfg(test)]
mod tests;
