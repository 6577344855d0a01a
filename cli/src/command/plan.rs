//! `tfleet plan`, and the arguments that say what a release is.

use clap::Args;
use tfleet_proto::model::name::ReleaseName;
use tfleet_proto::wire;

use super::Context;
use super::container_options::environment;
use super::selection::Selection;
use crate::error::{Error, ExitStatus};
use crate::view::plan::Plan as PlanTable;

const EXAMPLES: &str = "\
Examples:
  tfleet plan train --tensorflow '>=2.14,<2.16' --all
  tfleet plan train --tensorflow '==2.15.*' --where 'driver >= 470' --output json
  tfleet plan train --tensorflow '>=2.14' --python pandas==2.2.3 --debian git --all";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Plan {
    #[command(flatten)]
    spec: Specification,
    #[command(flatten)]
    selection: Selection,
}

/// What is asked of a release.
#[derive(Debug, Args)]
pub(super) struct Specification {
    /// The release's name: lower-case letters, digits and hyphens
    #[arg(value_parser = parse_release_name)]
    name: ReleaseName,
    /// Which TensorFlow, newest preferred: a PEP 440 specifier
    #[arg(long, value_name = "SPECIFIER")]
    tensorflow: String,
    /// A further Python requirement, pandas==2.2.3; may be given several times
    #[arg(long = "python", value_name = "REQUIREMENT")]
    python_packages: Vec<String>,
    /// A further Debian package; may be given several times
    #[arg(long = "debian", value_name = "PACKAGE")]
    debian_packages: Vec<String>,
    /// A variable of the image's environment; may be given several times
    #[arg(short = 'e', long = "env", value_name = "NAME=VALUE", value_parser = environment)]
    environment: Vec<(String, String)>,
    /// A port that the image declares; may be given several times
    #[arg(long = "expose", value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    ports: Vec<u16>,
    /// The base: an imported one, an image of the builder's engine, or a registry reference. Without it: Debian packages
    #[arg(
        long,
        value_name = "BASE",
        default_value = "",
        hide_default_value = true
    )]
    base: String,
}

impl Plan {
    pub(super) async fn run(self, context: &Context) -> Result<ExitStatus, Error> {
        let request = request(self.spec, self.selection)?;
        let answer = context
            .connect()
            .await?
            .plan(request)
            .await
            .map_err(Error::call("plan the release"))?;
        let plan = PlanTable::from(answer.into_inner().plan.unwrap_or_default());
        context.output.print(&plan)?;
        Ok(ExitStatus::all_well(plan.unplaced.is_empty()))
    }
}

pub(super) fn request(
    spec: Specification,
    selection: Selection,
) -> Result<wire::PlanRequest, Error> {
    Ok(wire::PlanRequest {
        spec: Some(spec.into()),
        selector: Some(selection.required()?),
        ..wire::PlanRequest::default()
    })
}

impl From<Specification> for wire::ReleaseSpec {
    fn from(spec: Specification) -> Self {
        Self {
            name: spec.name.to_string(),
            tensorflow: spec.tensorflow,
            python_packages: spec.python_packages,
            debian_packages: spec.debian_packages,
            environment: spec.environment.into_iter().collect(),
            ports: spec.ports.into_iter().map(u32::from).collect(),
            base: spec.base,
        }
    }
}

pub(super) fn parse_release_name(text: &str) -> Result<ReleaseName, String> {
    text.parse()
        .map_err(|error: tfleet_proto::model::name::NameError| error.to_string())
}
