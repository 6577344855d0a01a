//! The rows of the result: what was measured, both ways, and whether a goal is met.

use std::time::Duration;

use bytesize::ByteSize;

use super::measure::Peaks;
use super::rounds::{Own, Pass, Sample};
use super::way::Way;
use crate::simulation;

#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    pub part: Part,
    pub what: String,
    pub unit: Unit,
    pub ours: f64,
    pub against: Option<Against>,
    pub goal: Option<Goal>,
}

/// What ours is compared with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Against {
    pub name: &'static str,
    pub value: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    First,
    Rebuild,
    Storing,
    Patch,
    Stream,
    ColdStart,
    Crowd,
    Simulated,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    Seconds,
    Bytes,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Goal {
    /// The other value shall be at least so many times ours.
    Times(f64),
    /// Ours shall be at most so many times the other value.
    Within(f64),
    /// Ours shall be less than so many MiB.
    BelowMib(f64),
}

const MEMORY: Option<Goal> = Some(Goal::BelowMib(100.0));

/// Medians of times and bytes, highest of peaks.
pub fn rows(passes: &[Pass], storing: &Peaks) -> Vec<Row> {
    let first = Measured::of(passes, |pass| pass.first);
    let rebuild = Measured::of(passes, |pass| pass.rebuild);
    let mut rows = first.first_delivery();
    rows.extend(rebuild.one_package_changed());
    rows.extend(peaks(Part::Storing, "coordinator", *storing));
    rows
}

/// Fleets that fetch from each other, against the lower bound.
pub fn simulated(reports: &[simulation::Report]) -> Vec<Row> {
    let row = |report: &simulation::Report| {
        let (who, most) = match report.goal {
            simulation::Goal::Last(most) => ("last", most),
            simulation::Goal::Hundredth(most) => ("99 of 100", most),
        };
        Row {
            part: Part::Simulated,
            what: format!("{}: {who}", report.name),
            unit: Unit::Seconds,
            ours: match report.unfinished {
                0 => report.ratio() * report.bound,
                _ => f64::INFINITY,
            },
            against: Some(Against {
                name: "lower bound",
                value: report.bound,
            }),
            goal: Some(Goal::Within(most)),
        }
    };
    reports.iter().map(row).collect()
}

/// One part's samples of all rounds.
struct Measured {
    samples: Vec<(Way, Sample)>,
}

impl Measured {
    fn of(passes: &[Pass], part: fn(&Pass) -> Sample) -> Self {
        let samples = passes.iter().map(|pass| (pass.way, part(pass))).collect();
        Self { samples }
    }

    fn first_delivery(&self) -> Vec<Row> {
        let part = Part::First;
        let mut rows = vec![
            self.wall(part, Way::SaveLoad, Goal::Times(1.0)),
            self.wall(part, Way::Registry, Goal::Times(1.0)),
            self.wall(part, Way::Skopeo, Goal::Times(1.0)),
            self.wall(part, Way::Archive, Goal::Within(1.15)),
            self.moved(part, Way::Registry, "registry pull", None),
            self.moved(part, Way::Archive, "the image", None),
        ];
        rows.extend(self.written(part));
        rows.extend(self.own_peaks(part));
        rows
    }

    fn one_package_changed(&self) -> Vec<Row> {
        let part = Part::Rebuild;
        let mut rows = vec![
            self.wall(part, Way::SaveLoad, Goal::Times(10.0)),
            self.wall(part, Way::Registry, Goal::Times(1.0)),
            self.wall(part, Way::Skopeo, Goal::Times(10.0)),
            self.moved(part, Way::Registry, "registry pull", None),
            self.moved(part, Way::Archive, "the image", Some(Goal::Within(0.02))),
        ];
        rows.extend(self.own_peaks(part));
        rows
    }

    fn wall(&self, part: Part, way: Way, goal: Goal) -> Row {
        let seconds = |sample: &Sample| Some(sample.wall.as_secs_f64());
        Row {
            part,
            what: "wall time".to_owned(),
            unit: Unit::Seconds,
            ours: self.median(Way::Tfleet, seconds).unwrap_or_default(),
            against: self.against(way, way.name(), seconds),
            goal: Some(goal),
        }
    }

    fn moved(&self, part: Part, way: Way, name: &'static str, goal: Option<Goal>) -> Row {
        let bytes = |sample: &Sample| Some(sample.moved_bytes as f64);
        Row {
            part,
            what: "bytes to the host".to_owned(),
            unit: Unit::Bytes,
            ours: self.median(Way::Tfleet, bytes).unwrap_or_default(),
            against: self.against(way, name, bytes),
            goal,
        }
    }

