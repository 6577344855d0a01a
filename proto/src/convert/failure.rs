//! `Failure`.

use super::Refusal;
use super::field::{optional_text, text};
use crate::{model::failure::Failure, wire};

impl TryFrom<wire::Failure> for Failure {
    type Error = Refusal;

    fn try_from(failure: wire::Failure) -> Result<Self, Refusal> {
        Ok(Self {
            code: text("code", failure.code)?,
            message: text("message", failure.message)?,
            remedy: optional_text(failure.remedy),
            rule: optional_text(failure.rule),
        })
    }
}

impl From<Failure> for wire::Failure {
    fn from(failure: Failure) -> Self {
        Self {
            code: failure.code,
            message: failure.message,
            remedy: failure.remedy.unwrap_or_default(),
            rule: failure.rule.unwrap_or_default(),
        }
    }
}
