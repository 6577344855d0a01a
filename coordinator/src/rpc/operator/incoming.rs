//! What an operator's program sends in a stream: first what it asks for, then bytes.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tonic::{Status, Streaming};

use super::declined::Declined;

/// An operator's program says its first word at once.
const FIRST_MESSAGE_WITHIN: Duration = Duration::from_secs(30);

/// The first message; none where the stream ends without one.
pub async fn first<T>(incoming: &mut Streaming<T>) -> Result<Option<T>, Declined> {
    let first = timeout(FIRST_MESSAGE_WITHIN, incoming.message())
        .await
        .map_err(|_| Box::new(Status::deadline_exceeded("nothing was said")))?
        .map_err(Box::new)?;
    Ok(first)
}

/// The bytes of the messages. A caller that breaks off leaves an error, so that half a file never counts as a whole one.
pub async fn pass_on<T>(
    mut incoming: Streaming<T>,
    pieces: mpsc::Sender<io::Result<Bytes>>,
    data: fn(T) -> io::Result<Bytes>,
) {
    loop {
        let piece = match incoming.message().await {
            Ok(None) => return,
            Ok(Some(message)) => data(message),
            Err(status) => Err(io::Error::new(
                io::ErrorKind::ConnectionAborted,
                status.message().to_owned(),
            )),
        };
        let is_last = piece.is_err();
        if pieces.send(piece).await.is_err() || is_last {
            return;
        }
    }
}
