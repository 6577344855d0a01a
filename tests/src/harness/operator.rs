//! An operator: types `tfleet …` and reads the answer.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::eventually;
use crate::lab::Programs;

pub struct Operator {
    program: PathBuf,
    credentials: PathBuf,
}

/// What a command said.
#[derive(Debug)]
pub struct Answer {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Operator {
    pub fn new(programs: &Programs, credentials: PathBuf) -> Result<Self> {
        Ok(Self {
            program: programs.operator()?,
            credentials,
        })
    }

    /// Another one, with credentials of their own.
    pub fn with(&self, credentials: &Path) -> Self {
        Self {
            program: self.program.clone(),
            credentials: credentials.to_owned(),
        }
    }

    /// The command, for a test that needs its pipes.
    pub fn command<I, S>(&self, arguments: I) -> Command
    where
        I: IntoIterator<Item = S>,
        S: AsRef<str>,
    {
        let mut command = Command::new(&self.program);
        command.arg("--credentials").arg(&self.credentials);
        command.args(
            arguments
                .into_iter()
                .map(|argument| argument.as_ref().to_owned()),
        );
        command
    }

    pub fn type_in<I, S>(&self, arguments: I) -> Result<Answer>
    where
        I: IntoIterator<Item = S>,
        S: AsRef<str>,
    {
        let output = self
            .command(arguments)
            .stdin(Stdio::null())
            .output()
            .context("tfleet did not start")?;
        Ok(Answer {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    pub fn ok<I, S>(&self, arguments: I) -> Result<Answer>
    where
        I: IntoIterator<Item = S>,
        S: AsRef<str>,
    {
        let arguments: Vec<String> = arguments
            .into_iter()
            .map(|argument| argument.as_ref().to_owned())
            .collect();
        let answer = self.type_in(&arguments)?;
        if answer.code != 0 {
            bail!(
                "tfleet {} ended with {}\n{}{}",
                arguments.join(" "),
                answer.code,
                answer.stdout,
                answer.stderr
            );
        }
        Ok(answer)
    }

    pub fn until_ok(&self, arguments: &[&str], within: Duration) -> Result<Answer> {
        eventually(within, || self.ok(arguments))
    }
}

impl Answer {
    pub fn json(&self) -> Result<Value> {
        serde_json::from_str(&self.stdout)
            .with_context(|| format!("this is not JSON: {}", self.stdout))
    }

    /// Fails unless the command failed with `code` and said `words`.
    pub fn refused(&self, code: i32, words: &str) -> Result<()> {
        let said = format!("{}{}", self.stdout, self.stderr);
        if self.code != code || !said.contains(words) {
            bail!(
                "expected exit status {code} and `{words}`, got {} and:\n{said}",
                self.code
            );
        }
        Ok(())
    }
}
