//! What the lab in a state folder was made from, kept there for every later command.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use tfleet_tests::lab::{Description, Lab, LabId, Programs, Site};

#[derive(Deserialize, Serialize)]
pub struct Record {
    pub description: Description,
    pub cache: PathBuf,
}

impl Record {
    /// None where no lab has been.
    pub fn read(state: &Path) -> Result<Option<Self>> {
        let path = path(state);
        if !path.exists() {
            return Ok(None);
        }
        let text =
            fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let record = serde_json::from_str(&text)
            .with_context(|| format!("{} is not valid", path.display()))?;
        Ok(Some(record))
    }

    pub fn write(&self, state: &Path) -> Result<()> {
        fs::create_dir_all(state).with_context(|| format!("cannot make {}", state.display()))?;
        let text = serde_json::to_string_pretty(self)?;
        let path = path(state);
        fs::write(&path, text + "\n").with_context(|| format!("cannot write {}", path.display()))
    }

    pub fn lab(&self, state: &Path) -> Result<Lab> {
        let site = Site {
            id: LabId::DEFAULT,
            state: state.to_owned(),
            cache: self.cache.clone(),
            programs: Programs::beside_this_program()?,
        };
        Ok(Lab::new(&self.description, &site)?)
    }
}

fn path(state: &Path) -> PathBuf {
    state.join("lab.json")
}
