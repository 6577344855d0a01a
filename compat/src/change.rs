//! A change that an operator thinks of making to hosts: `driver=535.183.01`.

use std::fmt;
use std::str::FromStr;

use crate::host::{DriverHealth, HostFacts, RuntimeMode};
use crate::version::DriverVersion;

/// What would be changed, `,` between several. Read from text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HostChange {
    /// Another driver, installed and working; `none` takes it away.
    driver: Option<Option<DriverVersion>>,
    /// Another mode of NVIDIA's container runtime.
    runtime_mode: Option<RuntimeMode>,
}

/// A text that is no change.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a change: {why}")]
pub struct HostChangeError {
    /// What was read.
    pub text: String,
    /// What is wrong with it.
    pub why: String,
}

impl HostChange {
    /// Makes the change.
    pub fn apply(&self, host: &mut HostFacts) {
        if let Some(driver) = &self.driver {
            host.driver_version.clone_from(driver);
            host.driver_health = DriverHealth::Working;
        }
        if let Some(mode) = self.runtime_mode {
            host.runtime_mode = mode;
        }
    }
}

impl FromStr for HostChange {
    type Err = HostChangeError;

    fn from_str(text: &str) -> Result<Self, HostChangeError> {
        let error = |why: String| HostChangeError {
            text: text.to_owned(),
            why,
        };
        let mut change = Self::default();
        for part in text.split(',') {
            let (key, value) = part.split_once('=').ok_or_else(|| {
                error("expected driver=VERSION, driver=none or runtime-mode=MODE".to_owned())
            })?;
            let value = value.trim();
            match key.trim() {
                "driver" if value == "none" => change.driver = Some(None),
                "driver" => {
                    let driver = value.parse::<DriverVersion>();
                    change.driver = Some(Some(driver.map_err(|fault| error(fault.to_string()))?));
                }
                "runtime-mode" => {
                    let mode = value.parse::<RuntimeMode>();
                    change.runtime_mode = Some(mode.map_err(|fault| error(fault.to_string()))?);
                }
                key => {
                    return Err(error(format!(
                        "`{key}` cannot be changed; driver and runtime-mode can"
                    )));
                }
            }
        }
        Ok(change)
    }
}

impl fmt::Display for HostChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let driver = self.driver.as_ref().map(|driver| match driver {
            Some(driver) => format!("driver={driver}"),
            None => "driver=none".to_owned(),
        });
        let mode = self.runtime_mode.map(|mode| format!("runtime-mode={mode}"));
        let parts: Vec<String> = driver.into_iter().chain(mode).collect();
        f.pad(&parts.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_reads_as_it_is_written_and_applies() {
        let change: HostChange = "driver=535.183.01, runtime-mode=cdi".parse().unwrap();
        assert_eq!(change.to_string(), "driver=535.183.01,runtime-mode=cdi");
        let mut host = HostFacts::new("host");
        host.driver_health = DriverHealth::NotLoaded;
        change.apply(&mut host);
        assert_eq!(host.driver_version, Some("535.183.01".parse().unwrap()));
        assert_eq!(host.driver_health, DriverHealth::Working);
        assert_eq!(host.runtime_mode, RuntimeMode::Cdi);
        "driver=none"
            .parse::<HostChange>()
            .unwrap()
            .apply(&mut host);
        assert_eq!(host.driver_version, None);
    }

    #[test]
    fn what_is_no_change_says_why() {
        for (text, why) in [
            ("535.183.01", "expected driver=VERSION"),
            ("driver=new", "is not a driver version"),
            ("gpu=T4", "`gpu` cannot be changed"),
            ("runtime-mode=fast", "is not a runtime mode"),
        ] {
            let error = text.parse::<HostChange>().unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
    }
}
