//! Wake-ups: something about containers or images changed in the engine.

use std::collections::HashMap;
use std::time::Duration;

use bollard::models::EventMessage;
use bollard::query_parameters::EventsOptionsBuilder;
use futures::stream::{self, BoxStream};
use futures::{Stream, StreamExt as _};
use tokio::time::sleep;
use tracing::debug;

use super::Engine;

/// Between attempts to listen to an engine that does not answer.
const PAUSE: Duration = Duration::from_secs(2);

type Events = BoxStream<'static, Result<EventMessage, bollard::errors::Error>>;

/// A command in a container changes nothing that we look at. A container with a health check has three of these events
/// each time.
fn is_idle(event: &EventMessage) -> bool {
    let action = event.action.as_deref().unwrap_or_default();
    action.starts_with("exec_")
}

impl Engine {
    /// An item each time that something changed, for ever. When the connection was lost, what happened meanwhile is told
    /// as one item. What changed is not told: look.
    pub fn events(&self) -> impl Stream<Item = ()> + Send + use<> {
        stream::unfold(
            (self.clone(), None::<Events>),
            |(engine, mut events)| async move {
                loop {
                    let Some(listening) = events.as_mut() else {
                        match engine.lasting().await {
                            Ok(docker) => {
                                let kinds = HashMap::from([("type", vec!["container", "image"])]);
                                let options =
                                    EventsOptionsBuilder::default().filters(&kinds).build();
                                events = Some(docker.events(Some(options)).boxed());
                            }
                            Err(_) => sleep(PAUSE).await,
                        }
                        continue;
                    };
                    match listening.next().await {
                        Some(Ok(event)) if is_idle(&event) => continue,
                        Some(Ok(_)) => return Some(((), (engine, events))),
                        Some(Err(error)) => debug!(%error, "the engine's events ended"),
                        None => debug!("the engine's events ended"),
                    }
                    sleep(PAUSE).await;
                    return Some(((), (engine, None)));
                }
            },
        )
    }
}

#[cfg(test)]
mod tests;