    /// Nothing where the disk's writes could not be counted.
    fn written(&self, part: Part) -> Option<Row> {
        let written = |sample: &Sample| sample.written_bytes.map(|bytes| bytes as f64);
        let engine = self.median(Way::Archive, written)?;
        let compressed = self.median(Way::Tfleet, |sample| Some(sample.moved_bytes as f64))?;
        Some(Row {
            part,
            what: "written to disk".to_owned(),
            unit: Unit::Bytes,
            ours: self.median(Way::Tfleet, written)?,
            against: Some(Against {
                name: "the engine's own + one compressed copy",
                value: engine + compressed,
            }),
            goal: Some(Goal::Within(1.0)),
        })
    }

    fn own_peaks(&self, part: Part) -> impl Iterator<Item = Row> {
        let highest = |of: fn(Own) -> Peaks| {
            let own = self.samples.iter().filter_map(|(_, sample)| sample.own);
            own.map(of).fold(Peaks::default(), Peaks::or_higher)
        };
        let agent = peaks(part, "agent", highest(|own| own.agent));
        let coordinator = peaks(part, "coordinator", highest(|own| own.coordinator));
        agent.into_iter().chain(coordinator)
    }

    fn against(
        &self,
        way: Way,
        name: &'static str,
        value: fn(&Sample) -> Option<f64>,
    ) -> Option<Against> {
        let value = self.median(way, value)?;
        Some(Against { name, value })
    }

    fn median(&self, way: Way, value: fn(&Sample) -> Option<f64>) -> Option<f64> {
        let of_way = self.samples.iter().filter(|(of, _)| *of == way);
        median(of_way.filter_map(|(_, sample)| value(sample)).collect())
    }
}

/// What one of our programs took at most.
pub fn peaks(part: Part, program: &str, peaks: Peaks) -> [Row; 2] {
    let row = |what, of: u64, goal| Row {
        goal,
        ..bytes(part, &format!("peak {what}, {program}"), of as f64)
    };
    [
        row("memory", peaks.memory_bytes, MEMORY),
        row("disk", peaks.disk_bytes, None),
    ]
}

/// A time, for itself.
pub fn seconds(part: Part, what: &str, time: Duration) -> Row {
    Row {
        part,
        what: what.to_owned(),
        unit: Unit::Seconds,
        ours: time.as_secs_f64(),
        against: None,
        goal: None,
    }
}

/// A number of bytes, for itself.
pub fn bytes(part: Part, what: &str, bytes: f64) -> Row {
    Row {
        unit: Unit::Bytes,
        ours: bytes,
        ..seconds(part, what, Duration::ZERO)
    }
}

impl Row {
    pub fn against(self, name: &'static str, value: f64, goal: Goal) -> Self {
        Self {
            against: Some(Against { name, value }),
            goal: Some(goal),
            ..self
        }
    }

    /// As its goal reads: how many times ours the other value is, or the other way round. None where one of them is nothing.
    pub fn ratio(&self) -> Option<f64> {
        let against = self.against?.value;
        let (above, below) = match self.goal {
            Some(Goal::Within(_)) => (self.ours, against),
            _ => (against, self.ours),
        };
        (above > 0.0 && below > 0.0).then(|| above / below)
    }

    pub fn met(&self) -> Option<bool> {
        Some(match self.goal? {
            Goal::Times(least) => self.ratio().is_some_and(|ratio| ratio >= least),
            Goal::Within(most) => self.ratio().is_some_and(|ratio| ratio <= most),
            Goal::BelowMib(limit) => self.ours < limit * f64::from(1 << 20),
        })
    }
}

impl Part {
    pub fn title(self) -> &'static str {
        match self {
            Self::First => "one host, first delivery",
            Self::Rebuild => "one host, one package changed",
            Self::Storing => "making and storing both images",
            Self::Patch => "one host that has TensorFlow 2.15.0, its patch release, over 1 Gb/s",
            Self::Stream => "a stream without engines, over mutual TLS on one machine",
            Self::ColdStart => "an agent starts",
            Self::Crowd => "eight hosts, each link limited to 120 Mb/s",
            Self::Simulated => "many hosts, simulated with the real scheduling code",
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
            Self::Times(least) => format!("≥ {least} times faster"),
            Self::Within(most) => format!("≤ {most} of it"),
            Self::BelowMib(limit) => format!("< {limit} MiB"),
        }
    }
}

pub fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let upper = *values.get(values.len() / 2)?;
    let lower = *values.get((values.len() - 1) / 2)?;
    Some(f64::midpoint(lower, upper))
}

#[cfg(test)]
mod tests;
