//! tfleet's delivery against every other way to move an image, side by side in one run.

mod arguments;
mod cold_start;
mod crowd;
mod image;
mod link;
mod measure;
mod patch;
mod report;
mod rounds;
mod row;
mod stage;
mod stream;
mod synthetic;
mod table;
mod way;

use anyhow::Result;

pub use arguments::Arguments;
use arguments::Only;

use crate::simulation::simulated;
use crate::speak::{say, tell};
use image::Image;
use report::Report;
use row::Row;
use stage::Stage;

pub fn run(arguments: &Arguments) -> Result<()> {
    let image = Image::asked(arguments);
    let mut rows = Vec::new();
    if arguments.measures(Only::OneHost) {
        rows.extend(one_host(arguments, &image)?);
    }
    if arguments.measures(Only::Patch) {
        rows.extend(patch::measured(arguments)?);
    }
    if arguments.measures(Only::Stream) {
        rows.extend(stream::measured(arguments)?);
    }
    if arguments.measures(Only::ColdStart) {
        rows.extend(cold_start::measured(arguments)?);
    }
    if arguments.measures(Only::EightHosts) {
        rows.extend(crowd::measured(arguments)?);
    }
    if arguments.measures(Only::Simulated) {
        rows.extend(row::simulated(&simulated(match arguments.small {
            true => 1_000,
            false => 10_000,
        })));
    }
    let report = Report {
        machine: crate::report::machine()?,
        image: image.to_string(),
        rounds: arguments.rounds,
        rows,
    };
    report.write(&arguments.report)?;
    say(&format!("\n{}", table::of(&report)));
    say(&format!("written to {}", arguments.report.display()));
    Ok(())
}

fn one_host(arguments: &Arguments, image: &Image) -> Result<Vec<Row>> {
    tell(&format!(
        "Image: {image}\nNeeded: root, about {} GB below /var/tmp, {}. If this is interrupted, its engines stay up until \
         the next run takes them down.\n",
        image.disk_gb(),
        image.patience(),
    ));
    let stage = Stage::raise()?;
    let measured = || -> Result<Vec<Row>> {
        let storing = image.store(&stage)?;
        stage.fill_source()?;
        let rounds = rounds::run(&stage, arguments.rounds)?;
        Ok(row::rows(&rounds, &storing))
    };
    measured().inspect_err(|_| {
        tell(&format!(
            "What the programs said last:\n{}\n",
            stage.last_words()
        ));
    })
}
