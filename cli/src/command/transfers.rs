//! `tfleet transfers`.

use std::time::{Duration, Instant};

use clap::Args;
use tfleet_proto::model::name::HostName;

use super::Context;
use super::selection::{Selection, list, parse_name};
use crate::error::{Error, ExitStatus};
use crate::view::transfer::{Transfers as Table, Which};

const EXAMPLES: &str = "\
Examples:
  tfleet transfers
  tfleet transfers --present --where 'label.rack = 7'
  watch tfleet transfers";

/// Rates are measured over this time. Hosts tell how far they are several times a second.
const LOOK_FOR: Duration = Duration::from_secs(1);

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Transfers {
    /// These hosts; without any selection all
    #[arg(value_name = "HOST", value_parser = parse_name)]
    names: Vec<HostName>,
    /// Also images that are there, and how they came
    #[arg(long)]
    present: bool,
    #[command(flatten)]
    selection: Selection,
}

impl Transfers {
    pub(super) async fn run(self, context: &Context) -> Result<ExitStatus, Error> {
        let mut operator = context.connect().await?;
        let which = if self.present {
            Which::All
        } else {
            Which::UnderWay
        };
        let selector = self.selection.with_names(&self.names).or_all();
        let began = Instant::now();
        let before = list(&mut operator, selector.clone()).await?;
        let mut table = Table::of(&before, which, None);
        if table.is_any_under_way() {
            tokio::time::sleep(LOOK_FOR).await;
            let hosts = list(&mut operator, selector).await?;
            table = Table::of(&hosts, which, Some((&before, began.elapsed())));
        }
        context.output.print(&table)?;
        Ok(ExitStatus::Ok)
    }
}
