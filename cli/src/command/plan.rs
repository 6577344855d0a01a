//! `tfleet plan`, and the arguments that say what a release is.

mod offline;
mod policy;

use std::path::{Path, PathBuf};

use clap::Args;
use tfleet_proto::model::name::{HostName, ReleaseName};
use tfleet_proto::wire;

use super::Context;
use super::container_options::environment;
use super::selection::{Selection, parse_name};
use crate::error::{Error, ExitStatus};
use crate::view::explanation::Explanation;
use crate::view::plan::Plan as PlanTable;

pub(super) use offline::catalog;
pub(super) use policy::PolicyOptions;

const EXAMPLES: &str = "\
A plan changes nothing. --output json prints the form that `tfleet schema plan` describes (with --explain: `tfleet schema explanation`).
Where a host is left out the plan says why; the exit status is 0 all the same.

Examples:
  tfleet plan train --tensorflow '>=2.14,<2.16' --all
  tfleet plan train --tensorflow '==2.15.*' --where 'driver >= 470' --output json
  tfleet plan train --tensorflow '>=2.14' --python pandas==2.2.3 --debian git --all
  tfleet plan train --tensorflow '>=2.14' --all --explain t4
  tfleet plan train --tensorflow '>=2.14' --all --what-if 'driver=535.183.01 on label.rack=7'
  tfleet plan lab --tensorflow '>=2.14' --flavour jupyter --flavour ssh --authorized-keys keys.pub --all
  tfleet plan --offline --hosts hosts.json --tensorflow '>=2.12' --policy policy.toml";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Plan {
    /// The release's name: lower-case letters, digits and hyphens
    #[arg(value_parser = parse_release_name, required_unless_present = "offline")]
    name: Option<ReleaseName>,
    /// Which TensorFlow, newest preferred: a PEP 440 specifier. Offline without it: any 2.x
    #[arg(long, value_name = "SPECIFIER", required_unless_present = "offline")]
    tensorflow: Option<String>,
    #[command(flatten)]
    additions: Additions,
    #[command(flatten)]
    policy: PolicyOptions,
    #[command(flatten)]
    selection: Selection,
    /// Tell instead what was considered for this host, rule by rule
    #[arg(long, value_name = "HOST", value_parser = parse_name, conflicts_with = "what_if")]
    explain: Option<HostName>,
    /// Also tell what a change would do: 'driver=535.183.01 on label.rack=7'; may be given several times
    #[arg(long, value_name = "CHANGE on EXPR")]
    what_if: Vec<String>,
    /// Plan from a file of hosts, without a coordinator
    #[arg(long, requires = "hosts_file")]
    offline: bool,
    /// The hosts, as `tfleet hosts export` writes them
    #[arg(
        id = "hosts_file",
        long = "hosts",
        value_name = "FILE",
        requires = "offline",
        help_heading = "Offline"
    )]
    hosts_file: Option<PathBuf>,
    /// A plan from before (--output json): what it gives a host stays while it serves it, and what changes is told
    #[arg(
        long,
        value_name = "FILE",
        requires = "offline",
        help_heading = "Offline"
    )]
    running: Option<PathBuf>,
    /// The site's own facts, beside the built-in ones; may be given several times
    #[arg(
        long,
        value_name = "FILE",
        requires = "offline",
        help_heading = "Offline"
    )]
    catalog: Vec<PathBuf>,
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
    #[command(flatten)]
    additions: Additions,
    #[command(flatten)]
    policy: PolicyOptions,
}

/// What a release adds to the recipes that planning chooses.
#[derive(Debug, Args)]
struct Additions {
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
    /// What the images are for, which `tfleet run` then starts: jupyter serves JupyterLab (8888), ssh lets in by key (22, on the
    /// host 2222), devel has a compiler; may be given several times. Without it: runtime
    #[arg(long = "flavour", value_name = "FLAVOUR", value_parser = ["runtime", "jupyter", "ssh", "devel"])]
    flavours: Vec<String>,
    /// Public keys that may come in by SSH, with --flavour ssh. Without it: those that are bound to /root/.ssh/authorized_keys
    #[arg(long, value_name = "FILE")]
    authorized_keys: Option<PathBuf>,
    /// A Dockerfile to build on top of each image: `ARG TFLEET_BASE` and `FROM ${TFLEET_BASE}`, and no files beside it
    #[arg(long, value_name = "FILE")]
    dockerfile: Option<PathBuf>,
}

impl Additions {
    fn are_any(&self) -> bool {
        let lists = [&self.python_packages, &self.debian_packages, &self.flavours];
        let files = [&self.authorized_keys, &self.dockerfile];
        lists.iter().any(|list| !list.is_empty())
            || files.iter().any(|file| file.is_some())
            || !(self.environment.is_empty() && self.ports.is_empty() && self.base.is_empty())
    }
}

impl Plan {
    pub(super) async fn run(self, context: &Context) -> Result<ExitStatus, Error> {
        if self.offline {
            return self.run_offline(context);
        }
        let (Some(name), Some(tensorflow)) = (self.name, self.tensorflow) else {
            // The parser asks for both.
            return Err(Error::Usage(
                "a name and --tensorflow are needed".to_owned(),
            ));
        };
        let explain = self.explain.map(|host| host.to_string());
        let specification = Specification {
            name,
            tensorflow,
            additions: self.additions,
            policy: self.policy,
        };
        let request = wire::PlanRequest {
            what_if: self.what_if,
            explain: explain.clone().unwrap_or_default(),
            ..request(specification, self.selection)?
        };
        let answer = context
            .connect()
            .await?
            .plan(request)
            .await
            .map_err(Error::call("plan the release"))?
            .into_inner();
        let considered = answer.considered.clone();
        let plan = PlanTable::from(answer);
        match explain {
            Some(host) => context
                .output
                .print(&Explanation::new(host, &plan, considered))?,
            None => context.output.print(&plan)?,
        }
        Ok(ExitStatus::Ok)
    }
}

pub(super) fn request(
    spec: Specification,
    selection: Selection,
) -> Result<wire::PlanRequest, Error> {
    Ok(wire::PlanRequest {
        spec: Some(spec.wire()?),
        selector: Some(selection.required()?),
        ..Default::default()
    })
}

impl Specification {
    /// With what stands in the files that it names.
    pub(super) fn wire(self) -> Result<wire::ReleaseSpec, Error> {
        let text = |path: Option<&Path>| match path {
            Some(path) => std::fs::read_to_string(path).map_err(Error::file("read", path)),
            None => Ok(String::new()),
        };
        let additions = self.additions;
        Ok(wire::ReleaseSpec {
            authorized_keys: text(additions.authorized_keys.as_deref())?,
            dockerfile: text(additions.dockerfile.as_deref())?,
            name: self.name.to_string(),
            tensorflow: self.tensorflow,
            python_packages: additions.python_packages,
            debian_packages: additions.debian_packages,
            environment: additions.environment.into_iter().collect(),
            ports: additions.ports.into_iter().map(u32::from).collect(),
            base: additions.base,
            flavours: additions.flavours,
            spans_majors: self.policy.span_majors,
            policy: Some(self.policy.wire()?),
        })
    }
}

pub(super) fn parse_release_name(text: &str) -> Result<ReleaseName, String> {
    text.parse()
        .map_err(|error: tfleet_proto::model::name::NameError| error.to_string())
}
