//! A fleet with a host for each row, and one row's way through it.

use std::fs;
use std::time::Instant;

use anyhow::{Context, Result};
use tfleet_tests::harness::TestFleet;
use tfleet_tests::lab::{Engine, run};

use super::measured::{Answer, Measured, SCRIPT};
use super::row::Row;
use crate::speak::tell;

pub struct Stage {
    fleet: TestFleet,
}

const CONTAINER: &str = "tf";

impl Stage {
    pub fn raise(rows: &[&Row]) -> Result<Self> {
        tell(&format!(
            "Starting {} engines and a coordinator",
            rows.len() + 1
        ));
        let hosts = rows.iter().map(|row| row.host());
        let fleet = TestFleet::under_policy("exec = true\n", hosts)?;
        Ok(Self { fleet })
    }

    pub fn builder(&self) -> Result<&Engine> {
        Ok(self.fleet.builder()?)
    }

    /// What the row leaves on engines is removed afterwards, however it ended: the next one needs the disk.
    pub fn run(&self, row: &Row) -> Result<Measured> {
        let measured = self.measure(row);
        let cleared = self.clear(row);
        let measured = measured?;
        cleared.context("what the row left could not be removed")?;
        Ok(measured)
    }

    fn measure(&self, row: &Row) -> Result<Measured> {
        let (name, operator) = (row.name, self.fleet.operator());
        let create = ["release", "create", name, "--tensorflow", row.tensorflow];
        operator.in_view([&create[..], &["--host", name]].concat())?;

        let began = Instant::now();
        let builds = operator.in_view(["build", name, "--output", "json"])?;
        let build = began.elapsed();
        let built = builds.json()?[0].take();
        let bytes = |field: &str| {
            let bytes = built[field].as_u64();
            bytes.with_context(|| format!("a build without {field}: {built}"))
        };

        let began = Instant::now();
        operator.in_view(["rollout", "start", name, "--host", name])?;
        let deliver = began.elapsed();

        let run = ["run", name, "--name", CONTAINER, "--host", name, "--detach"];
        operator.in_view(run)?;
        let ask = [
            "exec",
            CONTAINER,
            "--host",
            name,
            "--env",
            "TF_CPP_MIN_LOG_LEVEL=3",
        ];
        let said = self
            .fleet
            .ok([&ask[..], &["--", "python", "-c", SCRIPT]].concat())?;
        Ok(Measured {
            variant: built["variant"].as_str().context("a variant")?.to_owned(),
            build,
            deliver,
            content_bytes: bytes("content_bytes")?,
            stored_bytes: bytes("stored_bytes")?,
            answer: Answer::read(said.stdout.trim(), row)?,
        })
    }

    /// The agent goes first: it would bring the image back.
    fn clear(&self, row: &Row) -> Result<()> {
        let host = self.fleet.host(row.name)?;
        host.agent().stop()?;
        fs::remove_dir_all(host.agent().data_folder())?;
        let left = run(host.engine().docker().args(["ps", "--all", "--quiet"]))?;
        for container in left.lines() {
            run(host.engine().docker().args(["rm", "--force", container]))?;
        }
        for engine in [host.engine(), self.builder()?] {
            run(engine
                .docker()
                .args(["system", "prune", "--all", "--force"]))?;
        }
        Ok(())
    }

    /// The ends of the coordinator's and the agent's logs, which go away with the stage.
    pub fn last_words(&self, row: &Row) -> String {
        crate::report::last_words(&self.fleet, row.name)
    }
}
