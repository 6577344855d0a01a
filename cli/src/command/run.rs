//! `tfleet run`.

use std::io::IsTerminal as _;

use clap::Args;
use tfleet_proto::model::desired::{BindMount, GpuRequest, PortBinding, RestartPolicy};
use tfleet_proto::model::name::ReleaseQuery;
use tfleet_proto::wire;

use super::container_options::{bind, environment, gpus, port, restart_policy, size};
use super::exec::attach;
use super::release::{get, parse_release};
use super::rollout::read_changes;
use super::selection::{Selection, list_some};
use super::settle::{Patience, settle};
use super::verdict::container_runs;
use super::{Context, Operator};
use crate::error::{Error, ExitStatus};
use crate::view::change::HostChange;
use crate::view::host::Host;
use crate::view::release::Release;

const EXAMPLES: &str = "\
Without a command the container waits until it is stopped, and also runs again after a reboot of its host; use
`tfleet exec` in it. A command is taken for a job: it runs once, whether it ends well or not. For a service, add
--restart unless-stopped.

Examples:
  tfleet run train --name tf --all
  tfleet run train:v2 --name lab --host t4 -p 8888:8888 -v /data:/data:ro --restart unless-stopped -- jupyter lab
  tfleet run train --name try --host t4 --gpus none --shm-size 1g --restart no -it
  tfleet run train --name job --where 'gpu.memory >= 16GiB' -u 1000:1000 -- python /job.py";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Run {
    #[arg(value_parser = parse_release)]
    release: ReleaseQuery,
    /// The container's name on every host
    #[arg(long)]
    name: String,
    /// Replace a container of the same name that is specified differently
    #[arg(long)]
    replace: bool,
    /// Return once it runs. This is how it is without -i and -t too
    #[arg(short, long, conflicts_with_all = ["interactive", "tty"])]
    detach: bool,
    /// With -t: once it runs, open a shell in it, on exactly one host. A given command runs there instead of the shell
    #[arg(short, long, requires = "tty", conflicts_with = "no_wait")]
    interactive: bool,
    /// See -i
    #[arg(short, long, requires = "interactive")]
    tty: bool,
    /// What runs in the container
    #[arg(last = true, value_name = "CMD")]
    command: Vec<String>,
    #[command(flatten)]
    patience: Patience,
    #[command(flatten)]
    selection: Selection,
    #[command(flatten)]
    container: Container,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Container")]
struct Container {
    /// Publish a port: [ADDRESS:]HOST_PORT:CONTAINER_PORT[/udp]
    #[arg(short, long = "publish", value_name = "PORTS", value_parser = port)]
    ports: Vec<PortBinding>,
    /// Bind a folder of the host, which must exist: SOURCE:TARGET[:ro]
    #[arg(short = 'v', long = "volume", value_name = "PATHS", value_parser = bind)]
    binds: Vec<BindMount>,
    /// Set a variable
    #[arg(short, long = "env", value_name = "NAME=VALUE", value_parser = environment)]
    environment: Vec<(String, String)>,
    /// Run as UID, UID:GID, or a name inside the image
    #[arg(
        short,
        long,
        value_name = "USER",
        default_value = "",
        hide_default_value = true
    )]
    user: String,
    /// The folder to start in
    #[arg(
        short,
        long,
        value_name = "PATH",
        default_value = "",
        hide_default_value = true
    )]
    workdir: String,
    /// The size of /dev/shm: 1g, 512m
    #[arg(long, value_name = "SIZE", value_parser = size)]
    shm_size: Option<u64>,
    /// no, always, unless-stopped or on-failure[:RETRIES]. Without it: no where a command is given, else unless-stopped
    #[arg(long, value_name = "POLICY", value_parser = restart_policy)]
    restart: Option<RestartPolicy>,
    /// all, none, or UUIDs with commas between them. Without it: all where the release's image for the host uses a GPU,
    /// none elsewhere
    #[arg(long, value_name = "GPUS", value_parser = gpus)]
    gpus: Option<GpuRequest>,
    /// Make it root on the host; the host's policy must allow it
    #[arg(long)]
    privileged: bool,
    /// Share a namespace with the host; the host's policy must allow it
    #[arg(long, value_name = "NAMESPACE", value_parser = ["network", "pid", "ipc"])]
    host_namespace: Vec<String>,
    /// Add a Linux capability, without CAP_; the host's policy must allow it
    #[arg(long, value_name = "CAPABILITY")]
    cap_add: Vec<String>,
    /// Seconds between the stop signal and the kill
    #[arg(
        long,
        value_name = "SECONDS",
        default_value_t = 0,
        hide_default_value = true
    )]
    stop_timeout: u32,
}

