//! The way to the coordinator: credentials, then a channel.

pub mod credentials;

use std::path::Path;

use tfleet_proto::channel::{self, Trust};
use tfleet_proto::wire::operator_client::OperatorClient;
use tonic::transport::Channel;

pub use credentials::Credentials;

use crate::error::Error;

/// An artifact index of a large image, or the inventory of a large fleet, in one message.
const LARGEST_MESSAGE_BYTES: usize = 64 << 20;

/// Connects as the operator that the credentials name. Cheap to clone.
pub async fn connect(explicit: Option<&Path>) -> Result<OperatorClient<Channel>, Error> {
    let credentials = Credentials::find(explicit)?;
    let address = credentials.endpoint.clone();
    let channel = channel::connect(&address, Trust::Identity(credentials.into_identity()))
        .await
        .map_err(|error| Error::Connect(Box::new(error)))?;
    Ok(OperatorClient::new(channel).max_decoding_message_size(LARGEST_MESSAGE_BYTES))
}
