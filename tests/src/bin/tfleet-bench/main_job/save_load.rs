//! One `docker save | docker load`, through a pipe on this machine: no network, no encryption, no disk in between.

use std::process::{Child, Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use crate::main_job::image::Revision;
use crate::main_job::measure::Watch;
use crate::main_job::rounds::Sample;
use crate::main_job::stage::Stage;

/// `wire_bytes` is left to who knows the archive's size: counting in the pipe would slow it down.
pub fn deliver(stage: &Stage, revision: Revision, archive_bytes: u64) -> Result<Sample> {
    let began = Instant::now();
    let mut save = start(
        stage
            .source()?
            .docker()
            .args(["save", revision.kept_tag()])
            .stdout(Stdio::piped()),
    )?;
    let pipe = save.stdout.take().context("docker save has no output")?;
    let mut load = start(
        stage
            .peer()?
            .docker()
            .arg("load")
            .stdin(pipe)
            .stdout(Stdio::null()),
    )?;
    let sender = watch(&save)?;
    let receiver = watch(&load)?;
    let loaded = load.wait()?;
    let wall = began.elapsed();
    let saved = save.wait()?;
    ensure!(
        saved.success() && loaded.success(),
        "docker save ended with {saved}, docker load with {loaded}"
    );
    Ok(Sample {
        wall,
        wire_bytes: archive_bytes,
        sender: sender.end()?,
        receiver: receiver.end()?,
    })
}

fn start(command: &mut Command) -> Result<Child> {
    command.spawn().context("cannot start docker")
}

fn watch(child: &Child) -> Result<Watch> {
    Watch::start(i32::try_from(child.id())?, None)
}
