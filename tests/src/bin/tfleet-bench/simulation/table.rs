//! The result as a person reads it.

use comfy_table::{CellAlignment, Table, presets};

use super::{Goal, Report};

const NOTES: &str = "\
Times are divided by the lower bound: what the slowest necessary link needs. Slow hosts are measured against their own.
copies: images that the coordinator sent. twice: bytes that came in vain. in flight: chunks asked for at once, at most.
after: seconds that an engine, which loads 200 MB/s in order, still needs when the last chunk is there, of those for all.
";

const COLUMNS: [&str; 11] = [
    "",
    "bound",
    "last",
    "half",
    "99 %",
    "slow",
    "copies",
    "twice",
    "in flight",
    "after",
    "goal",
];

pub fn of(reports: &[Report]) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).force_no_tty();
    table.set_header(COLUMNS);
    for report in reports {
        table.add_row(cells(report));
    }
    for column in table.column_iter_mut().skip(1).take(9) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    format!("{table}\n\n{NOTES}")
}

fn cells(report: &Report) -> [String; 11] {
    let (who, most) = match report.goal {
        Goal::Last(most) => ("last", most),
        Goal::Hundredth(most) => ("99 %", most),
    };
    let met = match report.unfinished {
        0 if report.ratio() <= most => "met".to_owned(),
        0 => "NOT MET".to_owned(),
        hosts => format!("NOT MET: {hosts} never had all"),
    };
    [
        report.name.clone(),
        format!("{:.2} s", report.bound),
        format!("{:.3}", report.makespan),
        format!("{:.3}", report.median),
        format!("{:.3}", report.p99),
        match report.slow {
            0.0 => "-".to_owned(),
            slow => format!("{slow:.2}"),
        },
        format!("{:.2}", report.copies),
        format!("{:.2} %", report.duplicates * 100.0),
        report.peak.to_string(),
        format!("{:.1} of {:.1} s", report.engine_tail, report.engine_alone),
        format!("{who} <= {most}: {met}"),
    ]
}
