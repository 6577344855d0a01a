//! `tfleet fleet`.

use tfleet_proto::wire;

use super::Context;
use crate::error::{Error, ExitStatus};
use crate::view::fleet::Fleet;

pub(super) const EXAMPLES: &str = "\
Examples:
  tfleet fleet
  tfleet fleet --output json";

pub(super) async fn run(context: &Context) -> Result<ExitStatus, Error> {
    let mut operator = context.connect().await?;
    let answer = operator
        .get_fleet(wire::GetFleetRequest {})
        .await
        .map_err(Error::call("ask for the fleet"))?;
    context.output.print(&Fleet::from(answer.into_inner()))?;
    Ok(ExitStatus::Ok)
}
