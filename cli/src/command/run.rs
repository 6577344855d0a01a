//! `tfleet run`.

use std::io::IsTerminal as _;

use clap::Args;
use tfleet_proto::model::desired::{BindMount, GpuRequest, PortBinding, RestartPolicy};
use tfleet_proto::model::name::ReleaseQuery;
use tfleet_proto::wire;

use super::container_options::{bind, environment, gpus, port, restart_policy, size};
use super::exec::attach;
use super::release::parse_release;
use super::rollout::{asked, newest, read_changes};
use super::selection::Selection;
use super::settle::{container_runs, settle};
use super::{Context, Operator};
use crate::error::{Error, ExitStatus};
use crate::view::change::HostResults;

const EXAMPLES: &str = "\
Without a command the container waits until it is stopped; use `tfleet exec` in it.

Examples:
  tfleet run train --name tf --all
  tfleet run train:v2 --name jupyter --host t4 -p 8888:8888 -v /data:/data:ro -- jupyter lab --ip 0.0.0.0
  tfleet run train --name try --host t4 --gpus none --shm-size 1g --restart no -it
  tfleet run train --name job --where 'gpu.memory >= 16GiB' -e EPOCHS=3 -u 1000:1000 -- python /data/train.py";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Run {
    #[arg(value_parser = parse_release)]
    release: ReleaseQuery,
    /// The container's name on every host
    #[arg(long)]
    name: String,
    #[command(flatten)]
    selection: Selection,
    #[command(flatten)]
    container: Container,
    /// Replace a container of the same name that is specified differently
    #[arg(long)]
    replace: bool,
    /// Return once it runs. This is how it is without -i and -t too
    #[arg(short, long, conflicts_with_all = ["interactive", "tty"])]
    detach: bool,
    /// Return once it is written down
    #[arg(long, conflicts_with_all = ["interactive", "tty"])]
    no_wait: bool,
    /// With -t: once it runs, open a shell in it, on exactly one host. A given command runs there instead of the shell
    #[arg(short, long, requires = "tty")]
    interactive: bool,
    /// See -i
    #[arg(short, long, requires = "interactive")]
    tty: bool,
    /// What runs in the container
    #[arg(last = true, value_name = "CMD")]
    command: Vec<String>,
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
    /// no, always, unless-stopped or on-failure[:RETRIES]
    #[arg(long, value_name = "POLICY", default_value = "unless-stopped", value_parser = restart_policy)]
    restart: RestartPolicy,
    /// all, none, or UUIDs with commas between them. On a host without GPUs `all` means none
    #[arg(long, value_name = "GPUS", default_value = "all", value_parser = gpus)]
    gpus: GpuRequest,
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
    pub(super) async fn run(self, context: &Context) -> Result<ExitStatus, Error> {
        let selector = self.selection.required()?;
        let attached = self.interactive && self.tty;
        if attached && !std::io::stdin().is_terminal() {
            return Err(Error::Usage(
                "-it needs a terminal as standard input".to_owned(),
            ));
        }
        let mut operator = context.connect().await?;
        let release = newest(&mut operator, self.release).await?;
        if attached {
            let hosts = super::selection::list(&mut operator, selector.clone()).await?;
            if hosts.len() != 1 {
                let what = format!(
                    "-it is for exactly one host; the selection takes {}",
                    hosts.len()
                );
                return Err(Error::Usage(what));
            }
        }
        let (own_command, attached_command) = if attached {
            (Vec::new(), self.command)
        } else {
            (self.command, Vec::new())
        };
        let request = wire::RunContainerRequest {
            template: Some(self.container.into_template(self.name.clone(), own_command)),
            release: release.to_string(),
            selector: Some(selector),
            replace: self.replace,
        };
        let answer = operator
            .run_container(request)
            .await
            .map_err(Error::call("run the container"))?;
        let changes = read_changes(answer.into_inner())?;
        if self.no_wait {
            return finish(context, &asked(changes));
        }
        let results = settle(&mut operator, changes, |host| {
            container_runs(host, &self.name)
        })
        .await?;
        match results.0.as_slice() {
            [only] if attached && results.all_well() => {
                open_shell(&mut operator, &only.host, &self.name, attached_command).await
            }
            _ => finish(context, &results),
        }
    }
}

fn finish(context: &Context, results: &HostResults) -> Result<ExitStatus, Error> {
    context.output.print(results)?;
    Ok(ExitStatus::all_well(results.all_well()))
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
    /// What the coordinator fills in for each host stays empty.
    fn into_template(self, name: String, command: Vec<String>) -> wire::ContainerSpec {
        wire::ContainerSpec {
            name,
            command,
            environment: self.environment.into_iter().collect(),
            ports: self.ports.into_iter().map(Into::into).collect(),
            binds: self.binds.into_iter().map(Into::into).collect(),
            gpus: Some(self.gpus.into()),
            user: self.user,
            working_directory: self.workdir,
            shm_bytes: self.shm_size.unwrap_or_default(),
            restart_policy: Some(self.restart.into()),
            privileged: self.privileged,
            host_namespaces: self.host_namespace,
            capabilities: self.cap_add,
            stop_grace_seconds: self.stop_timeout,
            ..wire::ContainerSpec::default()
        }
    }
}
