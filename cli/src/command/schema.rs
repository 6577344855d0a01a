//! `tfleet schema`: the forms of what is read and printed offline.

use clap::{Args, ValueEnum};
use tfleet_compat::schema;

use crate::error::{Error, ExitStatus};
use crate::view::write_stdout;

const EXAMPLES: &str = "\
Examples:
  tfleet schema plan
  tfleet schema hosts";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Schema {
    /// Which form
    #[arg(value_enum)]
    form: Form,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Form {
    /// What `tfleet plan --offline --hosts` reads and `tfleet hosts export` writes
    Hosts,
    /// What `tfleet plan --output json` prints
    Plan,
    /// What `tfleet plan --explain HOST --output json` prints
    Explanation,
    /// What `tfleet compat --output json` prints
    Compat,
}

impl Schema {
    pub(super) fn run(&self) -> Result<ExitStatus, Error> {
        write_stdout(match self.form {
            Form::Hosts => schema::HOSTS,
            Form::Plan => schema::PLAN,
            Form::Explanation => schema::EXPLANATION,
            Form::Compat => schema::COMPAT,
        })?;
        Ok(ExitStatus::Ok)
    }
}
