//! `tfleet rollout report`: how far a release is, carried from one site to another as a file.

use std::path::Path;

use tfleet_proto::model::name::{ReleaseQuery, ReleaseRef};
use tfleet_proto::wire;

use super::super::release::get;
use super::super::selection::{Selection, list};
use super::super::{Context, Operator};
use super::newest;
use crate::error::{Error, ExitStatus};
use crate::view::release::Release;
use crate::view::report::Report;

/// Of this fleet, as it is now.
pub async fn of_this_fleet(
    context: &Context,
    release: ReleaseQuery,
    selection: Selection,
) -> Result<ExitStatus, Error> {
    let mut operator = context.connect().await?;
    let release = newest(&mut operator, release).await?;
    let fleet = operator
        .get_fleet(wire::GetFleetRequest {})
        .await
        .map_err(Error::call("ask for the fleet's name"))?
        .into_inner()
        .name;
    let hosts = list(&mut operator, selection.or_all()).await?;
    let report = Report::of(fleet, release, &hosts);
    context.output.print(&report)?;
    Ok(ExitStatus::all_well(report.all_well()))
}

/// Of another fleet, out of its report; the images must be those that were built here.
pub async fn from_file(
    context: &Context,
    release: ReleaseQuery,
    path: &Path,
) -> Result<ExitStatus, Error> {
    let text = tokio::fs::read(path)
        .await
        .map_err(Error::file("read", path))?;
    let report: Report = serde_json::from_slice(&text).map_err(|error| {
        Error::Usage(format!(
            "{} is not a report of `tfleet rollout report --output json`: {error}",
            path.display()
        ))
    })?;
    let mut operator = context.connect().await?;
    let asked = newest(&mut operator, release).await?;
    if report.release != asked {
        return Err(Error::Usage(format!(
            "{} is about {}, not about {asked}",
            path.display(),
            report.release
        )));
    }
    check(&mut operator, &report, asked).await?;
    context.output.print(&report)?;
    Ok(ExitStatus::all_well(report.all_well()))
}

async fn check(operator: &mut Operator, report: &Report, release: ReleaseRef) -> Result<(), Error> {
    let here: Release = get(operator, &ReleaseQuery::Exact(release)).await?;
    for host in &report.hosts {
        let (variant, artifact) = (host.variant.to_string(), host.artifact.to_string());
        let is_ours = here.builds.iter().any(|build| {
            build.variant == variant && build.artifact.as_deref() == Some(artifact.as_str())
        });
        if !is_ours {
            return Err(Error::Failed {
                what: format!(
                    "{} has another {} than this site",
                    report.fleet, here.release
                ),
                why: format!(
                    "{} was given {artifact} for {variant}, which was not built here",
                    host.host
                ),
                remedy: "export the release again, and import it there under a revision of its own"
                    .to_owned(),
            });
        }
    }
    Ok(())
}
