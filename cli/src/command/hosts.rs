//! `tfleet hosts`.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use clap::{Args, Subcommand};
use tfleet_compat::HostFacts;
use tfleet_proto::convert::facts;
use tfleet_proto::model::name::HostName;
use tfleet_proto::wire;
use tfleet_proto::wire::host_event::Event;

use super::selection::{Selection, list, parse_name};
use super::token::parse_life;
use super::{Context, Operator};
use crate::error::{Error, ExitStatus};
use crate::view::done::HostRemoved;
use crate::view::host::{Host, HostDetails, Hosts as HostTable};
use crate::view::progress::{Progress, Step};
use crate::view::{note, write_stdout};

const SHOW: &str = "\
Examples:
  tfleet hosts show t4
  tfleet hosts show t4 --output json";

const REMOVE: &str = "\
What it runs goes on. To let it in again, run a new `tfleet agent bundle` on it, or put a new token into
/etc/tfleet/token there and restart tfleet-agent.

Examples:
  tfleet hosts rm t4";

const WAIT: &str = "\
Examples:
  tfleet hosts wait t4 a100
  tfleet hosts wait t4 --timeout 10m";

const EXPORT: &str = "\
Examples:
  tfleet hosts export  # > hosts.json
  tfleet hosts export --where 'driver >= 470'";

const EXAMPLES: &str = "\
Examples:
  tfleet hosts
  tfleet hosts t4 a100
  tfleet hosts --where 'driver < 470 || !connected'
  tfleet hosts --watch --output json
  tfleet hosts show t4
  tfleet hosts rm t4
  tfleet hosts wait t4 a100
  tfleet hosts export --where connected  # > fleet.json";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
pub(super) struct Hosts {
    /// These hosts; without any selection all
    #[arg(value_name = "NAME", value_parser = parse_name)]
    names: Vec<HostName>,
    /// Go on, and print each host again when it changes
    #[arg(short, long)]
    watch: bool,
    #[command(flatten)]
    selection: Selection,
    #[command(subcommand)]
    command: Option<Subcommands>,
}

#[derive(Debug, Subcommand)]
enum Subcommands {
    /// Everything about one host
    #[command(after_help = SHOW)]
    Show {
        #[arg(value_name = "NAME", value_parser = parse_name)]
        host: HostName,
    },
    /// Revoke a host's certificate and forget it; what runs there goes on running
    #[command(after_help = REMOVE)]
    Rm {
        #[arg(value_name = "NAME", value_parser = parse_name)]
        host: HostName,
    },
    /// Wait until hosts are connected and have told what they have
    #[command(after_help = WAIT)]
    Wait {
        #[arg(value_name = "NAME", required = true, value_parser = parse_name)]
        hosts: Vec<HostName>,
        /// Wait at most this long: 90s, 10m
        #[arg(long, value_name = "TIME", value_parser = parse_life)]
        timeout: Option<Duration>,
    },
    /// What compatibility depends on, as JSON: what `tfleet plan --offline --hosts` reads
    #[command(after_help = EXPORT)]
    Export {
        #[command(flatten)]
        selection: Selection,
    },
}

impl Hosts {
    pub(super) async fn run(self, context: &Context) -> Result<ExitStatus, Error> {
        let mut operator = context.connect().await?;
        match self.command {
            None => {
                let selector = self.selection.with_names(&self.names).or_all();
                if self.watch {
                    return watch(&mut operator, selector, context).await;
                }
                context
                    .output
                    .print(&HostTable(list(&mut operator, selector).await?))?;
            }
            Some(Subcommands::Show { host }) => {
                let hosts = list(&mut operator, Selection::of_names([host]).into()).await?;
                for host in hosts {
                    context.output.print(&HostDetails(host))?;
                }
            }
            Some(Subcommands::Rm { host }) => {
                let request = wire::RemoveHostRequest {
                    host: host.to_string(),
                };
                operator
                    .remove_host(request)
                    .await
                    .map_err(Error::call("remove the host"))?;
                let words = format!(
                    "{host} is removed: its certificate is revoked and its streams are closed"
                );
                let done = HostRemoved { removed: &host };
                context.output.report(&done, &words)?;
            }
            Some(Subcommands::Wait { hosts, timeout }) => {
                return wait(&mut operator, hosts, timeout, context).await;
            }
            Some(Subcommands::Export { selection }) => {
                export(&list(&mut operator, selection.or_all()).await?)?;
            }
        }
        Ok(ExitStatus::Ok)
    }
}

