//! `tfleet rollout`.

use clap::Subcommand;
use tfleet_proto::model::name::{ReleaseQuery, ReleaseRef};
use tfleet_proto::wire;

use super::release::{get, parse_release};
use super::selection::{Selection, list};
use super::settle::{image_is_present, settle};
use super::{Context, Operator};
use crate::error::{Error, ExitStatus};
use crate::view::change::{HostChange, HostResult, HostResults, Outcome};

const EXAMPLES: &str = "\
Examples:
  tfleet rollout start train --all
  tfleet rollout start train:v2 --where 'label.rack = 7'
  tfleet rollout start train --all --no-wait
  tfleet rollout watch train";

#[derive(Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub(super) enum Rollout {
    /// Make the release's images desired on hosts, and watch them arrive
    Start {
        #[arg(value_parser = parse_release)]
        release: ReleaseQuery,
        #[command(flatten)]
        selection: Selection,
        /// Return once it is written down
        #[arg(long)]
        no_wait: bool,
    },
    /// Watch until every host that shall have the release has it, or has failed
    Watch {
        #[arg(value_parser = parse_release)]
        release: ReleaseQuery,
        #[command(flatten)]
        selection: Selection,
    },
}

impl Rollout {
    pub(super) async fn run(self, context: &Context) -> Result<ExitStatus, Error> {
        let mut operator = context.connect().await?;
        let (release, changes, wait) = match self {
            Self::Start {
                release,
                selection,
                no_wait,
            } => {
                let selector = selection.required()?;
                let release = newest(&mut operator, release).await?;
                let request = wire::RolloutRequest {
                    release: release.to_string(),
                    selector: Some(selector),
                };
                let answer = operator
                    .rollout(request)
                    .await
                    .map_err(Error::call("start the rollout"))?;
                (release, read_changes(answer.into_inner())?, !no_wait)
            }
            Self::Watch { release, selection } => {
                let release = newest(&mut operator, release).await?;
                let changes = desired(&mut operator, &release, selection).await?;
                (release, changes, true)
            }
        };
        let results = if wait {
            settle(&mut operator, changes, |host| {
                image_is_present(host, &release)
            })
            .await?
        } else {
            asked(changes)
        };
        context.output.print(&results)?;
        Ok(ExitStatus::all_well(results.all_well()))
    }
}

/// Which revision `train` means now, so that a newer one that appears meanwhile confuses nothing.
pub(super) async fn newest(
    operator: &mut Operator,
    release: ReleaseQuery,
) -> Result<ReleaseRef, Error> {
    match release {
        ReleaseQuery::Exact(release) => Ok(release),
        query @ ReleaseQuery::Newest(_) => {
            let release = get(operator, &query).await?.release;
            release
                .parse()
                .map_err(|error: tfleet_proto::model::name::NameError| {
                    Error::Answer(tfleet_proto::convert::Refusal::new(
                        "release",
                        error.to_string(),
                    ))
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

/// For `--no-wait`.
pub(super) fn asked(changes: Vec<HostChange>) -> HostResults {
    let result = |change: HostChange| HostResult {
        outcome: change.settled.unwrap_or(Outcome::Asked),
        host: change.host,
        variant: change.variant,
    };
    HostResults(changes.into_iter().map(result).collect())
}

/// The hosts that shall have the release, as if each had just been changed.
async fn desired(
    operator: &mut Operator,
    release: &ReleaseRef,
    selection: Selection,
) -> Result<Vec<HostChange>, Error> {
    let hosts = list(operator, selection.or_all()).await?;
    let change = |host: &crate::view::host::Host| {
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
