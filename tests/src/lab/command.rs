//! Running this machine's own tools (`ip`, `mount`, `docker`) to their end.

use std::process::{Command, Stdio};

use super::error::LabError;

/// Runs to the end and answers what it printed. What it printed to standard error is in the error.
pub fn run(command: &mut Command) -> Result<String, LabError> {
    let shown = show(command);
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|source| LabError::Spawn {
            command: shown.clone(),
            source,
        })?;
    if !output.status.success() {
        let text = [output.stdout, output.stderr].concat();
        return Err(LabError::Command {
            command: shown,
            status: output.status,
            output: String::from_utf8_lossy(&text).trim().to_owned(),
        });
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// `ip` with these words.
pub fn ip(words: &str) -> Result<String, LabError> {
    run(Command::new("ip").args(words.split_whitespace()))
}

pub fn show(command: &Command) -> String {
    std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| word.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ")
}
