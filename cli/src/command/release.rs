//! `tfleet release`.

use clap::{Args, Subcommand};
use tfleet_proto::model::name::ReleaseQuery;
use tfleet_proto::wire;

use super::plan::{Specification, request};
use super::selection::Selection;
use super::{Context, Operator};
use crate::error::{Error, ExitStatus};
use crate::view::release::{Release as ReleaseDetails, Releases};

const EXAMPLES: &str = "\
Examples:
  tfleet release create train --tensorflow '>=2.14,<2.16' --all
  tfleet release ls
  tfleet release show train:v1";

#[derive(Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub(super) enum Release {
    /// Make the next revision of a release, with its plan for the selected hosts
    Create(Create),
    /// All releases
    Ls,
    /// One release: what was asked, its plan, its builds
    Show {
        #[arg(value_parser = parse_release)]
        release: ReleaseQuery,
    },
}

#[derive(Debug, Args)]
pub(super) struct Create {
    #[command(flatten)]
    spec: Specification,
    #[command(flatten)]
    selection: Selection,
}

impl Release {
    pub(super) async fn run(self, context: &Context) -> Result<ExitStatus, Error> {
        let mut operator = context.connect().await?;
        match self {
            Self::Create(Create { spec, selection }) => {
                let request = request(spec, selection)?;
                let answer = operator
                    .create_release(request)
                    .await
                    .map_err(Error::call("create the release"))?;
                let release = ReleaseDetails::try_from(answer.into_inner())?;
                context.output.print(&release)?;
                return Ok(ExitStatus::all_well(release.plan.unplaced.is_empty()));
            }
            Self::Ls => {
                let answer = operator.list_releases(wire::ListReleasesRequest {}).await;
                let releases = answer
                    .map_err(Error::call("list the releases"))?
                    .into_inner()
                    .releases;
                let releases = releases
                    .into_iter()
                    .map(TryInto::try_into)
                    .collect::<Result<_, _>>()?;
                context.output.print(&Releases(releases))?;
            }
            Self::Show { release } => context.output.print(&get(&mut operator, &release).await?)?,
        }
        Ok(ExitStatus::Ok)
    }
}

pub(super) async fn get(
    operator: &mut Operator,
    release: &ReleaseQuery,
) -> Result<ReleaseDetails, Error> {
    let request = wire::GetReleaseRequest {
        release: release.to_string(),
    };
    let answer = operator
        .get_release(request)
        .await
        .map_err(Error::call("find the release"))?;
    Ok(answer.into_inner().try_into()?)
}

pub(super) fn parse_release(text: &str) -> Result<ReleaseQuery, String> {
    text.parse()
        .map_err(|error: tfleet_proto::model::name::NameError| error.to_string())
}
