//! The result as a person reads it.

use std::fmt::Write;

use comfy_table::{Cell, CellAlignment, Table, presets};

use super::report::Report;
use super::row::Row;

const NOTES: &str = "\
Times and bytes are medians, peaks the highest of all rounds. The ratio reads as its goal does: times and pulls as the
other's value divided by tfleet's, shares the other way round.
tfleet: from `tfleet rollout start` to its answer that the image is present, over mutual TLS. Its bytes are all that the
  host's network interface saw. The image was read out of an engine before, once for all hosts, when it was stored.
docker save | docker load: a pipe on this machine, without network or encryption; it reads the image out of its engine
  each time, as the others do. skopeo copy: from socket to socket.
registry push + pull: Debian's docker-registry over HTTPS, one after the other; its bytes are those of the pull.
docker load of a local file: the engine's own floor.
Written to disk: by the whole machine meanwhile, until nothing was left to write.
";

pub fn of(report: &Report) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).force_no_tty();
    table.set_header(["", "tfleet", "other", "", "ratio", "goal", ""]);
    let mut part = None;
    for row in &report.rows {
        if part != Some(row.part) {
            part = Some(row.part);
            table.add_row([row.part.title()]);
        }
        table.add_row(cells(row));
    }
    for column in [1, 2, 4] {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let mut text = format!(
        "{}\n{}\nrounds: {}\n\n{table}\n\n",
        report.machine, report.image, report.rounds
    );
    let missed: Vec<String> = report
        .rows
        .iter()
        .filter(|row| row.met() == Some(false))
        .map(Row::name)
        .collect();
    // Writing to a string cannot fail.
    let _ = match missed.as_slice() {
        [] => writeln!(text, "All goals are met.\n"),
        missed => writeln!(text, "Goals not met:\n  {}\n", missed.join("\n  ")),
    };
    text + NOTES
}

fn cells(row: &Row) -> Vec<Cell> {
    let or_dash = |text: Option<String>| Cell::new(text.unwrap_or_else(|| "-".to_owned()));
    let against = row.against.map(|against| row.unit.show(against.value));
    vec![
        Cell::new(format!("  {}", row.what)),
        Cell::new(row.unit.show(row.ours)),
        or_dash(against),
        Cell::new(row.against.map_or("", |against| against.name)),
        or_dash(row.ratio().map(|ratio| format!("{ratio:.2}"))),
        Cell::new(row.goal.map(|goal| goal.show()).unwrap_or_default()),
        Cell::new(match row.met() {
            Some(true) => "met",
            Some(false) => "NOT MET",
            None => "",
        }),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::row::{Against, Goal, Part, Unit};
    use super::*;

    #[test]
    fn a_goal_that_is_not_met_is_named_and_nothing_has_a_dash() {
        let row = |what: &str, against, goal| Row {
            part: Part::First,
            what: what.to_owned(),
            unit: Unit::Seconds,
            ours: 20.0,
            against,
            goal,
        };
        let other = Against {
            name: "a way",
            value: 10.0,
        };
        let rows = vec![
            row("wall time", Some(other), Some(Goal::Times(1.0))),
            row("rest", None, None),
        ];
        let text = of(&Report {
            machine: "a machine".to_owned(),
            image: "an image".to_owned(),
            rounds: 1,
            rows,
        });
        let missed =
            "Goals not met:\n  one host, first delivery: wall time, seconds, against a way\n";
        assert!(text.contains(missed), "{text}");
        let line = text
            .lines()
            .find(|line| line.contains("wall time "))
            .unwrap();
        assert!(
            line.contains("0.50") && line.trim_end().ends_with("NOT MET"),
            "{line}"
        );
        let line = text.lines().find(|line| line.contains("  rest ")).unwrap();
        assert_eq!(line.matches('-').count(), 2, "{line}");
    }
}
