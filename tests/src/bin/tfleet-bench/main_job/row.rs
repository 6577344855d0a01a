//! The rows of the result: what was measured, both ways, and whether a goal is met.

use bytesize::ByteSize;

use crate::main_job::measure::Peaks;
use crate::main_job::rounds::{Pair, Round, Sample};

#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    pub part: Part,
    pub what: &'static str,
    pub unit: Unit,
    pub ours: f64,
    /// None where the other way has nothing like it.
    pub against: Option<f64>,
    pub goal: Option<Goal>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    First,
    Rebuild,
    Storing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    Seconds,
    Bytes,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Goal {
    /// The other way's value shall be so many times ours.
    Times(f64),
    /// Ours shall be less than so many MiB.
    BelowMib(f64),
}

const MEMORY: Option<Goal> = Some(Goal::BelowMib(100.0));

/// Medians of times and bytes, highest of peaks.
pub fn rows(rounds: &[Round], storing: &Peaks) -> Vec<Row> {
    let first: Vec<Pair> = rounds.iter().map(|round| round.first).collect();
    let rebuild: Vec<Pair> = rounds.iter().map(|round| round.rebuild).collect();
    let mut rows = delivery(Part::First, &first, Goal::Times(1.0), None);
    rows.extend(delivery(
        Part::Rebuild,
        &rebuild,
        Goal::Times(3.0),
        Some(Goal::Times(10.0)),
    ));
    let alone = |what, ours: u64, goal| Row {
        part: Part::Storing,
        what,
        unit: Unit::Bytes,
        ours: ours as f64,
        against: None,
        goal,
    };
    rows.push(alone(
        "peak memory, coordinator",
        storing.memory_bytes,
        MEMORY,
    ));
    rows.push(alone("peak disk, coordinator", storing.disk_bytes, None));
    rows
}

fn delivery(part: Part, pairs: &[Pair], wall: Goal, wire: Option<Goal>) -> Vec<Row> {
    let row = |what, unit, goal, summary: fn(Vec<f64>) -> f64, value: fn(&Sample) -> f64| Row {
        part,
        what,
        unit,
        ours: summary(pairs.iter().map(|pair| value(&pair.ours)).collect()),
        against: Some(summary(
            pairs.iter().map(|pair| value(&pair.against)).collect(),
        )),
        goal,
    };
    use Unit::{Bytes, Seconds};
    vec![
        row("wall time", Seconds, Some(wall), median, |sample| {
            sample.wall.as_secs_f64()
        }),
        row("bytes on the wire", Bytes, wire, median, |sample| {
            sample.wire_bytes as f64
        }),
        row(
            "peak memory, agent / docker load",
            Bytes,
            MEMORY,
            highest,
            |sample| sample.receiver.memory_bytes as f64,
        ),
        row(
            "peak memory, coordinator / docker save",
            Bytes,
            MEMORY,
            highest,
            |sample| sample.sender.memory_bytes as f64,
        ),
        row(
            "peak disk, agent / docker load",
            Bytes,
            None,
            highest,
            |sample| sample.receiver.disk_bytes as f64,
        ),
        row(
            "peak disk, coordinator / docker save",
            Bytes,
            None,
            highest,
            |sample| sample.sender.disk_bytes as f64,
        ),
    ]
}

impl Row {
    /// How many times ours the other way's value is: above 1, tfleet is better. None where one of them is nothing.
    pub fn times(&self) -> Option<f64> {
        let against = self.against.filter(|against| *against > 0.0)?;
        (self.ours > 0.0).then(|| against / self.ours)
    }

    pub fn met(&self) -> Option<bool> {
        Some(match self.goal? {
            Goal::Times(least) => self.times().is_some_and(|times| times >= least),
            Goal::BelowMib(limit) => self.ours < limit * f64::from(1 << 20),
        })
    }
}

impl Part {
    pub fn title(self) -> &'static str {
        match self {
            Self::First => "first delivery",
            Self::Rebuild => "rebuild, one small package newer",
            Self::Storing => "making and storing both images",
        }
    }
}

impl Unit {
    pub fn show(self, value: f64) -> String {
        match self {
            Self::Seconds => format!("{value:.1} s"),
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "it was a whole number of bytes before it went into a row"
            )]
            Self::Bytes => ByteSize::b(value as u64).display().iec().to_string(),
        }
    }
}

impl Goal {
    pub fn show(self) -> String {
        match self {
            Self::Times(least) => format!("≥ {least} times"),
            Self::BelowMib(limit) => format!("tfleet < {limit} MiB"),
        }
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() % 2 {
        0 => f64::midpoint(values[middle - 1], values[middle]),
        _ => values[middle],
    }
}

fn highest(values: Vec<f64>) -> f64 {
    values.into_iter().fold(0.0, f64::max)
}

#[cfg(test)]
mod tests;
