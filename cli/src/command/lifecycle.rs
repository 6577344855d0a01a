//! `tfleet start`, `stop`, `restart` and `rm`.

use std::collections::BTreeMap;

use clap::Args;
use tfleet_proto::wire;
use tfleet_proto::wire::ContainerChange;

use super::Context;
use super::rollout::read_changes;
use super::selection::{Selection, with_container};
use super::settle::{Patience, settle};
use super::verdict::{Verdict, container_is_gone, container_is_stopped, container_runs};
use crate::error::{Error, ExitStatus};
use crate::view::host::Host;

pub(super) const START: &str = "Examples:\n  tfleet start tf --all\n  tfleet start tf --host t4";
pub(super) const STOP: &str =
    "Examples:\n  tfleet stop tf --all\n  tfleet stop tf jupyter --where 'label.rack = 7'";
pub(super) const RESTART: &str =
    "Examples:\n  tfleet restart tf --all\n  tfleet restart tf --host t4 --no-wait";
pub(super) const REMOVE: &str = "Examples:\n  tfleet rm tf --host t4\n  tfleet rm tf jupyter --all";

#[derive(Debug, Args)]
pub(super) struct Containers {
    /// Names of containers. Of the selected hosts, those that have one of them are asked
    #[arg(value_name = "NAME", required = true)]
    names: Vec<String>,
    #[command(flatten)]
    patience: Patience,
    #[command(flatten)]
    selection: Selection,
}

impl Containers {
    pub(super) async fn start(self, context: &Context) -> Result<ExitStatus, Error> {
        self.change(
            context,
            ContainerChange::Start,
            "start the containers",
            container_runs,
        )
        .await
    }

    pub(super) async fn stop(self, context: &Context) -> Result<ExitStatus, Error> {
        self.change(
            context,
            ContainerChange::Stop,
            "stop the containers",
            container_is_stopped,
        )
        .await
    }

    pub(super) async fn restart(self, context: &Context) -> Result<ExitStatus, Error> {
        self.change(
            context,
            ContainerChange::Restart,
            "restart the containers",
            container_runs,
        )
        .await
    }

    pub(super) async fn remove(self, context: &Context) -> Result<ExitStatus, Error> {
        self.change(
            context,
            ContainerChange::Remove,
            "remove the containers",
            container_is_gone,
        )
        .await
    }

    async fn change(
        self,
        context: &Context,
        change: ContainerChange,
        action: &'static str,
        judge: fn(&Host, &str) -> Verdict,
    ) -> Result<ExitStatus, Error> {
        let selector = self.selection.required()?;
        let mut operator = context.connect().await?;
        let hosts = with_container(&mut operator, selector, &self.names).await?;
        let mut changes = Vec::new();
        for (containers, hosts) in by_containers(&hosts, &self.names) {
            let selector = wire::Selector {
                names: hosts,
                ..wire::Selector::default()
            };
            let request = wire::ChangeContainersRequest {
                change: change.into(),
                containers,
                selector: Some(selector),
            };
            let answer = operator
                .change_containers(request)
                .await
                .map_err(Error::call(action))?;
            changes.extend(read_changes(answer.into_inner())?);
        }
        // A host that never had one of the containers is not waited for because of it.
        let had = |host: &Host, name: &str| {
            hosts
                .iter()
                .any(|before| before.name == host.name && before.has_container(name))
        };
        let all = |host: &Host| {
            let names = self.names.iter().filter(|name| had(host, name));
            worst(names.map(|name| judge(host, name)))
        };
        let results = settle(&mut operator, changes, &self.patience, all).await?;
        context.output.print(&results)?;
        Ok(ExitStatus::all_well(results.all_well()))
    }
}

/// The hosts by which of the containers they have, so that each is asked for its own. A host that was named and has none
/// is asked for all of them, and says so itself.
fn by_containers(hosts: &[Host], names: &[String]) -> BTreeMap<Vec<String>, Vec<String>> {
    let mut groups: BTreeMap<Vec<String>, Vec<String>> = BTreeMap::new();
    for host in hosts {
        let had: Vec<String> = names
            .iter()
            .filter(|name| host.has_container(name))
            .cloned()
            .collect();
        let asked = if had.is_empty() { names.to_vec() } else { had };
        groups.entry(asked).or_default().push(host.name.to_string());
    }
    groups
}

/// One verdict for several containers: a failure, else what is still to do, else the last that is done.
fn worst(verdicts: impl Iterator<Item = Verdict>) -> Verdict {
    let rank = |verdict: &Verdict| match verdict {
        Verdict::Done(_) | Verdict::Delivered { .. } => 0,
        Verdict::Lasting(_) => 1,
        Verdict::Working(_) => 2,
        Verdict::Retrying(_) => 3,
        Verdict::Failed(_) => 4,
    };
    verdicts
        .max_by_key(rank)
        .unwrap_or_else(|| Verdict::Done("nothing to do".to_owned()))
}
