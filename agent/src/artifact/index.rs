//! The artifact's index: fetched, and trusted for its digest alone.

use tfleet_proto::model::artifact::ArtifactIndex;
use tfleet_proto::model::digest::Digest;
use tfleet_proto::wire;
use tfleet_proto::wire::artifacts_client::ArtifactsClient;
use tokio::time::{sleep, timeout};
use tonic::transport::Channel;
use tracing::info;

use super::DeliveryError;
use super::interruption::{FetchError, Interruption, SILENCE};
use super::patience::Patience;

pub(super) async fn fetch(
    client: &mut ArtifactsClient<Channel>,
    artifact: &Digest,
) -> Result<ArtifactIndex, DeliveryError> {
    let mut patience = Patience::new();
    let text = loop {
        let request = wire::GetIndexRequest {
            artifact: artifact.to_string(),
        };
        let interruption = match timeout(SILENCE, client.get_index(request)).await {
            Ok(Ok(response)) => break response.into_inner().index,
            Ok(Err(status)) => Interruption::from(status),
            Err(_) => Interruption::Silence,
        };
        let Some(pause) = interruption
            .may_pass()
            .then(|| patience.next_pause())
            .flatten()
        else {
            return Err(FetchError::new(*artifact, interruption).into());
        };
        info!(artifact = %artifact.short(), %interruption, "asking for the index again");
        sleep(pause).await;
    };
    let actual = Digest::of(&text);
    if actual != *artifact {
        return Err(DeliveryError::OtherIndex {
            artifact: *artifact,
            actual,
        });
    }
    ArtifactIndex::from_canonical_json(&text).map_err(|source| DeliveryError::Index {
        artifact: *artifact,
        source,
    })
}
