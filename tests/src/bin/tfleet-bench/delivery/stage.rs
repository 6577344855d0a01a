//! The fleet that is measured: a builder, and three equal hosts with engines of this machine's release.
//!
//! `source` holds what the other ways read, `peer` is where they bring it, `ours` is where tfleet does. The images came
//! to `source` through tfleet, so all three have the same layers.

use std::fs::{self, File};
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use tfleet_tests::harness::{Answer, TestFleet};
use tfleet_tests::lab::{Engine, EngineKind, Host, HostDescription, HostNetwork, TestLab, run};

use super::image::Revision;
use super::way::{Registry, Way};
use crate::speak::tell;

pub struct Stage {
    // Dropped before the network that it listens in.
    registry: Registry,
    fleet: TestFleet,
}

const SOURCE: &str = "source";
const OURS: &str = "ours";
const PEER: &str = "peer";

impl Stage {
    pub fn raise() -> Result<Self> {
        tell("Starting four engines, a coordinator and a registry");
        let lab = TestLab::builder()
            .builder_engine(EngineKind::System)
            .host(HostDescription::new(SOURCE))
            .host(HostDescription::new(OURS))
            .host(HostDescription::new(PEER))
            .up()?;
        let registry = Registry::start(&lab.state().join("registry"), lab.address())?;
        let fleet = TestFleet::without_agents(lab)?;
        fleet.enrol(SOURCE)?;
        fleet.enrol(OURS)?;
        fleet.ok(["hosts", "wait", SOURCE, OURS])?;
        Ok(Self { registry, fleet })
    }

    pub fn fleet(&self) -> &TestFleet {
        &self.fleet
    }

    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Where everything of this run is kept.
    pub fn folder(&self) -> PathBuf {
        self.fleet.state().to_owned()
    }

    pub fn builder(&self) -> Result<&Engine> {
        Ok(self.fleet.builder()?)
    }

    pub fn source(&self) -> Result<&Engine> {
        Ok(self.fleet.host(SOURCE)?.engine())
    }

    pub fn ours(&self) -> Result<&Host> {
        Ok(self.fleet.host(OURS)?)
    }

    pub fn peer(&self) -> Result<&Engine> {
        Ok(self.fleet.host(PEER)?.engine())
    }

    pub fn peer_network(&self) -> Result<&HostNetwork> {
        Ok(self.fleet.host(PEER)?.network())
    }

    /// Makes a release's image present on `ours`; returns when the operator is told that it is.
    pub fn deliver(&self, revision: Revision) -> Result<Answer> {
        self.fleet
            .ok(["rollout", "start", &revision.release(), "--host", OURS])
    }

    /// Brings both images to `source`, under names that are not tfleet's to take away, and from there into archives.
    pub fn fill_source(&self) -> Result<()> {
        for revision in Revision::ALL {
            tell(&format!(
                "Bringing {} to the engine that the other ways read from",
                revision.release()
            ));
            let start = ["rollout", "start", &revision.release(), "--host", SOURCE];
            self.fleet.operator().in_view(start)?;
            let source = self.source()?;
            run(source
                .docker()
                .args(["tag", &revision.our_tag(), revision.kept_tag()]))?;
            let path = self.archive(revision);
            let archive =
                File::create(&path).with_context(|| format!("cannot make {}", path.display()))?;
            let mut save = source.docker();
            let status = save
                .args(["save", revision.kept_tag()])
                .stdout(archive)
                .status()?;
            ensure!(status.success(), "docker save ended with {status}");
        }
        Ok(self.fleet.host(SOURCE)?.agent().stop()?)
    }

    /// What `docker save` wrote.
    pub fn archive(&self, revision: Revision) -> PathBuf {
        self.folder().join(format!("{}.tar", revision.file_name()))
    }

    /// Its size. It has no compression.
    pub fn archive_bytes(&self, revision: Revision) -> Result<u64> {
        let path = self.archive(revision);
        let metadata =
            fs::metadata(&path).with_context(|| format!("cannot read {}", path.display()))?;
        Ok(metadata.len())
    }

    /// `ours` becomes a new host with an empty engine.
    pub fn renew_ours(&self) -> Result<()> {
        let ours = self.ours()?;
        ours.agent().stop()?;
        self.fleet.ok(["hosts", "rm", OURS])?;
        let data = ours.agent().data_folder();
        fs::remove_dir_all(&data).with_context(|| format!("cannot remove {}", data.display()))?;
        empty(ours.engine())?;
        self.fleet.enrol(OURS)?;
        self.fleet.ok(["hosts", "wait", OURS])?;
        Ok(())
    }

    pub fn empty_peer(&self) -> Result<()> {
        empty(self.peer()?)
    }

    /// Fails unless the way brought the layers that `source` has.
    pub fn check(&self, way: Way, revision: Revision) -> Result<()> {
        let theirs = match way {
            Way::Tfleet => layers(self.ours()?.engine(), &revision.our_tag())?,
            _ => layers(self.peer()?, revision.kept_tag())?,
        };
        let wanted = layers(self.source()?, revision.kept_tag())?;
        ensure!(
            theirs == wanted,
            "{} brought other layers: {theirs} instead of {wanted}",
            way.name()
        );
        Ok(())
    }

    pub fn agent_pid(&self) -> Result<i32> {
        let pid = self.ours()?.agent().process().running();
        Ok(pid
            .context("the agent does not run")?
            .as_raw_nonzero()
            .get())
    }

    pub fn coordinator_pid(&self) -> Result<i32> {
        self.fleet
            .coordinator()
            .pid()
            .context("the coordinator does not run")
    }

    /// The ends of the coordinator's and the agent's logs, which go away with the stage.
    pub fn last_words(&self) -> String {
        crate::report::last_words(&self.fleet, OURS)
    }
}

fn empty(engine: &Engine) -> Result<()> {
    run(engine.docker().args(["image", "prune", "--all", "--force"]))?;
    let left = run(engine.docker().args(["image", "ls", "--quiet", "--all"]))?;
    ensure!(left.trim().is_empty(), "an engine keeps images: {left}");
    Ok(())
}

fn layers(engine: &Engine, tag: &str) -> Result<String> {
    let format = "{{json .RootFS.Layers}}";
    let inspect = ["image", "inspect", "--format", format, tag];
    Ok(run(engine.docker().args(inspect))?)
}
