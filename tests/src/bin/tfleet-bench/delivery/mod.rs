//! tfleet's delivery against every other way to move an image, side by side in one run.

mod arguments;
mod image;
mod measure;
mod report;
mod rounds;
mod row;
mod stage;
mod synthetic;
mod table;
mod way;

use anyhow::Result;

pub use arguments::Arguments;

use crate::simulation::simulated;
use crate::speak::{say, tell};
use image::Image;
use report::Report;
use stage::Stage;

pub fn run(arguments: &Arguments) -> Result<()> {
    let image = Image::asked(arguments);
    tell(&format!(
        "Image: {image}\nNeeded: root, about {} GB below /var/tmp, {}. If this is interrupted, its engines stay up until \
         the next run takes them down.\n",
        image.disk_gb(),
        image.patience(),
    ));
    let stage = Stage::raise()?;
    let report = measured(arguments, &image, &stage).inspect_err(|_| {
        tell(&format!(
            "What the programs said last:\n{}\n",
            stage.last_words()
        ))
    })?;
    report.write(&arguments.report)?;
    say(&format!("\n{}", table::of(&report)));
    say(&format!("written to {}", arguments.report.display()));
    Ok(())
}

fn measured(arguments: &Arguments, image: &Image, stage: &Stage) -> Result<Report> {
    let storing = image.store(stage)?;
    stage.fill_source()?;
    let rounds = rounds::run(stage, arguments.rounds)?;
    let mut rows = row::rows(&rounds, &storing);
    rows.extend(row::simulated(&simulated(match arguments.small {
        true => 1_000,
        false => 10_000,
    })));
    Ok(Report {
        machine: stage.machine()?,
        image: image.to_string(),
        rounds: arguments.rounds,
        rows,
    })
}
