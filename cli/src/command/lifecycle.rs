//! `tfleet start`, `stop`, `restart` and `rm`.

use clap::Args;
use tfleet_proto::wire;
use tfleet_proto::wire::ContainerChange;

use super::Context;
use super::rollout::{asked, read_changes};
use super::selection::{Selection, with_container};
use super::settle::{Verdict, container_is_gone, container_is_stopped, container_runs, settle};
use crate::error::{Error, ExitStatus};
use crate::view::host::Host;

pub(super) const START: &str = "Examples:\n  tfleet start tf\n  tfleet start tf --host t4";
pub(super) const STOP: &str =
    "Examples:\n  tfleet stop tf\n  tfleet stop tf jupyter --where 'label.rack = 7'";
pub(super) const RESTART: &str =
    "Examples:\n  tfleet restart tf\n  tfleet restart tf --host t4 --no-wait";
pub(super) const REMOVE: &str = "Examples:\n  tfleet rm tf\n  tfleet rm tf jupyter --all";

#[derive(Debug, Args)]
pub(super) struct Containers {
    /// Names of containers
    #[arg(value_name = "NAME", required = true)]
    names: Vec<String>,
    /// Without a selection: every host that has one of these containers
    #[command(flatten)]
    selection: Selection,
    /// Return once it is written down
    #[arg(long)]
    no_wait: bool,
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
        let mut operator = context.connect().await?;
        let hosts = with_container(&mut operator, self.selection, &self.names).await?;
        let selector = wire::Selector {
            names: hosts.iter().map(|host| host.name.to_string()).collect(),
            ..wire::Selector::default()
        };
        let request = wire::ChangeContainersRequest {
            change: change.into(),
            containers: self.names.clone(),
            selector: Some(selector),
        };
        let answer = operator
            .change_containers(request)
            .await
            .map_err(Error::call(action))?;
        let changes = read_changes(answer.into_inner())?;
        let results = if self.no_wait {
            asked(changes)
        } else {
            // A host that never had one of the containers is not waited for because of it.
            let had = |host: &Host, name: &String| {
                hosts
                    .iter()
                    .any(|before| before.name == host.name && before.has_container(name))
            };
            let all = |host: &Host| {
                let verdicts = self
                    .names
                    .iter()
                    .filter(|name| had(host, name))
                    .map(|name| judge(host, name));
                worst(verdicts)
            };
            settle(&mut operator, changes, all).await?
        };
        context.output.print(&results)?;
        Ok(ExitStatus::all_well(results.all_well()))
    }
}

/// One verdict for several containers: a failure, else what is still to do, else the last that is done.
fn worst(verdicts: impl Iterator<Item = Verdict>) -> Verdict {
    let rank = |verdict: &Verdict| match verdict {
        Verdict::Done(_) => 0,
        Verdict::Working(_) => 1,
        Verdict::Failed(_) => 2,
    };
    verdicts
        .max_by_key(rank)
        .unwrap_or_else(|| Verdict::Done("nothing to do".to_owned()))
}
