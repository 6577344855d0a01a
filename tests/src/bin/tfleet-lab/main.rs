//! `tfleet-lab`: several hosts on one machine, with imitated GPUs, to try tfleet or to test it.

mod arguments;
mod claim;
mod record;
mod status;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Parser;
use tfleet_tests::lab::{Description, Engine, Lab, Programs, supervise};

use arguments::{AgentAction, Arguments, Command, EngineAction};
use claim::Claim;
use record::Record;

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(code) => code,
        Err(error) => {
            tell(&format!("tfleet-lab: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> Result<ExitCode> {
    let state = &arguments.state_dir;
    match arguments.command {
        Command::Up { config, cache_dir } => up(state, &config, &cache_dir)?,
        Command::Down { purge } => {
            let Some(lab) = kept(state)? else {
                tell("tfleet-lab: there is no lab here");
                return Ok(ExitCode::SUCCESS);
            };
            let claim = Claim::take(state)?;
            if purge { lab.purge() } else { lab.down() }.context("the lab is not fully down")?;
            claim.give_up()?;
        }
        Command::Status { output } => status::print(&standing(state)?, output)?,
        Command::Docker { host, arguments } => {
            let lab = standing(state)?;
            return pass_on(engine(&lab, &host)?.docker().args(arguments));
        }
        Command::Exec { host, command } => {
            let lab = standing(state)?;
            let Some((program, arguments)) = command.split_first() else {
                bail!("nothing to run");
            };
            return pass_on(lab.host(&host)?.command(program).args(arguments));
        }
        Command::Agent {
            action,
            hosts,
            binary,
        } => {
            let lab = standing(state)?;
            for name in &hosts {
                let host = lab.host(name)?;
                match action {
                    AgentAction::Start => host.start_agent(&agent_program(binary.as_deref())?)?,
                    AgentAction::Stop => host.agent().stop()?,
                    AgentAction::Kill => host.agent().kill()?,
                }
            }
        }
        Command::Engine { action, hosts } => {
            let lab = standing(state)?;
            for name in &hosts {
                let engine = engine(&lab, name)?;
                match action {
                    EngineAction::Start => engine.start()?,
                    EngineAction::Stop => engine.stop()?,
                    EngineAction::Kill => engine.kill_dockerd()?,
                }
            }
        }
        Command::Gpu { host, edit } => {
            let lab = standing(state)?;
            let host = lab.host(&host)?;
            let machine = edit.apply(&host.driver().machine()?)?;
            // A new driver brings a new library; anything else leaves it as it is.
            if machine.driver_version == host.driver().machine()?.driver_version {
                host.driver().change(&machine)?;
            } else {
                host.driver().install(&machine)?;
            }
        }
        Command::Supervise { folder, command } => supervise(&folder, &command)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn up(state: &Path, config: &Path, cache: &Path) -> Result<()> {
    let mut description = Description::read(config)?;
    if let Some(policy) = &mut description.policy {
        *policy = fs::canonicalize(&*policy).with_context(|| {
            format!("the lab's policy file {} cannot be found", policy.display())
        })?;
    }
    if let Some(standing) = Record::read(state)?
        && !standing.description.has_the_machines_of(&description)
    {
        bail!("a lab of other hosts is here: take it down first (tfleet-lab down --purge)");
    }
    let _claim = Claim::take(state)?;
    tell("tfleet-lab: the GPUs of this lab are imitated; engines, images and containers are real");
    let record = Record {
        description,
        cache: std::path::absolute(cache).context("cannot find the cache folder")?,
    };
    // Kept before anything is started, so that `down` knows what to end.
    record.write(state)?;
    let lab = record.lab(state)?;
    lab.up().context("the lab did not come up")?;
    for host in lab.hosts() {
        let driver = match &host.description().driver {
            Some(driver) => format!(
                "{} on driver {driver} (imitated)",
                host.description().gpus.join(", ")
            ),
            None => "no GPU".to_owned(),
        };
        tell(&format!(
            "  {:<12} {:<14} Docker {:<22} {driver}",
            host.name(),
            host.address(),
            host.engine().version()?,
        ));
    }
    if let Ok(builder) = lab.builder() {
        tell(&format!("  builder engine: {}", builder.endpoint()));
    }
    tell(&format!(
        "  the coordinator's address for these hosts: {}",
        lab.address()
    ));
    Ok(())
}

/// The lab whose record is in the state folder.
fn kept(state: &Path) -> Result<Option<Lab>> {
    Record::read(state)?
        .map(|record| record.lab(state))
        .transpose()
}

fn standing(state: &Path) -> Result<Lab> {
    kept(state)?.with_context(|| {
        format!(
            "there is no lab in {}: bring one up with tfleet-lab up --config FILE",
            state.display()
        )
    })
}

fn agent_program(given: Option<&Path>) -> Result<PathBuf> {
    match given {
        Some(program) => Ok(std::path::absolute(program)?),
        None => Ok(Programs::beside_this_program()?.agent()?),
    }
}

/// A host's engine, or the one that builds. (No host is named `builder`: see the description.)
fn engine<'a>(lab: &'a Lab, name: &str) -> Result<&'a Engine> {
    Ok(match name {
        "builder" => lab.builder()?,
        host => lab.host(host)?.engine(),
    })
}

/// Runs a command in this terminal and ends as it ended.
fn pass_on(command: &mut std::process::Command) -> Result<ExitCode> {
    let status = command.status().context("cannot start the command")?;
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}

#[expect(clippy::print_stderr, reason = "a command speaks to its user")]
fn tell(line: &str) {
    eprintln!("{line}");
}
