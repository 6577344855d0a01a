//! `tfleet completions`.

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use super::CommandLine;
use crate::error::{Error, ExitStatus};
use crate::view::write_stdout;

const EXAMPLES: &str = "\
Examples:
  tfleet completions bash  # > /etc/bash_completion.d/tfleet
  tfleet completions zsh  # > ~/.zfunc/_tfleet";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Completions {
    #[arg(value_enum)]
    shell: Shell,
}

impl Completions {
    pub(super) fn run(self) -> Result<ExitStatus, Error> {
        let mut script = Vec::new();
        clap_complete::generate(
            self.shell,
            &mut CommandLine::command(),
            "tfleet",
            &mut script,
        );
        write_stdout(&String::from_utf8_lossy(&script))?;
        Ok(ExitStatus::Ok)
    }
}
