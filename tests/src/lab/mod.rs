//! A lab: several hosts on one machine, each with its own network namespace, Docker Engine, imitated GPUs and agent.
//!
//! Everything above the GPU is real: engines, images, containers, and whatever an agent does. The lab is described by a
//! [`Description`]; [`Lab::up`] brings up what is not up, [`Lab::down`] ends exactly what was started, including what
//! a killed run left behind. A test uses a [`TestLab`], which takes a number of its own and goes away when dropped.

mod agent;
mod builder;
mod cell;
mod command;
mod daemon;
mod debian;
mod description;
mod driver;
mod engine;
mod error;
mod host;
mod id;
mod model;
mod network;
mod nvml_library;
mod programs;
mod test_lab;

use std::collections::BTreeSet;
use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::thread;

pub use agent::{Agent, supervise};
pub use command::run;
pub use daemon::Daemon;
pub use description::{Description, GpuAccess, HostDescription};
pub use driver::Driver;
pub use engine::{Engine, EngineKind};
pub use error::LabError;
pub use host::Host;
pub use id::LabId;
pub use model::{cuda_of, machine};
pub use network::HostNetwork;
pub use nvml_library::{SymbolSet, hide_symbols};
pub use programs::Programs;
pub use test_lab::{TestLab, TestLabBuilder, coordinator_daemon, coordinator_folder};
pub use tfleet_fake_gpu as gpu;

use builder::Builder;
use error::at;
use host::Ground;

#[derive(Debug)]
pub struct Lab {
    id: LabId,
    state: PathBuf,
    cache: PathBuf,
    /// Debian releases that engines come from.
    releases: BTreeSet<&'static str>,
    policy: Option<PathBuf>,
    hosts: Vec<Host>,
    builder: Option<Builder>,
}

/// Where a lab keeps its things and where its programs are.
#[derive(Clone, Debug)]
pub struct Site {
    pub id: LabId,
    /// Sockets lie in it, and their paths may have 107 characters: keep it short.
    pub state: PathBuf,
    /// Debian trees, shared by all labs of a machine.
    pub cache: PathBuf,
    pub programs: Programs,
}

const LONGEST_STATE_PATH: usize = 50;

impl Lab {
    /// A lab by its description. Nothing is started yet.
    pub fn new(description: &Description, site: &Site) -> Result<Self, LabError> {
        description.check()?;
        check_machine(description, &site.state)?;
        let tree_of = |engine: EngineKind| Some(debian::tree(&site.cache, engine.release()?));
        let hosts = description.hosts.iter().zip(0..);
        let hosts = hosts.map(|(host, index)| {
            let ground = Ground {
                lab: site.id,
                index,
                state: &site.state,
                programs: &site.programs,
                tree: tree_of(host.engine),
            };
            Host::new(host.clone(), &ground)
        });
        Ok(Self {
            id: site.id,
            state: site.state.clone(),
            policy: description.policy.clone(),
            cache: site.cache.clone(),
            releases: releases(description),
            hosts: hosts.collect(),
            builder: description
                .builder
                .map(|engine| Builder::new(engine, site.id, &site.state, tree_of(engine))),
        })
    }

    pub fn id(&self) -> LabId {
        self.id
    }

    pub fn state(&self) -> &Path {
        &self.state
    }

    /// Where hosts reach a coordinator that runs on this machine.
    pub fn address(&self) -> Ipv4Addr {
        self.id.address()
    }

    pub fn hosts(&self) -> &[Host] {
        &self.hosts
    }

    pub fn host(&self, name: &str) -> Result<&Host, LabError> {
        self.hosts
            .iter()
            .find(|host| host.name() == name)
            .ok_or_else(|| LabError::UnknownHost(name.to_owned()))
    }

    /// The engine that builds images.
    pub fn builder(&self) -> Result<&Engine, LabError> {
        self.builder
            .as_ref()
            .map(Builder::engine)
            .ok_or(LabError::NoBuilder)
    }

    /// Brings up everything that is not up, all hosts at once.
    pub fn up(&self) -> Result<(), LabError> {
        for release in &self.releases {
            debian::make(&self.cache, release)?;
        }
        let namespaces = self.state.join("ns");
        fs::create_dir_all(&namespaces).map_err(at("make", &namespaces))?;
        network::raise_bridge(&self.id.bridge(), self.id.address())?;
        cell::raise_pin_folder(&namespaces)?;
        let policy = self.policy.as_deref();
        self.all_at_once(|host| host.raise(policy), Builder::raise)
    }

    /// Ends everything that was started. Images, containers and logs stay in the state folder.
    pub fn down(&self) -> Result<(), LabError> {
        self.all_at_once(Host::lower, Builder::lower)?;
        cell::remove_pin_folder(&self.state.join("ns"))?;
        network::remove_link(&self.id.bridge())
    }

    /// [`Self::down`], and nothing stays.
    pub fn purge(&self) -> Result<(), LabError> {
        self.down()?;
        match fs::remove_dir_all(&self.state) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                Err(at("remove", &self.state)(source))
            }
            _ => Ok(()),
        }
    }

    /// Does something with every host and the builder; all are tried, the first error is answered.
    fn all_at_once(
        &self,
        host_work: impl Fn(&Host) -> Result<(), LabError> + Sync,
        builder_work: impl Fn(&Builder) -> Result<(), LabError> + Sync,
    ) -> Result<(), LabError> {
        thread::scope(|scope| {
            let (host_work, builder_work) = (&host_work, &builder_work);
            let mut threads: Vec<_> = self
                .hosts
                .iter()
                .map(|host| scope.spawn(move || host_work(host)))
                .collect();
            if let Some(builder) = &self.builder {
                threads.push(scope.spawn(move || builder_work(builder)));
            }
            let mut first = Ok(());
            for thread in threads {
                let done = match thread.join() {
                    Ok(done) => done,
                    Err(panic) => std::panic::resume_unwind(panic),
                };
                first = first.and(done);
            }
            first
        })
    }
}

/// Says what is missing before anything is started.
fn check_machine(description: &Description, state: &Path) -> Result<(), LabError> {
    if !rustix::process::geteuid().is_root() {
        return Err(LabError::NotRoot);
    }
    let shown = state.display().to_string();
    if !state.is_absolute()
        || shown.len() > LONGEST_STATE_PATH
        || shown.contains(char::is_whitespace)
    {
        return Err(LabError::BadDescription(format!(
            "the state folder {shown} must be an absolute path of at most {LONGEST_STATE_PATH} characters without spaces"
        )));
    }
    let foreign = !releases(description).is_empty();
    let programs = [
        ("dockerd", "docker.io", true),
        ("containerd", "containerd", true),
        ("docker", "docker-cli (before Debian 13: docker.io)", true),
        ("iptables", "iptables", true),
        ("ip", "iproute2", true),
        ("nsenter", "util-linux", true),
        ("mmdebstrap", "mmdebstrap", foreign),
    ];
    for (program, package, needed) in programs {
        if needed && !on_path(program) {
            return Err(LabError::MissingProgram { program, package });
        }
    }
    Ok(())
}

fn releases(description: &Description) -> BTreeSet<&'static str> {
    let hosts = description.hosts.iter().map(|host| host.engine);
    hosts
        .chain(description.builder)
        .filter_map(EngineKind::release)
        .collect()
}

fn on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}
