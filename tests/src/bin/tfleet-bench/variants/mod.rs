//! The recipes with their real wheels: for each row a host, what it is given to run, and TensorFlow's own answer there.
//!
//! The tests build with stub wheels, since the real ones weigh gigabytes. This is the proof that the real ones resolve,
//! install, load and import.

mod arguments;
mod measured;
mod row;
mod stage;
mod table;

use anyhow::{Result, ensure};
use serde_json::{Value, json};

pub use arguments::Arguments;

use crate::report;
use crate::speak::{say, tell};
use measured::Measured;
use row::{ROWS, Row};
use stage::Stage;

/// Fails if a row does: what was built is not what was asked for, or does not run.
pub fn run(arguments: &Arguments) -> Result<()> {
    let rows: Vec<&Row> = ROWS
        .iter()
        .filter(|row| arguments.only.is_empty() || arguments.only.iter().any(|it| it == row.name))
        .collect();
    tell(&format!(
        "Needed: root, a package index, about 45 GB below /var/tmp, and 3 minutes for each of {} rows. If this is \
         interrupted, its engines stay up until the next run takes them down.\n",
        rows.len()
    ));
    let stage = Stage::raise(&rows)?;
    let mut results = Vec::new();
    for row in rows {
        tell(&format!(
            "\n{}: tensorflow {} on {row}",
            row.name, row.tensorflow
        ));
        let result = stage.run(row);
        match &result {
            Ok(measured) => tell(&format!("{}: {measured}", row.name)),
            Err(error) => tell(&format!(
                "{}: FAILED: {error:#}\n{}",
                row.name,
                stage.last_words(row)
            )),
        }
        results.push((row, result));
    }
    let machine = report::machine()?;
    let rows: Vec<Value> = results
        .iter()
        .map(|(row, result)| json_of(row, result))
        .collect();
    report::write(
        &arguments.report,
        &json!({ "machine": machine, "rows": rows }),
    )?;
    say(&format!("\n{machine}\n\n{}", table::of(&results)));
    say(&format!("written to {}", arguments.report.display()));
    let failed: Vec<&str> = results
        .iter()
        .filter(|(_, result)| result.is_err())
        .map(|(row, _)| row.name)
        .collect();
    ensure!(
        failed.is_empty(),
        "these rows failed: {}",
        failed.join(", ")
    );
    Ok(())
}

fn json_of(row: &Row, result: &Result<Measured>) -> Value {
    let mut value = json!({
        "row": row.name,
        "driver": row.driver,
        "gpu": row.gpu,
        "asked": row.tensorflow,
        "met": result.is_ok(),
    });
    match result {
        Ok(measured) => value["measured"] = measured.json(),
        Err(error) => value["error"] = format!("{error:#}").into(),
    }
    value
}
