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
        command.args(owned(arguments));
        command
    }

    pub fn type_in<I, S>(&self, arguments: I) -> Result<Answer>
    where
        I: IntoIterator<Item = S>,
        S: AsRef<str>,
    {
        Answer::of(&mut self.command(arguments))
    }

    pub fn ok<I, S>(&self, arguments: I) -> Result<Answer>
    where
        I: IntoIterator<Item = S>,
        S: AsRef<str>,
    {
        let arguments = owned(arguments);
        self.type_in(&arguments)?.well(&arguments)
    }

    /// The same with its progress on this terminal, for a person who waits. It is not in the answer.
    pub fn in_view<I, S>(&self, arguments: I) -> Result<Answer>
    where
        I: IntoIterator<Item = S>,
        S: AsRef<str>,
    {
        let arguments = owned(arguments);
        let mut command = self.command(&arguments);
        command.stderr(Stdio::inherit());
        Answer::of(&mut command)?.well(&arguments)
    }

    pub fn until_ok(&self, arguments: &[&str], within: Duration) -> Result<Answer> {
        eventually(within, || self.ok(arguments))
    }
}

fn owned<I, S>(arguments: I) -> Vec<String>
where
    I: IntoIterator<Item = S>,
    S: AsRef<str>,
{
    let arguments = arguments.into_iter();
    arguments
        .map(|argument| argument.as_ref().to_owned())
        .collect()
}

impl Answer {
    fn of(command: &mut Command) -> Result<Self> {
        let output = command
            .stdin(Stdio::null())
            .output()
            .context("tfleet did not start")?;
        Ok(Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    fn well(self, arguments: &[String]) -> Result<Self> {
        if self.code != 0 {
            bail!(
                "tfleet {} ended with {}\n{}{}",
                arguments.join(" "),
                self.code,
                self.stdout,
                self.stderr
            );
        }
        Ok(self)
    }

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
