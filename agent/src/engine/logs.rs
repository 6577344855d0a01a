//! What a container wrote, and writes.

use bollard::query_parameters::LogsOptionsBuilder;
use futures::StreamExt as _;
use tokio::sync::mpsc;

use super::{Engine, EngineError, Output};

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LogsRequest {
    /// Go on with what the container writes from now on, until it ends.
    pub follow: bool,
    /// `None`: everything.
    pub tail_lines: Option<u64>,
    pub timestamps: bool,
}

impl Engine {
    /// Sends a container's log, until its end or until nobody listens any more.
    pub async fn logs(
        &self,
        id: &str,
        request: LogsRequest,
        output: mpsc::Sender<Output>,
    ) -> Result<(), EngineError> {
        let docker = self.lasting().await?;
        let tail = request
            .tail_lines
            .map_or_else(|| "all".to_owned(), |lines| lines.to_string());
        let options = LogsOptionsBuilder::default()
            .stdout(true)
            .stderr(true)
            .follow(request.follow)
            .timestamps(request.timestamps)
            .tail(&tail)
            .build();
        let mut lines = docker.logs(id, Some(options));
        loop {
            tokio::select! {
                line = lines.next() => {
                    let Some(line) = line else { return Ok(()) };
                    let line = line.map_err(|error| self.failed("read a container's log", error))?;
                    if output.send(Output::from(line)).await.is_err() {
                        return Ok(());
                    }
                }
                // A silent container would otherwise keep the stream open for ever.
                () = output.closed() => return Ok(()),
            }
        }
    }
}
