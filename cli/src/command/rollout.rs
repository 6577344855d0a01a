//! `tfleet rollout`.

mod report;

use std::path::PathBuf;

use clap::Subcommand;
use tfleet_proto::convert::Refusal;
use tfleet_proto::model::name::{NameError, ReleaseQuery, ReleaseRef};
use tfleet_proto::wire;

use super::release::{get, parse_release};
use super::selection::{Selection, list};
use super::settle::{Patience, settle};
use super::verdict::image_is_present;
use super::{Context, Operator};
use crate::error::{Error, ExitStatus};
use crate::view::change::{HostChange, Outcome};
use crate::view::host::Host;

const EXAMPLES: &str = "\
Examples:
  tfleet rollout start train --all
  tfleet rollout start train:v2 --where 'label.rack = 7'
  tfleet rollout start train --all --no-wait
  tfleet rollout watch train --timeout 30m";

const START: &str = "\
Examples:
  tfleet rollout start train --all
  tfleet rollout start train:v2 --where 'label.rack = 7' --no-wait";

const WATCH: &str = "\
Examples:
  tfleet rollout watch train
  tfleet rollout watch train --host t4 --timeout 30m";

const REPORT: &str = "\
Examples:
  tfleet rollout report train
  tfleet rollout report train --output json   # > report.json, at the site that no network reaches
  tfleet rollout report train --from report.json";

#[derive(Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub(super) enum Rollout {
    /// Make the release's images desired on hosts, and watch them arrive
    #[command(after_help = START)]
    Start {
        #[arg(value_parser = parse_release)]
        release: ReleaseQuery,
        #[command(flatten)]
        patience: Patience,
        #[command(flatten)]
        selection: Selection,
    },
    /// How far hosts are with a release now, also as a file for the site where it was built
    #[command(after_help = REPORT)]
    Report {
        #[arg(value_parser = parse_release)]
        release: ReleaseQuery,
        /// Show the report of another fleet, and check that it runs what was built here
        #[arg(long, value_name = "FILE", conflicts_with_all = ["all", "hosts", "expression"])]
        from: Option<PathBuf>,
        #[command(flatten)]
        selection: Selection,
    },
    /// Watch until every host that shall have the release has it, or has failed
    #[command(after_help = WATCH)]
    Watch {
        #[arg(value_parser = parse_release)]
        release: ReleaseQuery,
        #[command(flatten)]
        patience: Patience,
        #[command(flatten)]
        selection: Selection,
    },
}

impl Rollout {
    pub(super) async fn run(self, context: &Context) -> Result<ExitStatus, Error> {
        let (release, changes, patience, mut operator) = match self {
            Self::Start {
                release,
                patience,
                selection,
            } => {
                let selector = selection.required()?;
                let mut operator = context.connect().await?;
                let release = newest(&mut operator, release).await?;
                let request = wire::RolloutRequest {
                    release: release.to_string(),
                    selector: Some(selector),
                };
                let answer = operator.rollout(request).await;
                let answer = answer
                    .map_err(Error::call("start the rollout"))?
                    .into_inner();
                (release, read_changes(answer)?, patience, operator)
            }
            Self::Report {
                release,
                from: Some(path),
                ..
            } => return report::from_file(context, release, &path).await,
            Self::Report {
                release, selection, ..
            } => return report::of_this_fleet(context, release, selection).await,
            Self::Watch {
                release,
                patience,
                selection,
            } => {
                let mut operator = context.connect().await?;
                let release = newest(&mut operator, release).await?;
                let changes = desired(&mut operator, &release, selection).await?;
                (release, changes, patience, operator)
            }
        };
        let present = |host: &Host| image_is_present(host, &release);
        let results = settle(&mut operator, changes, &patience, present).await?;
        context.output.print(&results)?;
        Ok(ExitStatus::all_well(results.all_well()))
    }
}

/// Which revision `train` means now, so that a newer one that appears meanwhile confuses nothing.
async fn newest(operator: &mut Operator, release: ReleaseQuery) -> Result<ReleaseRef, Error> {
    match release {
        ReleaseQuery::Exact(release) => Ok(release),
        query @ ReleaseQuery::Newest(_) => {
            let release = get(operator, &query).await?.release;
            release.parse().map_err(|error: NameError| {
                Error::Answer(Refusal::new("release", error.to_string()))
            })
        }
    }
}

pub(super) fn read_changes(answer: wire::ChangeResponse) -> Result<Vec<HostChange>, Error> {
    answer
        .hosts
        .into_iter()
        .map(|change| change.try_into().map_err(Error::Answer))
        .collect()
}

/// The hosts that shall have the release, as if each had just been changed.
async fn desired(
    operator: &mut Operator,
    release: &ReleaseRef,
    selection: Selection,
) -> Result<Vec<HostChange>, Error> {
    let hosts = list(operator, selection.or_all()).await?;
    let change = |host: &Host| {
        let desired = host.desired.as_ref()?;
        let image = desired
            .images
            .iter()
            .find(|image| image.release == *release)?;
        Some(HostChange {
            host: host.name.to_string(),
            generation: desired.generation,
            variant: Some(image.variant.to_string()),
            settled: (!host.connected).then_some(Outcome::Pending),
        })
    };
    Ok(hosts.iter().filter_map(change).collect())
}
