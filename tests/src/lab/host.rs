//! One host: its cell, its driver, its engine and its agent.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Serialize;
use tfleet_fake_gpu::Machine;

use super::agent::Agent;
use super::cell::Cell;
use super::description::HostDescription;
use super::driver::Driver;
use super::engine::{Engine, EngineNetwork};
use super::error::{LabError, at};
use super::id::LabId;
use super::network::HostNetwork;
use super::programs::Programs;

#[derive(Clone, Debug)]
pub struct Host {
    description: HostDescription,
    lab: LabId,
    folder: PathBuf,
    network: HostNetwork,
    cell: Cell,
    driver: Driver,
    engine: Engine,
    agent: Agent,
}

/// The agent's configuration.
#[derive(Serialize)]
struct AgentConfig<'a> {
    data_dir: PathBuf,
    enrolment: String,
    fleet: String,
    engine: String,
    policy: PathBuf,
    token_file: PathBuf,
    #[serde(skip_serializing_if = "Option::is_none")]
    peers: Option<&'static str>,
    labels: &'a std::collections::BTreeMap<String, String>,
}

/// What a host is made of besides its description.
pub(super) struct Ground<'a> {
    pub lab: LabId,
    pub index: u8,
    pub state: &'a Path,
    pub programs: &'a Programs,
    pub tree: Option<PathBuf>,
}

impl Host {
    pub(super) fn new(description: HostDescription, ground: &Ground<'_>) -> Self {
        let name = &description.name;
        let folder = ground.state.join("hosts").join(name);
        let network = HostNetwork::new(ground.lab, name, ground.index);
        let cell = Cell::new(
            folder.clone(),
            ground.state.join("ns").join(name),
            Some(network.clone()),
            ground.tree.clone(),
            ground.lab.control_group(name),
        );
        let driver = Driver::new(folder.clone(), ground.programs.clone());
        let gpus = driver.support(description.ways_to_a_gpu());
        let engine = Engine::new(
            description.engine,
            folder.join("engine"),
            cell.clone(),
            EngineNetwork::Own {
                registries: ground.lab.network(),
            },
            gpus,
        );
        let agent = Agent::new(
            folder.join("agent"),
            cell.clone(),
            driver.clone(),
            ground.programs.clone(),
        );
        Self {
            lab: ground.lab,
            description,
            folder,
            network,
            cell,
            driver,
            engine,
            agent,
        }
    }

    pub fn name(&self) -> &str {
        &self.description.name
    }

    pub fn description(&self) -> &HostDescription {
        &self.description
    }

    pub fn address(&self) -> Ipv4Addr {
        self.network.address()
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    pub fn network(&self) -> &HostNetwork {
        &self.network
    }

    pub fn driver(&self) -> &Driver {
        &self.driver
    }

    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    pub fn agent(&self) -> &Agent {
        &self.agent
    }

    pub fn docker_socket(&self) -> PathBuf {
        self.engine.socket()
    }

    pub fn gpu_file(&self) -> PathBuf {
        self.driver.gpu_file()
    }

    pub fn agent_config_path(&self) -> PathBuf {
        self.agent.config()
    }

    /// The Docker command line, speaking to this host's engine.
    pub fn docker(&self) -> Command {
        self.engine.docker()
    }

    /// A program run on this host: in its namespaces, with its driver's library and tools.
    pub fn command(&self, program: impl AsRef<Path>) -> Command {
        self.agent.command(program.as_ref())
    }

    /// Starts the agent under its supervisor, unless it runs.
    pub fn start_agent(&self, binary: &Path) -> Result<(), LabError> {
        self.agent.start(binary)
    }

    /// Changes this host's GPUs or driver while everything runs.
    pub fn edit_machine(&self, edit: impl FnOnce(&mut Machine)) -> Result<(), LabError> {
        let mut machine = self.driver.machine()?;
        edit(&mut machine);
        self.driver.change(&machine)
    }

    /// Brings up what is not up: namespaces, driver, engine.
    pub(super) fn raise(&self, policy: Option<&Path>) -> Result<(), LabError> {
        self.driver.prepare()?;
        self.agent.prepare()?;
        if let Some(described) = self.description.machine()? {
            // A driver that was changed since stays changed; library and programs are those built last.
            let machine = match self.gpu_file().exists() {
                true => self.driver.machine()?,
                false => described,
            };
            self.driver.install(&machine)?;
        }
        self.write_agent_config()?;
        if let Some(policy) = policy
            && !self.agent.policy_file().exists()
        {
            fs::copy(policy, self.agent.policy_file()).map_err(at("copy", policy))?;
        }
        self.cell.raise()?;
        self.engine.start()
    }

    /// Ends everything that was started for this host. Its files stay.
    pub(super) fn lower(&self) -> Result<(), LabError> {
        self.agent.stop()?;
        self.engine.cut()?;
        self.cell.remove()
    }

    fn write_agent_config(&self) -> Result<(), LabError> {
        let coordinator = self.lab.address();
        let config = AgentConfig {
            data_dir: self.agent.data_folder(),
            enrolment: format!("{coordinator}:7443"),
            fleet: format!("{coordinator}:7444"),
            engine: self.engine.endpoint(),
            policy: self.agent.policy_file(),
            token_file: self.agent.token_file(),
            peers: self.description.peers.then_some("0.0.0.0:7445"),
            labels: &self.description.labels,
        };
        let text = toml::to_string(&config)
            .map_err(|e| LabError::BadDescription(format!("host `{}`: {e}", self.name())))?;
        let path = self.agent.config();
        fs::write(&path, text).map_err(at("write", &path))
    }
}
