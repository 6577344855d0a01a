//! `tfleet build`.

use std::collections::BTreeMap;

use clap::{Args, Subcommand};
use tfleet_proto::model::name::ReleaseQuery;
use tfleet_proto::wire;

use super::release::{get, parse_release};
use super::{Context, Operator};
use crate::error::{Error, ExitStatus};
use crate::view::done::BuildLogLine;
use crate::view::progress::{Progress, Step};
use crate::view::quantity::bytes;
use crate::view::release::{BuildPhase, Builds, VariantBuild};
use crate::view::{Output, note};

const EXAMPLES: &str = "\
Examples:
  tfleet build train
  tfleet build train:v1 --log tf2.15.1-cuda12.2
  tfleet build log train tf2.15.1-cuda12.2";

const LOG: &str = "\
Examples:
  tfleet build log train tf2.15.1-cuda12.2
  tfleet build log -f train:v1 tf2.15.1-cpu";

/// The build goes on when this command is interrupted; calling it again joins it.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
pub(super) struct Build {
    #[arg(required = true, value_parser = parse_release)]
    release: Option<ReleaseQuery>,
    /// Follow this variant's build log instead of the bars
    #[arg(long, value_name = "VARIANT")]
    log: Option<String>,
    #[command(subcommand)]
    command: Option<Subcommands>,
}

#[derive(Debug, Subcommand)]
enum Subcommands {
    /// The full log of a variant's build, finished or running
    #[command(after_help = LOG)]
    Log {
        #[arg(value_parser = parse_release)]
        release: ReleaseQuery,
        variant: String,
        /// Go on while the build does
        #[arg(short, long)]
        follow: bool,
    },
}

impl Build {
    pub(super) async fn run(self, context: &Context) -> Result<ExitStatus, Error> {
        let operator = context.connect().await?;
        match (self.command, self.release) {
            (
                Some(Subcommands::Log {
                    release,
                    variant,
                    follow,
                }),
                _,
            ) => {
                print_log(operator, &release, &variant, follow, context.output).await?;
                Ok(ExitStatus::Ok)
            }
            (None, Some(release)) => build(operator, &release, self.log.as_deref(), context).await,
            (None, None) => Err(Error::Usage("name the release to build".to_owned())),
        }
    }
}

async fn build(
    mut operator: Operator,
    release: &ReleaseQuery,
    log: Option<&str>,
    context: &Context,
) -> Result<ExitStatus, Error> {
    let action = "build the release";
    let request = wire::BuildRequest {
        release: release.to_string(),
    };
    let mut events = operator
        .build(request)
        .await
        .map_err(Error::call(action))?
        .into_inner();
    let mut progress = Progress::new();
    let mut results: BTreeMap<String, VariantBuild> = BTreeMap::new();
    // The log exists once the build has begun, so it is asked for after the variant's first event.
    let mut log_started = false;
    let mut following = tokio::task::JoinSet::new();
    loop {
        let event = tokio::select! {
            // Cancel-safe: a message that is half received stays in the stream's buffer.
            event = events.message() => event.map_err(Error::call(action))?,
            () = progress.tick() => continue,
        };
        let Some(event) = event else { break };
        match log {
            Some(wanted) if wanted == event.variant && !log_started => {
                log_started = true;
                let (operator, release, variant) =
                    (operator.clone(), release.clone(), wanted.to_owned());
                let output = context.output;
                following.spawn(async move {
                    print_log(operator, &release, &variant, true, output).await
                });
            }
            Some(_) => {}
            None => show(&mut progress, &event)?,
        }
        if let Some(result) = event.result {
            results.insert(event.variant, result.try_into()?);
        }
    }
    while let Some(followed) = following.join_next().await {
        // Only a panic of the task itself ends here, and it was printed.
        if let Ok(ended) = followed {
            ended?;
        }
    }
    if let Some(wanted) = log.filter(|_| !log_started) {
        note(&format!(
            "the release has no variant `{wanted}`; it has: {}",
            names(&results)
        ));
    }
    tell_sharing(&mut operator, release, &mut results).await?;
    let builds = Builds(results.into_values().collect());
    context.output.print(&builds)?;
    for build in builds
        .0
        .iter()
        .filter(|build| build.phase == BuildPhase::Failed)
    {
        note(&format!(
            "the full log: tfleet build log {release} {}",
            build.variant
        ));
    }
    Ok(ExitStatus::all_well(builds.all_well()))
}

/// What the variants share is known once all are built.
async fn tell_sharing(
    operator: &mut Operator,
    release: &ReleaseQuery,
    results: &mut BTreeMap<String, VariantBuild>,
) -> Result<(), Error> {
    for build in get(operator, release).await?.builds {
        let result = results.get_mut(&build.variant);
        if let Some(result) = result.filter(|result| result.artifact == build.artifact) {
            result.shared_content_bytes = build.shared_content_bytes;
            result.shared_stored_bytes = build.shared_stored_bytes;
        }
    }
    Ok(())
}

fn names(results: &BTreeMap<String, VariantBuild>) -> String {
    results.keys().cloned().collect::<Vec<_>>().join(", ")
}

fn show(progress: &mut Progress, event: &wire::BuildEvent) -> Result<(), Error> {
    let phase = BuildPhase::read("phase", event.phase)?;
    match (phase, &event.result) {
        (BuildPhase::Done, Some(result)) => {
            let how = if event.cached {
                "was built already"
            } else {
                "built"
            };
            let sizes = format!(
                "{}, stored as {}",
                bytes(result.content_bytes),
                bytes(result.stored_bytes)
            );
            progress.finish(&event.variant, &format!("{how}: {sizes}"));
        }
        (BuildPhase::Failed, Some(result)) => {
            let why = result
                .failure
                .as_ref()
                .map(|failure| failure.message.as_str());
            progress.finish(
                &event.variant,
                &format!("failed: {}", why.unwrap_or("no reason was given")),
            );
        }
        _ => progress.show(
            &event.variant,
            Step {
                phase: phase.as_str(),
                activity: event.activity.clone(),
                done_bytes: event.done_bytes,
                total_bytes: event.total_bytes,
            },
        ),
    }
    Ok(())
}

async fn print_log(
    mut operator: Operator,
    release: &ReleaseQuery,
    variant: &str,
    follow: bool,
    output: Output,
) -> Result<(), Error> {
    let action = "read the build log";
    let request = wire::BuildLogRequest {
        release: release.to_string(),
        variant: variant.to_owned(),
        follow,
    };
    let mut lines = operator
        .build_log(request)
        .await
        .map_err(Error::call(action))?
        .into_inner();
    while let Some(line) = lines.message().await.map_err(Error::call(action))? {
        let line = &line.line;
        output.print_line(&BuildLogLine { variant, line }, line)?;
    }
    Ok(())
}
