//! `docker load` of an archive that lies on the host's own disk.

use std::fs::File;
use std::process::Stdio;
use std::time::Instant;

use anyhow::{Context, Result};

use super::{Delivered, end, start};
use crate::delivery::image::Revision;
use crate::delivery::stage::Stage;

pub fn deliver(stage: &Stage, revision: Revision) -> Result<Delivered> {
    let path = stage.archive(revision);
    let archive = File::open(&path).with_context(|| format!("cannot open {}", path.display()))?;
    let began = Instant::now();
    let load = start(
        stage
            .peer()?
            .docker()
            .arg("load")
            .stdin(archive)
            .stdout(Stdio::null()),
    )?;
    end("docker load", load)?;
    Ok(Delivered {
        wall: began.elapsed(),
        moved_bytes: stage.archive_bytes(revision)?,
        own: None,
    })
}
