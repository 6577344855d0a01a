//! `tfleet release`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use tfleet_proto::model::name::ReleaseQuery;
use tfleet_proto::wire;

use super::plan::{Specification, request};
use super::selection::Selection;
use super::{Context, Operator};
use crate::error::{Error, ExitStatus};
use crate::view::release::{Release as ReleaseDetails, Releases};
use crate::view::{note, write_stdout};

const EXAMPLES: &str = "\
Examples:
  tfleet release create train --tensorflow '>=2.14,<2.16' --all
  tfleet release ls
  tfleet release show train:v1
  tfleet release sbom train --variant tf2.15.1-cuda12.2";

const SBOM: &str = "\
Examples:
  tfleet release sbom train --variant tf2.15.1-cuda12.2";

const CREATE: &str = "\
What the newest revision is already is not made again, unless --anew says so.

Examples:
  tfleet release create train --tensorflow '>=2.14,<2.16' --all
  tfleet release create train --tensorflow '==2.15.*' --python jupyterlab --debian git --where connected
  tfleet release create lab --tensorflow '>=2.14,<2.16' --flavour jupyter --dockerfile Dockerfile --all
  tfleet release create train --tensorflow '>=2.14,<2.16' --all --anew
  tfleet release create train --tensorflow '>=2.14,<2.16' --hosts hosts.json";

const LIST: &str = "\
Examples:
  tfleet release ls
  tfleet release ls --output json";

const SHOW: &str = "\
Examples:
  tfleet release show train
  tfleet release show train:v1 --output json";

#[derive(Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub(super) enum Release {
    /// Make the next revision of a release, with its plan for the selected hosts
    Create(Box<Create>),
    /// All releases
    #[command(after_help = LIST)]
    Ls,
    /// One release: what was asked, its plan, its builds
    #[command(after_help = SHOW)]
    Show {
        #[arg(value_parser = parse_release)]
        release: ReleaseQuery,
    },
    /// What is in a variant's image: every wheel and Debian package, as a CycloneDX document
    #[command(after_help = SBOM)]
    Sbom {
        #[arg(value_parser = parse_release)]
        release: ReleaseQuery,
        #[arg(long)]
        variant: String,
    },
}

#[derive(Debug, Args)]
#[command(after_help = CREATE)]
pub(super) struct Create {
    #[command(flatten)]
    spec: Specification,
    /// Make a new revision also where the newest one is just this, so that its packages are resolved again
    #[arg(long)]
    anew: bool,
    /// Plan for the hosts of another coordinator: a file of `tfleet hosts export` there
    #[arg(long = "hosts", value_name = "FILE", conflicts_with_all = ["all", "hosts", "expression"])]
    elsewhere: Option<PathBuf>,
    #[command(flatten)]
    selection: Selection,
}

impl Release {
    pub(super) async fn run(self, context: &Context) -> Result<ExitStatus, Error> {
        match self {
            Self::Create(create) => return create.run(context).await,
            Self::Ls => {
                let mut operator = context.connect().await?;
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
            Self::Show { release } => {
                let mut operator = context.connect().await?;
                context.output.print(&get(&mut operator, &release).await?)?;
            }
            Self::Sbom { release, variant } => {
                let request = wire::GetSbomRequest {
                    release: release.to_string(),
                    variant,
                };
                let answer = context.connect().await?.get_sbom(request).await;
                let answer = answer.map_err(Error::call("list what is in the image"))?;
                // A form of its own already, whatever form was asked for.
                write_stdout(&answer.into_inner().document)?;
            }
        }
        Ok(ExitStatus::Ok)
    }
}

impl Create {
    async fn run(self, context: &Context) -> Result<ExitStatus, Error> {
        let request = match &self.elsewhere {
            Some(path) => wire::PlanRequest {
                spec: Some(self.spec.wire()?),
                hosts: tokio::fs::read(path)
                    .await
                    .map_err(Error::file("read", path))?,
                ..wire::PlanRequest::default()
            },
            None => request(self.spec, self.selection)?,
        };
        let request = wire::PlanRequest {
            anew: self.anew,
            ..request
        };
        let answer = context
            .connect()
            .await?
            .create_release(request)
            .await
            .map_err(Error::call("create the release"))?;
        let release = ReleaseDetails::try_from(answer.into_inner())?;
        context.output.print(&release)?;
        if release.existed {
            note(&format!(
                "unchanged: {} is just this already; --anew makes a new revision of it, with its packages resolved again",
                release.release
            ));
        }
        Ok(ExitStatus::all_well(release.plan.unplaced.is_empty()))
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
