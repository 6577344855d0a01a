//! What gets printed when something does not fit, and what is really wrong.

use serde::Deserialize;

use super::{Catalog, Row};

/// A text that people meet, with its true cause.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Symptom {
    /// A part of the printed text.
    pub text: String,
    /// What is really wrong.
    pub cause: String,
    /// What to do.
    pub fix: String,
    /// Fields that no primary source confirms.
    #[serde(default)]
    pub unverified_fields: Vec<String>,
    /// Where the row comes from.
    pub source: String,
}

impl Row for Symptom {
    type Key = String;

    fn key(&self) -> String {
        self.text.clone()
    }
}

impl Catalog {
    /// What is known about a printed text: the symptom with the longest text that occurs in it.
    #[must_use]
    pub fn symptom(&self, printed: &str) -> Option<&Symptom> {
        self.symptoms
            .rows()
            .filter(|symptom| printed.contains(&symptom.text))
            .max_by_key(|symptom| symptom.text.len())
    }
}
