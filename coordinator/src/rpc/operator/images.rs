//! Images and bases that others made.

use tfleet_proto::wire;
use tonic::{Status, Streaming};

use super::declined::Declined;
use super::{Answers, OperatorService};

impl OperatorService {
    pub(super) async fn add_image(
        &self,
        _incoming: Streaming<wire::AddImageRequest>,
        _by: String,
    ) -> Result<Answers<wire::AddImageEvent>, Declined> {
        Err(Declined::Broken(Box::new(Status::unimplemented(
            "add image",
        ))))
    }

    pub(super) async fn import_base(
        &self,
        _incoming: Streaming<wire::AddImageRequest>,
    ) -> Result<Answers<wire::AddImageEvent>, Declined> {
        Err(Declined::Broken(Box::new(Status::unimplemented(
            "import base",
        ))))
    }
}
