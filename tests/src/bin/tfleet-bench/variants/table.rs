//! The result as a person reads it.

use std::fmt::Write as _;

use anyhow::Result;
use bytesize::ByteSize;
use comfy_table::{Cell, CellAlignment, Table, presets};

use super::measured::Measured;
use super::row::Row;

const NOTES: &str = "\
The GPUs are imitated: what is shown is that the image is built, passes its check (every library that TensorFlow opens),
is delivered, starts, imports and calculates on the CPU. build: with the downloads that no earlier row needed.
";

pub fn of(results: &[(&Row, Result<Measured>)]) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).force_no_tty();
    table.set_header([
        "row",
        "host",
        "TensorFlow",
        "Python",
        "built for",
        "CUDA",
        "build",
        "deliver",
        "import",
        "image",
        "sent",
    ]);
    let mut failed = String::new();
    for (row, result) in results {
        match result {
            Ok(measured) => {
                table.add_row(cells(row, measured));
            }
            Err(error) => {
                // Writing to a string cannot fail.
                let _ = writeln!(failed, "\n{}: FAILED: {error:#}", row.name);
            }
        }
    }
    for column in table.column_iter_mut().skip(6) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    format!("{table}\n{failed}\n{NOTES}")
}

fn cells(row: &Row, measured: &Measured) -> Vec<Cell> {
    let or_dash = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
    let size = |bytes: u64| ByteSize::b(bytes).display().iec().to_string();
    let Measured { answer, .. } = measured;
    [
        row.name.to_owned(),
        row.to_string(),
        answer.tensorflow.clone(),
        answer.python.clone(),
        or_dash(&answer.built_for),
        or_dash(&answer.cuda),
        format!("{:.0} s", measured.build.as_secs_f64()),
        format!("{:.0} s", measured.deliver.as_secs_f64()),
        format!("{:.1} s", answer.import_seconds),
        size(measured.content_bytes),
        size(measured.stored_bytes),
    ]
    .map(Cell::new)
    .into()
}