/// Prints the table once the coordinator has told every host, then what changes.
async fn watch(
    operator: &mut Operator,
    selector: wire::Selector,
    context: &Context,
) -> Result<ExitStatus, Error> {
    let action = "watch the hosts";
    let request = wire::ListHostsRequest {
        selector: Some(selector),
    };
    let mut events = operator
        .watch_hosts(request)
        .await
        .map_err(Error::call(action))?
        .into_inner();
    let mut first: Option<Vec<Host>> = Some(Vec::new());
    while let Some(event) = events.message().await.map_err(Error::call(action))? {
        match (event.event, &mut first) {
            (Some(Event::Host(host)), Some(hosts)) => hosts.push(host.try_into()?),
            (Some(Event::Host(host)), None) => {
                context
                    .output
                    .print_next(&HostTable(vec![host.try_into()?]))?;
            }
            (Some(Event::Synced(_)), hosts) => {
                if let Some(hosts) = hosts.take() {
                    context.output.print_next(&HostTable(hosts))?;
                }
            }
            (Some(Event::Removed(name)), _) => {
                note(&format!("{name} was removed from the fleet"));
            }
            (Some(Event::Unmatched(name)), _) => {
                note(&format!("{name} is no longer among the selected hosts"));
            }
            (None, _) => {}
        }
    }
    Err(Error::Cut { action })
}

async fn wait(
    operator: &mut Operator,
    hosts: Vec<HostName>,
    timeout: Option<Duration>,
    context: &Context,
) -> Result<ExitStatus, Error> {
    let action = "wait for the hosts";
    let mut ready: BTreeMap<HostName, Option<Host>> =
        hosts.iter().map(|name| (name.clone(), None)).collect();
    // By name only once they are known: a host that is not yet enrolled is worth waiting for.
    let selector = wire::Selector {
        all: true,
        ..wire::Selector::default()
    };
    let request = wire::ListHostsRequest {
        selector: Some(selector),
    };
    let mut events = operator
        .watch_hosts(request)
        .await
        .map_err(Error::call(action))?
        .into_inner();
    let mut progress = Progress::new();
    for name in ready.keys() {
        progress.show(name.as_str(), waiting("not connected yet"));
    }
    let began = Instant::now();
    while ready.values().any(Option::is_none) {
        if timeout.is_some_and(|limit| began.elapsed() >= limit) {
            let missing = ready.iter().filter(|(_, host)| host.is_none());
            for (name, _) in missing {
                let text = "not there in time; on the host: journalctl -u tfleet-agent";
                progress.finish(name.as_str(), text);
            }
            break;
        }
        let event = tokio::select! {
            // Cancel-safe: a message that is half received stays in the stream's buffer.
            event = events.message() => event.map_err(Error::call(action))?.ok_or(Error::Cut { action })?,
            () = progress.tick() => continue,
        };
        let Some(Event::Host(host)) = event.event else {
            continue;
        };
        let host = Host::try_from(host)?;
        let Some(slot) = ready.get_mut(&host.name) else {
            continue;
        };
        let name = host.name.to_string();
        match (host.connected, host.inventory.is_some()) {
            (true, true) => {
                progress.finish(&name, "connected");
                *slot = Some(host);
            }
            (true, false) => progress.show(&name, waiting("taking its inventory")),
            (false, _) => progress.show(&name, waiting("not connected yet")),
        }
    }
    let all_there = ready.values().all(Option::is_some);
    let hosts = ready.into_values().flatten().collect();
    context.output.print(&HostTable(hosts))?;
    Ok(ExitStatus::all_well(all_there))
}

fn waiting(activity: &str) -> Step {
    Step {
        phase: "waiting",
        activity: activity.to_owned(),
        ..Step::default()
    }
}

/// The list that `tfleet release create --hosts` takes at another coordinator.
fn export(hosts: &[Host]) -> Result<(), Error> {
    let mut silent = 0;
    let mut exported: Vec<HostFacts> = Vec::new();
    for host in hosts {
        let facts = host
            .inventory
            .as_ref()
            .map(|inventory| facts(host.name.as_str(), inventory));
        match facts {
            Some(Ok(facts)) => exported.push(facts),
            Some(Err(_)) => note(&format!(
                "{} is left out: TensorFlow is made for x86_64 and aarch64 only",
                host.name
            )),
            None => silent += 1,
        }
    }
    let text =
        serde_json::to_string_pretty(&exported).map_err(|error| Error::Output(error.into()))?;
    write_stdout(&(text + "\n"))?;
    if silent > 0 {
        note(&format!(
            "{silent} hosts have not told yet what they have, and are left out"
        ));
    }
    Ok(())
}
