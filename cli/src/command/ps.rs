//! `tfleet ps`.

use clap::Args;
use tfleet_proto::model::name::HostName;

use super::Context;
use super::selection::{Selection, list, parse_name};
use crate::error::{Error, ExitStatus};
use crate::view::container::Containers;

const EXAMPLES: &str = "\
Examples:
  tfleet ps
  tfleet ps t4
  tfleet ps --where 'label.rack = 7' --output json";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Ps {
    /// These hosts; without any selection all
    #[arg(value_name = "HOST", value_parser = parse_name)]
    names: Vec<HostName>,
    #[command(flatten)]
    selection: Selection,
}

impl Ps {
    pub(super) async fn run(self, context: &Context) -> Result<ExitStatus, Error> {
        let mut operator = context.connect().await?;
        let hosts = list(
            &mut operator,
            self.selection.with_names(&self.names).or_all(),
        )
        .await?;
        context.output.print(&Containers::of(&hosts))?;
        Ok(ExitStatus::Ok)
    }
}