impl Run {
    pub(super) async fn run(mut self, context: &Context) -> Result<ExitStatus, Error> {
        let selector = self.selection.clone().required()?;
        let attached = self.interactive && self.tty;
        if attached && !std::io::stdin().is_terminal() {
            return Err(Error::Usage(
                "-it needs a terminal as standard input".to_owned(),
            ));
        }
        let mut operator = context.connect().await?;
        let release = get(&mut operator, &self.release).await?;
        let hosts = list_some(&mut operator, selector).await?;
        if attached && hosts.len() != 1 {
            let what = format!(
                "-it is for exactly one host; the selection takes {}",
                hosts.len()
            );
            return Err(Error::Usage(what));
        }
        // With a terminal the container itself waits, and the command runs in it through `exec`.
        let typed = if attached {
            std::mem::take(&mut self.command)
        } else {
            Vec::new()
        };
        let changes = self.ask(&mut operator, &release, &hosts).await?;
        let runs = |host: &Host| container_runs(host, &self.name);
        let results = settle(&mut operator, changes, &self.patience, runs).await?;
        match results.0.as_slice() {
            [only] if attached && results.all_well() => {
                open_shell(&mut operator, &only.host, &self.name, typed).await
            }
            _ => {
                context.output.print(&results)?;
                Ok(ExitStatus::all_well(results.all_well()))
            }
        }
    }

    /// Writes the container down for the hosts, with the GPUs that make sense on each.
    async fn ask(
        &self,
        operator: &mut Operator,
        release: &Release,
        hosts: &[Host],
    ) -> Result<Vec<HostChange>, Error> {
        let (with_gpu, without): (Vec<&Host>, Vec<&Host>) =
            hosts.iter().partition(|host| uses_gpu(release, host));
        let groups = match &self.container.gpus {
            Some(gpus) => vec![(gpus.clone(), hosts.iter().collect())],
            None => vec![(GpuRequest::All, with_gpu), (GpuRequest::None, without)],
        };
        let mut changes = Vec::new();
        for (gpus, hosts) in groups.into_iter().filter(|(_, hosts)| !hosts.is_empty()) {
            let names = hosts.iter().map(|host| host.name.to_string()).collect();
            let request = wire::RunContainerRequest {
                template: Some(self.container.template(&self.name, &self.command, gpus)),
                release: release.release.clone(),
                selector: Some(wire::Selector {
                    names,
                    ..wire::Selector::default()
                }),
                replace: self.replace,
            };
            let answer = operator.run_container(request).await;
            let answer = answer
                .map_err(Error::call("run the container"))?
                .into_inner();
            changes.extend(read_changes(answer)?);
        }
        Ok(changes)
    }
}

/// Whether the release's image for this host computes on a GPU. Of an image that others built nothing is known but what
/// the host has.
fn uses_gpu(release: &Release, host: &Host) -> bool {
    let inventory = host.inventory.as_ref();
    let has_gpu = inventory.is_some_and(|inventory| !inventory.gpus.is_empty());
    if release.spec.is_none() {
        return has_gpu;
    }
    let plan = &release.plan;
    let mut assignments = plan.assignments.iter();
    let assigned = assignments.find(|assignment| assignment.host == host.name.as_str());
    let variant = assigned.and_then(|assigned| {
        plan.variants
            .iter()
            .find(|variant| variant.id == assigned.variant)
    });
    variant.map_or(has_gpu, |variant| variant.cuda.is_some())
}

async fn open_shell(
    operator: &mut Operator,
    host: &str,
    container: &str,
    command: Vec<String>,
) -> Result<ExitStatus, Error> {
    let shell = || {
        ["/bin/sh", "-c", "exec \"$(command -v bash || echo sh)\""]
            .map(str::to_owned)
            .into()
    };
    let exec = wire::ExecOperation {
        container: container.to_owned(),
        command: if command.is_empty() { shell() } else { command },
        tty: true,
        stdin: true,
        ..wire::ExecOperation::default()
    };
    attach(operator, host, exec).await
}

impl Container {
    /// A job that ended shall not run again for ever, and what only keeps a container alive shall outlive a reboot.
    fn restart_policy(&self, command: &[String]) -> RestartPolicy {
        let usual = || match command {
            [] => RestartPolicy::UnlessStopped,
            _ => RestartPolicy::No,
        };
        self.restart.unwrap_or_else(usual)
    }

    /// What the coordinator fills in for each host stays empty.
    fn template(&self, name: &str, command: &[String], gpus: GpuRequest) -> wire::ContainerSpec {
        wire::ContainerSpec {
            name: name.to_owned(),
            command: command.to_vec(),
            environment: self.environment.iter().cloned().collect(),
            ports: self.ports.iter().cloned().map(Into::into).collect(),
            binds: self.binds.iter().cloned().map(Into::into).collect(),
            gpus: Some(gpus.into()),
            user: self.user.clone(),
            working_directory: self.workdir.clone(),
            shm_bytes: self.shm_size.unwrap_or_default(),
            restart_policy: Some(self.restart_policy(command).into()),
            privileged: self.privileged,
            host_namespaces: self.host_namespace.clone(),
            capabilities: self.cap_add.clone(),
            stop_grace_seconds: self.stop_timeout,
            // The coordinator fills it in from the release's policy, as it does the variant.
            trusts_intermediate_code: false,
            ..wire::ContainerSpec::default()
        }
    }
}

#[cfg(test)]
mod tests;
