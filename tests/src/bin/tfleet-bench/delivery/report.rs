//! The result as a program reads it.

use std::path::Path;

use anyhow::Result;
use serde_json::{Value, json};

use super::row::{Row, Unit};

pub struct Report {
    pub machine: String,
    pub image: String,
    pub rounds: u32,
    pub rows: Vec<Row>,
}

impl Report {
    pub fn write(&self, path: &Path) -> Result<()> {
        crate::report::write(path, &self.json())
    }

    fn json(&self) -> Value {
        let rows: Vec<Value> = self.rows.iter().map(Row::json).collect();
        json!({ "machine": self.machine, "image": self.image, "rounds": self.rounds, "rows": rows })
    }
}

impl Row {
    /// Part, value, unit and what it is compared with: "one host, first delivery: wall time, seconds, against skopeo copy".
    pub fn name(&self) -> String {
        let unit = match self.unit {
            Unit::Seconds => "seconds",
            Unit::Bytes => "bytes",
        };
        let against = match self.against {
            Some(against) => format!(", against {}", against.name),
            None => String::new(),
        };
        format!("{}: {}, {unit}{against}", self.part.title(), self.what)
    }

    /// `value` is the ratio as the goal reads.
    fn json(&self) -> Value {
        json!({
            "row": self.name(),
            "ours": self.ours,
            "against": self.against.map(|against| against.value),
            "value": self.ratio(),
            "goal": self.goal.map(|goal| goal.show()),
            "met": self.met(),
        })
    }
}
