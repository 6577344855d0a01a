//! The fleet that is measured: a builder, and three equal hosts with engines of this machine's release.
//!
//! `source` holds what `docker save` reads, `peer` is where `docker load` brings it, `ours` is where tfleet does. The
//! images came to `source` through tfleet, so all three have the same layers.

use std::fs;
use std::io;
use std::process::Stdio;

use anyhow::{Context, Result, bail, ensure};
use tfleet_tests::harness::{Answer, TestFleet};
use tfleet_tests::lab::{Engine, EngineKind, Host, HostDescription, TestLab, run};

use crate::main_job::image::Revision;
use crate::speak::tell;

pub struct Stage {
    fleet: TestFleet,
}

const SOURCE: &str = "source";
const OURS: &str = "ours";
const PEER: &str = "peer";

impl Stage {
    pub fn raise() -> Result<Self> {
        tell("Starting four engines and a coordinator");
        let lab = TestLab::builder()
            .builder_engine(EngineKind::System)
            .host(HostDescription::new(SOURCE))
            .host(HostDescription::new(OURS))
            .host(HostDescription::new(PEER))
            .up()?;
        let fleet = TestFleet::without_agents(lab)?;
        fleet.enrol(SOURCE)?;
        fleet.enrol(OURS)?;
        fleet.ok(["hosts", "wait", SOURCE, OURS])?;
        Ok(Self { fleet })
    }

    pub fn fleet(&self) -> &TestFleet {
        &self.fleet
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

    /// Makes a release's image present on `ours`; returns when the operator is told that it is.
    pub fn deliver(&self, revision: Revision) -> Result<Answer> {
        self.fleet
            .ok(["rollout", "start", &revision.release(), "--host", OURS])
    }

    /// Brings both images to `source`, under names that are not tfleet's to take away.
    pub fn fill_source(&self) -> Result<()> {
        for revision in Revision::ALL {
            tell(&format!(
                "Bringing {} to the engine that `docker save` reads from",
                revision.release()
            ));
            let start = ["rollout", "start", &revision.release(), "--host", SOURCE];
            self.fleet.operator().in_view(start)?;
            run(self
                .source()?
                .docker()
                .args(["tag", &revision.our_tag(), revision.kept_tag()]))?;
        }
        Ok(self.fleet.host(SOURCE)?.agent().stop()?)
    }

    /// What `docker save` writes. The archive has no compression, and the engine writes the same bytes each time.
    pub fn archive_bytes(&self, revision: Revision) -> Result<u64> {
        let mut save = self.source()?.docker();
        save.args(["save", revision.kept_tag()])
            .stdout(Stdio::piped());
        let mut save = save.spawn().context("cannot start docker save")?;
        let output = save.stdout.take().context("docker save has no output")?;
        let bytes = io::copy(
            &mut io::BufReader::with_capacity(1 << 20, output),
            &mut io::sink(),
        )?;
        ensure!(save.wait()?.success(), "docker save failed");
        Ok(bytes)
    }

    /// As if nothing had ever been delivered: `ours` becomes a new host, and both engines are empty.
    pub fn begin_anew(&self) -> Result<()> {
        let ours = self.ours()?;
        ours.agent().stop()?;
        self.fleet.ok(["hosts", "rm", OURS])?;
        let data = ours.agent().data_folder();
        fs::remove_dir_all(&data).with_context(|| format!("cannot remove {}", data.display()))?;
        for engine in [ours.engine(), self.peer()?] {
            run(engine.docker().args(["image", "prune", "--all", "--force"]))?;
            let left = run(engine.docker().args(["image", "ls", "--quiet", "--all"]))?;
            ensure!(left.trim().is_empty(), "an engine keeps images: {left}");
        }
        self.fleet.enrol(OURS)?;
        self.fleet.ok(["hosts", "wait", OURS])?;
        Ok(())
    }

    /// Fails unless both ways brought the same layers.
    pub fn check_same(&self, revision: Revision) -> Result<()> {
        let layers = |engine: &Engine, tag: &str| {
            run(engine.docker().args([
                "image",
                "inspect",
                "--format",
                "{{json .RootFS.Layers}}",
                tag,
            ]))
        };
        let ours = layers(self.ours()?.engine(), &revision.our_tag())?;
        let theirs = layers(self.peer()?, revision.kept_tag())?;
        if ours != theirs {
            bail!("the two ways brought different layers: tfleet {ours}, docker load {theirs}");
        }
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

    pub fn machine(&self) -> Result<String> {
        crate::report::machine(self.source()?)
    }

    /// The ends of the coordinator's and the agent's logs, which go away with the stage.
    pub fn last_words(&self) -> String {
        crate::report::last_words(&self.fleet, OURS)
    }
}
