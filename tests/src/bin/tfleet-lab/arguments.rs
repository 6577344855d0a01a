//! What can be typed.

use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::{Args, Parser, Subcommand, ValueEnum};
use tfleet_tests::lab::cuda_of;
use tfleet_tests::lab::gpu::Machine;

/// A lab fleet on one machine: hosts with their own network, Docker Engine and imitated GPUs.
#[derive(Parser)]
#[command(name = "tfleet-lab", version)]
pub struct Arguments {
    /// Where the lab keeps its engines' data, sockets and logs.
    #[arg(long, global = true, default_value = "/var/lib/tfleet-lab")]
    pub state_dir: PathBuf,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Subcommand)]
pub enum Command {
    /// Bring up everything in the description that is not up.
    Up {
        #[arg(long)]
        config: PathBuf,
        /// Debian trees for engines of other releases are made once and kept here.
        #[arg(long, default_value = "/var/cache/tfleet-lab")]
        cache_dir: PathBuf,
    },
    /// End everything that the lab started.
    Down {
        /// Remove images, containers and logs as well.
        #[arg(long)]
        purge: bool,
    },
    /// What is up.
    Status {
        #[arg(long, value_enum, default_value_t = Output::Table)]
        output: Output,
    },
    /// Run the Docker command line against a host's engine (or `builder`).
    Docker {
        host: String,
        #[arg(last = true)]
        arguments: Vec<OsString>,
    },
    /// Run a command on a host: in its namespaces, with its imitated driver.
    Exec {
        host: String,
        #[arg(last = true, required = true)]
        command: Vec<OsString>,
    },
    /// Start, stop or kill the agent of some hosts. One that is killed is started again.
    Agent {
        #[arg(value_enum)]
        action: AgentAction,
        #[arg(required = true)]
        hosts: Vec<String>,
        /// The agent's program; by default the one beside this program.
        #[arg(long)]
        binary: Option<PathBuf>,
    },
    /// Start, stop or kill the engine of some hosts (or `builder`).
    Engine {
        #[arg(value_enum)]
        action: EngineAction,
        #[arg(required = true)]
        hosts: Vec<String>,
    },
    /// Change a host's imitated GPUs or driver while everything runs.
    Gpu {
        host: String,
        #[command(flatten)]
        edit: GpuEdit,
    },
    /// The agent's supervisor (the lab starts it).
    #[command(hide = true)]
    Supervise {
        #[arg(long)]
        folder: PathBuf,
        #[arg(last = true, required = true)]
        command: Vec<OsString>,
    },
}

#[derive(Clone, Copy, ValueEnum)]
pub enum Output {
    Table,
    Json,
}

#[derive(Clone, Copy, ValueEnum)]
pub enum AgentAction {
    Start,
    Stop,
    Kill,
}

#[derive(Clone, Copy, ValueEnum)]
pub enum EngineAction {
    Start,
    Stop,
    Kill,
}

#[derive(Args)]
#[group(required = true, multiple = true)]
pub struct GpuEdit {
    /// A value, such as `driver_version=535.183.01` or `gpu.0.temperature_c=88`; an empty one removes it.
    #[arg(long, value_name = "KEY=VALUE", required = true)]
    set: Vec<String>,
}

impl GpuEdit {
    /// The machine with the values set. A new driver version sets the CUDA version that came with it, unless that is
    /// set too.
    pub fn apply(&self, machine: &Machine) -> Result<Machine> {
        let mut table = toml::Table::try_from(machine)?;
        let mut cuda_is_set = false;
        for assignment in &self.set {
            let (key, value) = assignment
                .split_once('=')
                .with_context(|| format!("`{assignment}` is not of the form KEY=VALUE"))?;
            set(&mut table, key, value)?;
            cuda_is_set |= key == "cuda_version";
        }
        let mut changed: Machine = table.try_into()?;
        if changed.driver_version != machine.driver_version && !cuda_is_set {
            changed.cuda_version = changed.driver_version.as_deref().map(cuda_of).transpose()?;
        }
        Ok(changed)
    }
}

fn set(table: &mut toml::Table, key: &str, value: &str) -> Result<()> {
    let (table, key) = match key.strip_prefix("gpu.") {
        None => (table, key),
        Some(rest) => {
            let (index, key) = rest
                .split_once('.')
                .with_context(|| format!("`gpu.{rest}` is not of the form gpu.INDEX.KEY"))?;
            let gpu = index
                .parse::<usize>()
                .ok()
                .and_then(|index| table.get_mut("gpu")?.get_mut(index)?.as_table_mut())
                .with_context(|| format!("this host has no GPU {index}"))?;
            (gpu, key)
        }
    };
    if value.is_empty() {
        table.remove(key);
        return Ok(());
    }
    // Versions look like numbers to TOML; which keys are text is what the old value, or the name, says.
    let is_text = table.get(key).is_some_and(toml::Value::is_str) || key.ends_with("_version");
    let parsed = toml::from_str::<toml::Table>(&format!("value = {value}"));
    let parsed = parsed.ok().and_then(|mut table| table.remove("value"));
    let value = match parsed {
        Some(parsed) if !is_text => parsed,
        _ => toml::Value::String(value.to_owned()),
    };
    table.insert(key.to_owned(), value);
    Ok(())
}

#[cfg(test)]
mod tests {
    use tfleet_tests::lab::machine;

    use super::*;

    fn edited(assignments: &[&str]) -> Result<Machine> {
        let set = assignments.iter().map(|text| (*text).to_owned()).collect();
        let machine = machine("a", "470.256.02", &["Tesla T4".to_owned()])?;
        GpuEdit { set }.apply(&machine)
    }

    #[test]
    fn values_keep_their_type() {
        let machine = edited(&["gpu.0.temperature_c=88", "gpu.0.lost=true"]).unwrap();
        assert_eq!(machine.gpus[0].temperature_c, Some(88));
        assert!(machine.gpus[0].lost);
        let machine = edited(&["gpu.0.process=[{ pid = 7, memory_mib = 900 }]"]).unwrap();
        assert_eq!(machine.gpus[0].processes[0].pid, 7);
    }

    #[test]
    fn a_new_driver_brings_its_cuda_and_an_empty_one_takes_it_away() {
        let cuda = |assignments: &[&str]| {
            edited(assignments)
                .unwrap()
                .cuda_version
                .map(|v| v.to_string())
        };
        assert_eq!(
            cuda(&["driver_version=535.183.01"]).as_deref(),
            Some("12.2")
        );
        let both = ["driver_version=535.183.01", "cuda_version=12.1"];
        assert_eq!(cuda(&both).as_deref(), Some("12.1"));
        assert_eq!(cuda(&["driver_version="]), None);
    }

    #[test]
    fn what_does_not_exist_cannot_be_set() {
        for wrong in [
            "temperature_c",
            "colour=red",
            "gpu.1.lost=true",
            "gpu.0.colour=red",
        ] {
            assert!(edited(&[wrong]).is_err(), "{wrong}");
        }
    }
}
