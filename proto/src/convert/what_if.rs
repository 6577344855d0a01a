//! A change that an operator thinks of, and the hosts that it is made to: `driver=535.183.01 on label.rack=7`.

use std::str::FromStr;

use tfleet_compat::{HostChange, HostChangeError};

use crate::model::selector::{Expression, ExpressionError};

/// A change and its hosts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WhatIf {
    /// As it was written.
    pub text: String,
    /// What is changed.
    pub change: HostChange,
    /// On which hosts.
    pub on: Expression,
}

/// A text that is none.
#[derive(Debug, thiserror::Error)]
pub enum WhatIfError {
    /// It does not say on which hosts.
    #[error(
        "{0:?} does not say on which hosts: write CHANGE on EXPRESSION, as in driver=535.183.01 on label.rack=7"
    )]
    NoHosts(String),
    /// The part before `on`.
    #[error(transparent)]
    Change(#[from] HostChangeError),
    /// The part after it.
    #[error(transparent)]
    Hosts(#[from] ExpressionError),
}

impl FromStr for WhatIf {
    type Err = WhatIfError;

    fn from_str(text: &str) -> Result<Self, WhatIfError> {
        let (change, on) = text
            .split_once(" on ")
            .ok_or_else(|| WhatIfError::NoHosts(text.to_owned()))?;
        Ok(Self {
            text: text.to_owned(),
            change: change.trim().parse()?,
            on: on.trim().parse()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_comes_with_its_hosts() {
        let what_if: WhatIf = "driver=535.183.01 on label.rack=7".parse().unwrap();
        assert_eq!(what_if.change.to_string(), "driver=535.183.01");
        for (text, why) in [
            ("driver=535.183.01", "does not say on which hosts"),
            ("driver=x on name=a", "not a driver version"),
            ("driver=535.183.01 on rack", "column 1"),
        ] {
            let error = text.parse::<WhatIf>().unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
    }
}
