//! `tfleet-lab`: several hosts on one machine, with imitated GPUs, to try tfleet or to test it.

mod arguments;
mod status;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Parser;
use tfleet_tests::lab::{Description, Lab, LabId, Programs, Site, supervise};

use arguments::{AgentAction, Arguments, Command, EngineAction};

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
            if purge { lab.purge() } else { lab.down() }.context("the lab is not fully down")?;
        }
        Command::Status { output } => status::print(&standing(state)?, output)?,
        Command::Docker { host, arguments } => {
            let lab = standing(state)?;
            let engine = match host.as_str() {
                "builder" => lab.builder()?,
                name => lab.host(name)?.engine(),
            };
            return pass_on(engine.docker().args(arguments));
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
            let binary = match binary {
                Some(binary) => binary,
                None => Programs::beside_this_program()?.agent()?,
            };
            for name in &hosts {
                let host = lab.host(name)?;
                match action {
                    AgentAction::Start => host.start_agent(&binary)?,
                    AgentAction::Stop => host.agent().stop()?,
                    AgentAction::Kill => host.agent().kill()?,
                }
            }
        }
        Command::Engine { action, hosts } => {
            let lab = standing(state)?;
            for name in &hosts {
                let engine = lab.host(name)?.engine();
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
    let description = Description::read(config)?;
    if let Some(lab) = kept(state)? {
        let names: Vec<_> = lab.hosts().iter().map(|host| host.name()).collect();
        let wanted: Vec<_> = description.hosts.iter().map(|host| &host.name).collect();
        if names != wanted {
            bail!(
                "another lab is here, with the hosts {}: take it down first (tfleet-lab down --purge)",
                names.join(", ")
            );
        }
    }
    tell("tfleet-lab: the GPUs of this lab are imitated; engines, images and containers are real");
    fs::create_dir_all(state).with_context(|| format!("cannot make {}", state.display()))?;
    let policy = match &description.policy {
        Some(policy) => Some(fs::canonicalize(policy).with_context(|| {
            format!("the lab's policy file {} cannot be found", policy.display())
        })?),
        None => None,
    };
    let description = Description {
        policy,
        ..description
    };
    // Kept before anything is started, so that `down` knows what to end.
    let record = serde_json::json!({ "description": description, "cache": fs::canonicalize(cache).unwrap_or(cache.to_owned()) });
    fs::write(record_file(state), format!("{record:#}\n"))
        .context("cannot keep the lab's description")?;
    let lab = Lab::new(&description, &site(state, cache)?)?;
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
    #[derive(serde::Deserialize)]
    struct Record {
        description: Description,
        cache: PathBuf,
    }
    let file = record_file(state);
    if !file.exists() {
        return Ok(None);
    }
    let text =
        fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    let record: Record =
        serde_json::from_str(&text).with_context(|| format!("{} is not valid", file.display()))?;
    Ok(Some(Lab::new(
        &record.description,
        &site(state, &record.cache)?,
    )?))
}

fn standing(state: &Path) -> Result<Lab> {
    kept(state)?.with_context(|| {
        format!(
            "there is no lab in {}: bring one up with tfleet-lab up --config FILE",
            state.display()
        )
    })
}

fn site(state: &Path, cache: &Path) -> Result<Site> {
    Ok(Site {
        id: LabId::DEFAULT,
        state: state.to_owned(),
        cache: cache.to_owned(),
        programs: Programs::beside_this_program()?,
    })
}

fn record_file(state: &Path) -> PathBuf {
    state.join("lab.json")
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
