//! Why something did not happen, told to a person: what failed, why, what to do next.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A failure that travels to the operator. It is a value of the model, not an error of the program that reports it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// A stable word for programs: "policy-refused", "port-taken", "image-missing".
    pub code: String,
    /// What failed and why, one sentence, without the remedy.
    pub message: String,
    /// What to do next.
    pub remedy: Option<String>,
    /// The rule that decided: a key of the host's policy file or a compatibility rule.
    pub rule: Option<String>,
}

impl Failure {
    pub fn new(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            code: code.into(),
            message: message.into(),
            remedy: None,
            rule: None,
        }
    }

    #[must_use]
    pub fn with_remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    #[must_use]
    pub fn with_rule(mut self, rule: impl Into<String>) -> Self {
        self.rule = Some(rule.into());
        self
    }

    /// What failed and why, with the rule that decided, without the remedy.
    pub fn cause(&self) -> String {
        match &self.rule {
            Some(rule) => format!("{} (rule: {rule})", self.message),
            None => self.message.clone(),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.cause())?;
        if let Some(remedy) = &self.remedy {
            write!(formatter, "; {remedy}")?;
        }
        Ok(())
    }
}
